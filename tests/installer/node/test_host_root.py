import errno
from pathlib import Path

import pytest

from cni.installer.node.host_root import HostRoot
from tests.installer.test_discovery import make


def test_links_lead_where_the_node_would_be_led(tmp_path: Path) -> None:
    make(tmp_path, "/run/spidernet", "/var")
    (tmp_path / "var/run").symlink_to("/run")
    (tmp_path / "run/up").symlink_to("../../../run/spidernet")
    root = HostRoot(tmp_path)
    assert root.resolve("/var/run/spidernet/spiderpool.sock") == tmp_path / "run/spidernet/spiderpool.sock"
    assert root.resolve("/var/run/up/x") == tmp_path / "run/spidernet/x"
    assert HostRoot().resolve(tmp_path) == tmp_path.resolve()


def test_what_has_more_links_than_the_kernel_follows_is_an_error_and_never_outside_the_root(tmp_path: Path) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    make(tmp_path, "/outside", "/root")
    (root / "0").symlink_to(outside)
    (root / "40").mkdir()
    for number in range(1, 40):
        (root / str(number)).symlink_to(f"/{number + 1}")
    make(root, str(outside))
    assert HostRoot(root).resolve("/1/x") == root / "40/x"  # 39 links
    for number, links in ((0, 1), (1, 39)):
        assert HostRoot(root).resolve(f"/{number}").is_relative_to(root), links
    (root / "a").symlink_to("/1")
    (root / "b").symlink_to("/a")
    assert HostRoot(root).resolve("/a") == root / "40"  # 40
    with pytest.raises(OSError, match="symbolic links: '/b/x'") as caught:  # 41
        HostRoot(root).resolve("/b/x")
    assert caught.value.errno == errno.ELOOP
    (root / "last").symlink_to(outside)
    for number in range(39):
        (root / f"l{number}").symlink_to(f"/l{number + 1}" if number < 38 else "/l39")
    (root / "l39").symlink_to("/last")
    with pytest.raises(OSError, match="/l0"):  # the 41st would lead out of the root, were it not followed here
        HostRoot(root).resolve("/l0")


def test_a_circle_of_links_is_an_error_that_names_it_and_nothing_is_found_there(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("/a")
    root = HostRoot(tmp_path)
    with pytest.raises(OSError, match="'/a/b'"):
        root.resolve("/a/b")
    assert (root.find("/a"), root.dead_end("/a")) == (None, "leads in a circle of symbolic links")


def test_a_link_to_what_is_not_mounted_is_told_from_what_does_not_exist(tmp_path: Path) -> None:
    make(tmp_path, "/etc/cni", "/there")
    (tmp_path / "etc/cni/net.d").symlink_to("/run/x")
    (tmp_path / "here").symlink_to("/there")
    root = HostRoot(tmp_path)
    assert root.dead_end("/etc/cni/net.d") == f"leads to /run/x, which is not mounted below {tmp_path}: mount it"
    assert root.dead_end("/etc/cni/net.d/y") == f"leads to /run/x/y, which is not mounted below {tmp_path}: mount it"
    assert (root.dead_end("/here"), root.dead_end("/no/such"), root.find("/no/such")) == ("", "", None)
    assert root.find("/here") == tmp_path / "there"
    (tmp_path / "out").symlink_to("/no/such")
    assert HostRoot().dead_end(tmp_path / "out") == "leads to /no/such, which does not exist"


def test_a_path_is_told_by_the_nodes_name_and_led_on_by_the_nodes_links(tmp_path: Path) -> None:
    make(tmp_path, "/real")
    (tmp_path / "link").symlink_to("/real")
    root = HostRoot(tmp_path)
    assert root.name_of(tmp_path / "link/x") == "/link/x"
    assert root.follow(tmp_path / "link/x") == tmp_path / "real/x"
    assert root.name_of(Path("/elsewhere")) == "/elsewhere"
