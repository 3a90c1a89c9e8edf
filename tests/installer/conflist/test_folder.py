import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cni import input_file
from cni.installer.conflist import folder
from cni.installer.conflist.document import ConflistError, NoneFoundError
from cni.installer.conflist.folder import Source
from cni.installer.node.folders import resolve_folders
from cni.installer.node.host_root import HostRoot
from tests import requirements
from tests.installer.sample_conflists import CALICO

MULTUS = '{"name": "multus-cni-network", "type": "multus", "clusterNetwork": "k8s-pod-network"}'
THIN = '{"name": "m", "type": "multus", "delegates": [{"type": "calico", "ipam": {"type": "calico-ipam"}}]}'
OTHER = '{"name": "lo", "plugins": [{"type": "loopback"}]}'


def choose(conf: Path, plugin_type: str, file: Path | None = None) -> Source:
    folders = resolve_folders(HostRoot(conf), "/bin", "/")
    return folder.choose(folders, folder.read_folder(folders, file), plugin_type, file)


def folder_with(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    return folder


def test_the_one_file_with_calico_in_it_is_chosen(tmp_path: Path) -> None:
    folder_with(tmp_path, **{"00-multus_conf": MULTUS, "10-calico_conflist": CALICO, "99-loopback_conf": OTHER})
    chosen = choose(tmp_path, "calico")
    assert (chosen.path.name, chosen.document.text, chosen.delegation.network) == (
        "10-calico.conflist",
        CALICO,
        "k8s-pod-network",
    )


def test_delegates_that_multus_generated_are_not_edited(tmp_path: Path) -> None:
    with pytest.raises(ConflistError, match="no plugin of type calico"):
        choose(folder_with(tmp_path, **{"00-multus_conf": THIN}), "calico")


def test_what_no_runtime_loads_is_not_looked_at(tmp_path: Path) -> None:
    files = {"10-calico_conflist_bak": CALICO, "calico-kubeconfig": "{", "10-calico_conflist": CALICO}
    assert choose(folder_with(tmp_path, **files), "calico").path.name == "10-calico.conflist"


def test_several_are_refused_by_name_unless_one_is_named(tmp_path: Path) -> None:
    folder_with(tmp_path, **{"10-calico_conflist": CALICO, "20-old_conflist": CALICO})
    with pytest.raises(ConflistError, match=r"10-calico.conflist, .*20-old.conflist.*--conf"):
        choose(tmp_path, "calico")
    assert choose(tmp_path, "calico", tmp_path / "20-old.conflist").path.name == "20-old.conflist"


def test_none_is_told_with_the_files_that_could_not_be_read(tmp_path: Path) -> None:
    folder_with(tmp_path, **{"10-calico_conflist": CALICO[:100], "99-loopback_conf": OTHER})
    (tmp_path / "20-latin.conf").write_bytes(b'{"name": "\xe4"}')
    with pytest.raises(ConflistError) as raised:
        choose(tmp_path, "calico")
    assert all(
        word in str(raised.value) for word in ("no plugin of type calico", "10-calico.conflist: not JSON", "20-latin")
    )


def test_a_broken_file_beside_the_one_is_no_obstacle(tmp_path: Path) -> None:
    folder_with(tmp_path, **{"10-calico_conflist": CALICO, "20-broken_conf": "{"})
    assert choose(tmp_path, "calico").path.name == "10-calico.conflist"


def _make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def _make_device(path: Path) -> None:
    requirements.make_device(path, 5)  # /dev/zero, which has no end


# What may stand in the place of Calico's file, and what is said of it.
ODD_ONES: dict[str, tuple[Callable[[Path], object], str]] = {
    "FIFO": (os.mkfifo, "it is a FIFO (a named pipe), not a file"),
    "socket": (_make_socket, "it is a socket, not a file"),
    "device": (_make_device, "it is a device, not a file"),
    "folder": (Path.mkdir, "it is a folder, not a file"),
    "dangling link": (
        lambda path: path.symlink_to("/gone"),
        "it leads to /gone, which is not mounted below {}: mount it",
    ),
    "loop": (lambda path: path.symlink_to(path.name), "it leads in a circle of symbolic links"),
}


@pytest.mark.parametrize("what", ODD_ONES)
def test_what_is_no_file_is_named_as_what_it_is_and_waited_for(tmp_path: Path, what: str) -> None:
    make, words = ODD_ONES[what]
    make(tmp_path / "10-calico.conflist")
    with pytest.raises(NoneFoundError) as raised:
        choose(tmp_path, "calico")
    assert str(raised.value) == f"no plugin of type calico in /; 10-calico.conflist: {words.format(tmp_path)}"
    (tmp_path / "20-calico.conflist").write_text(CALICO)
    assert choose(tmp_path, "calico").path.name == "20-calico.conflist"


@pytest.mark.parametrize("what", ["FIFO", "socket", "device", "folder", "dangling link"])
def test_where_it_was_named_it_is_named_once_and_nothing_waits(tmp_path: Path, what: str) -> None:
    make, words = ODD_ONES[what]
    make(tmp_path / "x.conf")
    with pytest.raises(ConflistError) as raised:
        choose(tmp_path, "calico", tmp_path / "x.conf")
    assert str(raised.value) == f"no plugin of type calico in /x.conf; x.conf: {words.format(tmp_path)}"


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoneFoundError, match=r"in /x.conf; x.conf: there is no such file$"):
        choose(tmp_path, "calico", tmp_path / "x.conf")
    with pytest.raises(NoneFoundError, match=r"there is no such folder$"):
        choose(tmp_path / "gone", "calico")


def test_a_file_that_is_too_large_is_named_and_is_no_obstacle(tmp_path: Path) -> None:
    with (tmp_path / "10-calico.conflist").open("w") as file:
        file.truncate(input_file.MOST_BYTES + 1)
    with pytest.raises(ConflistError, match=r"10-calico.conflist: it is too large: more than 16 MiB"):
        choose(tmp_path, "calico")
    (tmp_path / "20-calico.conflist").write_text(CALICO)
    assert choose(tmp_path, "calico").path.name == "20-calico.conflist"


def test_what_becomes_a_fifo_while_it_is_looked_at_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "10-calico.conflist"
    path.write_text(CALICO)
    real = os.open

    def swap(*arguments: Any, **options: Any) -> int:  # a mock, because the moment between two calls cannot be had
        path.unlink()
        os.mkfifo(path)
        return real(*arguments, **options)

    monkeypatch.setattr(os, "open", swap)
    with pytest.raises(input_file.NotReadableError, match="it is a FIFO"):
        input_file.read(path)


def test_a_conflist_that_leads_to_what_is_not_mounted_is_named_as_that(tmp_path: Path) -> None:
    folder_with(tmp_path, **{"99-loopback_conf": OTHER})
    (tmp_path / "10-calico.conflist").symlink_to("/run/calico.conflist")
    (tmp_path / "11-circle.conf").symlink_to("11-circle.conf")
    with pytest.raises(ConflistError) as caught:
        choose(tmp_path, "calico")
    named = f"10-calico.conflist: it leads to /run/calico.conflist, which is not mounted below {tmp_path}: mount it"
    assert named in str(caught.value)
    assert "11-circle.conf: it leads in a circle of symbolic links" in str(caught.value)


def chained(*types: str) -> str:
    end = CALICO.rindex("\n  ]")
    return CALICO[:end] + "".join(f',\n    {{"type": "{name}"}}' for name in types) + CALICO[end:]


@pytest.mark.parametrize("calicos", [CALICO, chained("linkerd-cni")])
def test_of_several_the_one_that_the_others_were_made_of_is_chosen(tmp_path: Path, calicos: str) -> None:
    made = chained("linkerd-cni", "istio-cni")
    folder_with(tmp_path, **{"02-istio-cni_conflist": made, "10-calico_conflist": calicos})
    assert choose(tmp_path, "calico").path.name == "10-calico.conflist"


def test_of_several_with_plugins_of_their_own_none_is_chosen(tmp_path: Path) -> None:
    folder_with(tmp_path, **{"02-a_conflist": chained("a"), "10-b_conflist": chained("b")})
    with pytest.raises(ConflistError, match="several plugins of type calico"):
        choose(tmp_path, "calico")
