"""A conflist that --conf names outside of the folder of network configurations, as Multus can load it, is kept, too."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cni.installer.written import writable_folders
from tests.installer.sample_conflists import CALICO, SWAPPED
from tests.installer.sample_node import Node
from tests.installer.test_watch import Watch, until

STATE = "/var/lib/spiderpool-ipam"


@pytest.fixture
def elsewhere(node: Node) -> Path:
    """Swap a conflist that no runtime loads by its folder; its name has none of the endings that runtimes load."""
    path = node.root / "etc/other/calico.cfg"
    path.parent.mkdir()
    node.conflist.rename(path)
    node.install(conf="/etc/other/calico.cfg")
    assert path.read_text() == SWAPPED
    return path


def test_the_unit_may_write_to_its_folder(node: Node, elsewhere: Path) -> None:
    assert writable_folders(node.folders) == ["/etc/cni", "/opt/cni", "/etc/other", STATE]


def test_the_unit_may_never_write_to_the_whole_node(node: Node) -> None:
    node.conflist.rename(node.root / "10-calico.conflist")
    node.install(conf="/10-calico.conflist")
    assert writable_folders(node.folders) == ["/etc/cni", "/opt/cni", STATE]


@pytest.fixture
def watch(node: Node, elsewhere: Path) -> Iterator[Watch]:
    watch = Watch(node)
    try:
        until(watch.ready.exists, 10)
        yield watch
    finally:
        watch.process.kill()
        watch.process.wait()


@pytest.mark.usefixtures("watch")
def test_it_is_swapped_again_within_a_second(elsewhere: Path) -> None:
    for _ in range(2):
        time.sleep(0.7)  # the check after arming
        elsewhere.write_text(CALICO)
        until(lambda: elsewhere.read_text() == SWAPPED, 1)
