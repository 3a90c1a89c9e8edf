from pathlib import Path

from tests.installer.test_discovery import PLATFORMS, calico_in, find, folders_of, make


def test_a_link_in_a_folders_path_is_followed_anew_at_each_look(tmp_path: Path) -> None:
    """Of microk8s, at each refresh of its snap."""
    conf, binaries = PLATFORMS[2]
    for revision in ("7000", "7001"):
        calico_in(tmp_path, conf.replace("current", revision))
        make(tmp_path, binaries.replace("current", revision))
    current = tmp_path / "var/snap/microk8s/current"
    current.symlink_to("7000")
    folders = find(tmp_path, None, None, "calico")
    assert (folders.bin_name, folders.conf_name) == (binaries, conf)
    assert folders.name_of(folders.bin / "spiderpool") == f"{binaries}/spiderpool"
    current.unlink()
    current.symlink_to("7001")
    assert folders.resolve_again().conf == tmp_path / conf.replace("current", "7001")[1:]


def test_every_path_has_a_name_that_can_be_printed_and_written(tmp_path: Path) -> None:
    folders = folders_of(tmp_path, "/opt/cni/bin", "/etc/cni/net.d")
    assert folders.name_of(folders.conf / "10-\udcff.conf") == "/etc/cni/net.d/10-\\xff.conf"
    assert folders.name_of(tmp_path / "var/x") == "/var/x"
