from pathlib import Path

from cni.installer.node.host_root import below
from tests.installer.node.test_folders import make


def test_links_lead_where_the_node_would_be_led(tmp_path: Path) -> None:
    make(tmp_path, "/run/spidernet", "/var")
    (tmp_path / "var/run").symlink_to("/run")
    (tmp_path / "run/up").symlink_to("../../../run/spidernet")
    assert below(tmp_path, "/var/run/spidernet/spiderpool.sock") == tmp_path / "run/spidernet/spiderpool.sock"
    assert below(tmp_path, "/var/run/up/x") == tmp_path / "run/spidernet/x"
    assert below(Path("/"), tmp_path) == tmp_path.resolve()


def test_a_circle_of_links_ends(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("/a")
    assert below(tmp_path, "/a") == tmp_path / "a"
