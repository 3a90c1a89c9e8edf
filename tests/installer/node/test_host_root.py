from pathlib import Path

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


def test_a_circle_of_links_ends(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("/a")
    assert HostRoot(tmp_path).resolve("/a") == tmp_path / "a"


def test_a_path_is_told_by_the_nodes_name_and_led_on_by_the_nodes_links(tmp_path: Path) -> None:
    make(tmp_path, "/real")
    (tmp_path / "link").symlink_to("/real")
    root = HostRoot(tmp_path)
    assert root.name_of(tmp_path / "link/x") == "/link/x"
    assert root.follow(tmp_path / "link/x") == tmp_path / "real/x"
    assert root.name_of(Path("/elsewhere")) == "/elsewhere"
