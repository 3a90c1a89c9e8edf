from pathlib import Path

import pytest

from cni.installer.conflist import folder
from cni.installer.conflist.document import ConflistError
from cni.installer.conflist.folder import Source
from cni.installer.node.folders import resolve_folders
from cni.installer.node.host_root import HostRoot
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
