import shutil
from pathlib import Path

import pytest

from cni.installer.conflist.document import ConflistError
from cni.installer.discovery import FoldersError, find_folders, installed_folders, write_installed_folders
from cni.installer.node.folders import Folders, resolve_folders
from cni.installer.node.host_root import HostRoot
from tests.installer.sample_conflists import CALICO

PLATFORMS = [
    ("/etc/cni/net.d", "/opt/cni/bin"),
    ("/var/lib/rancher/k3s/agent/etc/cni/net.d", "/var/lib/rancher/k3s/data/cni"),
    ("/var/snap/microk8s/current/args/cni-network", "/var/snap/microk8s/current/opt/cni/bin"),
    ("/var/run/multus/cni/net.d", "/var/lib/cni/bin"),
    ("/etc/cni/net.d", "/home/kubernetes/bin"),
    ("/var/lib/rancher/k3s/agent/etc/cni/net.d", "/var/lib/rancher/k3s/data/current/bin"),
]


def find(root: Path, bin_name: str | None, conf_name: str | None, plugin_type: str) -> Folders:
    return find_folders(HostRoot(root), bin_name, conf_name, plugin_type)


def folders_of(root: Path, bin_name: str, conf_name: str) -> Folders:
    return resolve_folders(HostRoot(root), bin_name, conf_name)


def make(root: Path, *folders: str) -> None:
    for folder in folders:
        (root / folder[1:]).mkdir(parents=True, exist_ok=True)


def calico_in(root: Path, conf: str, name: str = "10-calico.conflist") -> None:
    make(root, conf)
    (root / conf[1:] / name).write_text(CALICO)


@pytest.mark.parametrize(("conf", "binaries"), PLATFORMS)
def test_each_platforms_folders_are_found(conf: str, binaries: str, tmp_path: Path) -> None:
    calico_in(tmp_path, conf)
    make(tmp_path, binaries)
    (tmp_path / binaries[1:] / "calico").touch()
    assert find(tmp_path, None, None, "calico") == folders_of(tmp_path, binaries, conf)


def test_a_folder_with_calico_in_it_wins_over_one_left_over(tmp_path: Path) -> None:
    make(tmp_path, *(folder for platform in PLATFORMS for folder in platform))
    (tmp_path / "etc/cni/net.d/99-loopback.conf").write_text('{"type": "loopback"}')
    calico_in(tmp_path, PLATFORMS[1][0])
    assert find(tmp_path, None, None, "calico").conf == tmp_path / PLATFORMS[1][0][1:]
    assert find(tmp_path, None, None, "calico").bin == tmp_path / PLATFORMS[1][1][1:]


def test_two_that_hold_calico_are_refused_by_name_and_a_flag_decides(tmp_path: Path) -> None:
    calico_in(tmp_path, PLATFORMS[0][0])
    calico_in(tmp_path, PLATFORMS[3][0])
    with pytest.raises(ConflistError, match=r"/etc/cni/net.d, /var/run/multus/cni/net.d: choose one"):
        find(tmp_path, None, None, "calico")
    assert find(tmp_path, None, "/var/run/multus/cni/net.d", "calico").conf == tmp_path / "var/run/multus/cni/net.d"


def test_two_paths_to_one_folder_are_one(tmp_path: Path) -> None:
    calico_in(tmp_path, PLATFORMS[0][0])
    make(tmp_path, "/var/lib/rancher/k3s/agent/etc/cni")
    (tmp_path / PLATFORMS[1][0][1:]).symlink_to("/etc/cni/net.d")
    assert find(tmp_path, None, None, "calico").conf == tmp_path / "etc/cni/net.d"


def test_older_k3s_has_its_plugins_in_another_folder(tmp_path: Path) -> None:
    calico_in(tmp_path, PLATFORMS[1][0])
    make(tmp_path, "/var/lib/rancher/k3s/data/1234/bin")
    (tmp_path / "var/lib/rancher/k3s/data/current").symlink_to("1234")
    older = "/var/lib/rancher/k3s/data/current/bin"
    assert find(tmp_path, None, None, "calico").bin_name == older
    make(tmp_path, PLATFORMS[1][1])  # newer ones have both
    assert find(tmp_path, None, None, "calico").bin_name == PLATFORMS[1][1]
    (tmp_path / older[1:] / "calico").touch()
    assert find(tmp_path, None, None, "calico").bin_name == older


def test_a_circle_of_links_at_another_platforms_folder_is_not_in_the_way(tmp_path: Path) -> None:
    calico_in(tmp_path, PLATFORMS[0][0])
    for _, name in PLATFORMS[1:4]:
        make(tmp_path, str(Path(name).parent))
        (tmp_path / name[1:]).symlink_to(name)
    make(tmp_path, "/run/multus")
    (tmp_path / "var/run").symlink_to("/var/run")
    folders = find(tmp_path, None, None, "calico")
    assert (folders.conf_name, folders.bin_name) == PLATFORMS[0]


@pytest.mark.parametrize("name", ["/opt/cni/bin", "/etc/cni", "/etc/cni/net.d", "/var/lib/cni", "/var/lib"])
def test_a_link_to_what_is_not_mounted_below_the_root_is_named_as_that(name: str, tmp_path: Path) -> None:
    """A container of the DaemonSet has only some of the node's folders."""
    calico_in(tmp_path, PLATFORMS[0][0])
    shutil.rmtree(tmp_path / name[1:], ignore_errors=True)
    make(tmp_path, str(Path(name).parent))
    (tmp_path / name[1:]).symlink_to("/run/x")
    with pytest.raises(FoldersError, match=rf"{name}.* leads to /run/x.*, which is not mounted below {tmp_path}"):
        find(tmp_path, None, None, "calico")
    make(tmp_path, "/run/x/spiderpool-ipam", "/run/x/cni/results", "/run/x/results", "/run/x/net.d")
    find(tmp_path, None, None, "calico")


def test_on_a_bare_node_the_defaults_hold(tmp_path: Path) -> None:
    folders = find(tmp_path, None, None, "calico")
    assert (folders.bin, folders.conf) == (tmp_path / "opt/cni/bin", tmp_path / "etc/cni/net.d")
    assert folders.name_of(folders.conf) == "/etc/cni/net.d"


def test_flags_name_paths_of_the_node(tmp_path: Path) -> None:
    folders = find(tmp_path, "/b", "/c", "calico")
    assert (folders.bin, folders.conf) == (tmp_path / "b", tmp_path / "c")


def install_to(root: Path, binaries: str, conf: str) -> None:
    make(root, binaries + "/.spiderpool", conf, "/var/lib/spiderpool-ipam")
    write_installed_folders(folders_of(root, binaries, conf))


def test_what_was_installed_is_found_again_and_flags_win(tmp_path: Path) -> None:
    calico_in(tmp_path, PLATFORMS[0][0])
    install_to(tmp_path, "/b", "/c")
    assert find(tmp_path, None, None, "calico") == folders_of(tmp_path, "/b", "/c")
    assert find(tmp_path, None, "/d/", "calico") == folders_of(tmp_path, "/b", "/d")


@pytest.mark.parametrize("kept", [None, "", "{", "[]", '{"bin": "/b"}'])
def test_what_was_installed_and_is_gone_or_damaged_is_looked_for(tmp_path: Path, kept: str | None) -> None:
    calico_in(tmp_path, PLATFORMS[0][0])
    install_to(tmp_path, "/b", "/c")
    if kept is None:
        (tmp_path / "b/.spiderpool").rmdir()
    else:
        (tmp_path / "var/lib/spiderpool-ipam/folders").write_text(kept)
    assert find(tmp_path, None, None, "calico") == folders_of(tmp_path, "/opt/cni/bin", "/etc/cni/net.d")


def test_without_a_memory_our_bundle_is_looked_for(tmp_path: Path) -> None:
    """A DaemonSet calls the folders otherwise than the node does."""
    make(tmp_path, "/home/kubernetes/bin/.spiderpool", "/opt/cni/bin")
    (tmp_path / "opt/cni/bin/calico").touch()
    assert find(tmp_path, None, None, "calico").bin_name == "/home/kubernetes/bin"


def test_what_a_daemonset_installed_is_found_on_the_node_as_well(tmp_path: Path) -> None:
    """GKE's plugins are mounted in the place of the usual ones; the folder of conflists is the usual one."""
    install_to(tmp_path, "/opt/cni/bin", "/etc/cni/net.d")
    (tmp_path / "etc/cni/net.d/.spiderpool-ipam.swap").touch()
    (tmp_path / "opt/cni/bin/.spiderpool").rmdir()
    make(tmp_path, "/home/kubernetes/bin/.spiderpool")
    assert find(tmp_path, None, None, "calico") == folders_of(tmp_path, "/home/kubernetes/bin", "/etc/cni/net.d")
    assert installed_folders(HostRoot(tmp_path)) == find(tmp_path, None, None, "calico")


@pytest.mark.parametrize("names", [("/b/n\udcff", "/c"), ("/b", "/c/n\udcff")])
def test_a_name_that_no_file_can_hold_is_refused(names: tuple[str, str], tmp_path: Path) -> None:
    calico_in(tmp_path, PLATFORMS[0][0])
    with pytest.raises(FoldersError, match=r"--cni-(bin|conf)-dir /[bc]/n\\xff: the name is not UTF-8"):
        find(tmp_path, *names, "calico")
