"""Service meshes that chain their plugin to Calico's, beside a real watch, in every order.

The counts and times are those that are promised: a look of 6 s stands for the 60 s in which nothing is to be written;
60 s were tried by hand.
"""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.installer.meshes.istio_cni import OWNED as OWNED_FILE
from tests.installer.meshes.scene import LINKERD, MESHES, QUIET, Mesh, Scene, is_ours
from tests.installer.sample_conflists import CALICO
from tests.installer.sample_node import COPY
from tests.waiting import SLACK, wait_for

SHORT = 1.5  # seconds of quiet where the next step needs no more


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with Scene(tmp_path) as scene:
        yield scene


def each_mesh() -> list[object]:
    """Every mesh, before us and after us, in place and as a copy; but no copy that sorts after istio's own file."""
    return [
        pytest.param(mesh, comes_first, as_name, id=f"{name}-{'before' if comes_first else 'after'}-{way}")
        for name, mesh in MESHES.items()
        for comes_first in (True, False)
        for way, as_name in (("place", ""), ("copy", COPY))
        if not (mesh.is_owned and comes_first and as_name)
    ]


def put_both(scene: Scene, mesh: Mesh, *, comes_first: bool, as_name: str) -> Callable[[], None]:
    """Install both in this order, and wait until they are quiet; return what removes the mesh."""
    has_mesh = lambda: scene.looks.look().types.count(mesh.type) == 1  # noqa: E731
    if comes_first:
        process = scene.start_mesh(mesh)
        wait_for(has_mesh, "the mesh")
        scene.settle(lambda: scene.install(as_name), lambda: scene.is_whole(mesh), SHORT, own=1)
    else:
        scene.install(as_name)
        process = scene.start_mesh(mesh)
        scene.settle(lambda: wait_for(has_mesh, "the mesh"), lambda: scene.is_whole(mesh), SHORT)

    def remove() -> None:
        process.terminate()
        assert process.wait(10 + SLACK) == 0

    return remove


@pytest.mark.slow
@pytest.mark.parametrize(("mesh", "comes_first", "as_name"), each_mesh())
def test_over_two_restarts_of_calico_both_are_in_the_chain_and_nobody_fights(
    scene: Scene, mesh: Mesh, comes_first: bool, as_name: str, show: Callable[[str], None]
) -> None:
    put_both(scene, mesh, comes_first=comes_first, as_name=as_name)
    began = time.monotonic()
    for quiet in (SHORT, QUIET):
        restarted = time.monotonic()
        acted = scene.settle(scene.restart_calico, lambda: scene.is_whole(mesh), quiet, own=1)
        writes = scene.looks.written_since(restarted)
        whole = [look.types.count(mesh.type) == 1 for look in scene.looks.since(acted)]
        assert all(whole[whole.index(True) :])  # once the installer has written, its plugin stays
        took = max(0.0, scene.looks.seen[-1][0] - acted)
        show(f"{writes} written, whole {1000 * took:.0f} ms after Calico's write")
    looks = scene.looks.since(began)
    if as_name:
        assert all(is_ours(look) and look.types.count(mesh.type) == 1 for look in looks)
    assert not [look for _, look in scene.looks.seen if look.missing]
    show(f"{scene.looks.count} looks")


@pytest.mark.slow
@pytest.mark.parametrize("leaves_first", ["mesh", "us"])
@pytest.mark.parametrize(("mesh", "comes_first", "as_name"), each_mesh())
def test_whoever_leaves_first_no_chain_misses_a_plugin_and_nothing_of_either_is_left(
    scene: Scene, mesh: Mesh, comes_first: bool, as_name: str, leaves_first: str
) -> None:
    remove_mesh = put_both(scene, mesh, comes_first=comes_first, as_name=as_name)
    if leaves_first == "mesh":
        scene.settle(remove_mesh, lambda: scene.is_whole(None), SHORT, own=2)
        assert mesh.type not in scene.looks.look().types
    uninstalled = scene.uninstall()
    assert uninstalled.returncode == 0, uninstalled.stderr
    wait_for(lambda: mesh.type in scene.looks.look().types or leaves_first == "mesh", "the mesh to come back")
    time.sleep(SHORT)
    if leaves_first == "us":
        assert scene.looks.look().ipam == "calico-ipam"
        remove_mesh()
    assert not [look for _, look in scene.looks.seen if look.missing]
    is_written_by_us_only = mesh.is_owned or (
        as_name and not comes_first and leaves_first == "mesh" and mesh != LINKERD
    )
    if is_written_by_us_only:
        assert scene.node.files() == {"10-calico.conflist": CALICO.encode()}
    assert list(scene.node.files()) == ["10-calico.conflist"]
    assert json.loads(scene.node.conflist.read_bytes()) == json.loads(CALICO)
    assert {path.name for path in scene.node.bin.iterdir()} == {"calico", "portmap"}
    assert OWNED_FILE not in scene.node.files()
