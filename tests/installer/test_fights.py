"""Others that work against an installation, or put files of their own beside it: watch and they are processes."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cni.installer.conflist.document import ConflistError
from tests.installer.meshes.scene import Scene
from tests.installer.sample_conflists import CALICO, NEWER, SWAPPED
from tests.installer.sample_node import COPY
from tests.waiting import SLACK, wait_for

OWNED = "02-istio-cni.conflist"
CALICO_IPAM = json.dumps({"type": "calico-ipam"})


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with Scene(tmp_path) as scene:
        yield scene


@pytest.mark.parametrize("as_name", ["", COPY])
def test_what_cilium_renames_is_named_with_its_setting_and_mends_when_it_is_back(scene: Scene, as_name: str) -> None:
    scene.install(as_name)
    node, watch = scene.node, scene.watch
    assert watch
    before = node.files()
    cilium = scene.start("cilium_exclusive", str(node.conf))
    renamed = "Cilium has renamed /etc/cni/net.d/10-calico.conflist to 10-calico.conflist.cilium_bak"
    wait_for(lambda: renamed in watch.said, "the fault", 5)
    assert "because its setting cni.exclusive is true: set it to false and rename the file back" in watch.said
    wait_for(lambda: not watch.ready.exists(), "watch not to be ready", 1)
    cilium.terminate()
    assert cilium.wait(10 + SLACK) == 0
    wait_for(watch.ready.exists, "watch to be ready", 5)
    wait_for(lambda: scene.is_whole(None), "our ipam", 1)
    present = {name: data for name, data in node.files().items() if name in before and not name.startswith(".")}
    assert present == {name: data for name, data in before.items() if not name.startswith(".")}
    assert not list(node.conf.glob("*.cilium_bak"))


@pytest.mark.parametrize(
    ("as_name", "file", "key", "value", "member"),
    [
        (
            "",
            "10-calico.conflist",
            "ipam",
            CALICO_IPAM,
            "the ipam of plugin calico in /etc/cni/net.d/10-calico.conflist",
        ),
        ("", OWNED, "ipam", CALICO_IPAM, f"the ipam of plugin calico in /etc/cni/net.d/{OWNED}"),
        (COPY, COPY, "ipam", CALICO_IPAM, f"the ipam of plugin calico in /etc/cni/net.d/{COPY}"),
        (COPY, COPY, "mtu", "9000", f"the mtu of plugin calico in /etc/cni/net.d/{COPY}"),
    ],
    ids=["in place", "a file that is loaded first", "the copy", "another member of the copy"],
)
def test_whoever_fights_for_ever_is_backed_off_from_and_the_member_is_named(
    scene: Scene, as_name: str, file: str, key: str, value: str, member: str
) -> None:
    scene.install(as_name)
    node, watch = scene.node, scene.watch
    assert watch
    if file == OWNED:
        (node.conf / OWNED).write_text(SWAPPED)
        wait_for(lambda: any("02-istio" in name for name in node.record.also), "the file to be known", 2)
    scene.start("fighter", str(node.conf / file), key, value)
    warning = f"others have changed {member} more than 5 times in 10 minutes: find out what else writes it"
    wait_for(lambda: 'level=warn msg="others have changed ' in watch.said, "the warning", 15)
    assert warning in watch.said
    wait_for(lambda: not watch.ready.exists(), "watch not to be ready", 2)


@pytest.mark.parametrize("as_name", ["", COPY])
@pytest.mark.parametrize("name", ["20-backup.conflist", "05-backup.conflist"])
def test_an_admins_copy_of_calicos_file_leaves_watch_at_its_work(scene: Scene, as_name: str, name: str) -> None:
    scene.install(as_name)
    node, watch = scene.node, scene.watch
    assert watch
    backup = node.conf / name
    backup.write_text(CALICO)
    wait_for(lambda: scene.is_whole(None), "our ipam", 2)
    node.write(NEWER)
    target = node.copy if as_name else node.conflist
    wait_for(
        lambda: target.read_text() == NEWER.replace('{ "type": "calico-ipam" }', '{"type": "spiderpool"}'), name, 2
    )
    wait_for(lambda: scene.is_whole(None), "our ipam", 2)
    assert "name the file with --conf" not in watch.said
    if name > "10":
        assert backup.read_text() == CALICO
    assert scene.uninstall().returncode == 0
    assert node.files() == {"10-calico.conflist": NEWER.encode(), name: CALICO.encode()}


def test_a_copy_of_the_swapped_file_that_is_never_loaded_keeps_the_plugin_and_is_named(scene: Scene) -> None:
    scene.install()
    (scene.node.conf / "20-backup.conflist").write_text(SWAPPED)
    done = scene.uninstall()
    assert done.returncode == 3
    assert "20-backup.conflist names it" in done.stdout + done.stderr
    assert scene.node.answers()


@pytest.mark.parametrize("conf", ["", "10-calico.conflist"])
def test_a_file_that_was_made_of_ours_while_no_watch_ran_gets_its_own_ipam_back(scene: Scene, conf: str) -> None:
    node = scene.node
    node.install(conf=conf)
    (node.conf / OWNED).write_text(SWAPPED)
    done = scene.uninstall()
    assert done.returncode == 0, done.stderr
    assert node.ipam(node.conf / OWNED) == {"type": "calico-ipam"}


def test_a_file_that_named_our_plugin_before_us_is_not_taken_for_a_copy_of_ours(scene: Scene) -> None:
    node = scene.node
    earlier = CALICO.replace("calico-ipam", "spiderpool").replace('"snat": true', '"snat": false')
    (node.conf / "02-own.conflist").write_text(earlier.replace('"type": "portmap"', '"type": "own-plugin"'))
    before = (node.conf / "02-own.conflist").read_bytes()
    scene.install()
    scene.uninstall()
    assert (node.conf / "02-own.conflist").read_bytes() == before
    assert node.conflist.read_text() == CALICO


def with_mesh() -> str:
    """Return Calico's conflist with a plugin that a mesh has appended."""
    end = CALICO.rindex("\n  ]")
    return CALICO[:end] + ',\n    {"type": "istio-cni"}' + CALICO[end:]


def test_a_plugin_whose_executable_is_removed_leaves_the_copy_at_once(scene: Scene) -> None:
    node = scene.node
    (node.bin / "istio-cni").touch()
    node.write(with_mesh())
    scene.install(COPY)
    assert "istio-cni" in scene.looks.look().types
    (node.bin / "istio-cni").unlink()
    wait_for(lambda: "istio-cni" not in scene.looks.look().types, "the copy without it", 1)
    assert scene.watch
    said = "istio-cni is left out of its chain, because /opt/cni/bin has no such plugin"
    wait_for(lambda: said in scene.watch.said, "the reason", 1)  # type: ignore[union-attr]
    (node.bin / "istio-cni").touch()
    wait_for(lambda: "istio-cni" in scene.looks.look().types, "the copy with it", 1)


def test_what_a_mesh_has_left_in_calicos_file_is_taken_out_before_that_file_is_loaded_again(scene: Scene) -> None:
    node = scene.node
    (node.bin / "istio-cni").touch()
    node.write(with_mesh())
    node.install(COPY)
    node.copy.write_text(SWAPPED)  # the mesh takes its plugin out of the file that runtimes load
    (node.bin / "istio-cni").unlink()
    done = scene.uninstall()
    assert done.returncode == 0
    assert "10-calico.conflist: taken out, because /opt/cni/bin has it no more: istio-cni" in done.stdout
    assert node.files() == {"10-calico.conflist": CALICO.encode()}
    assert not [look for _, look in scene.looks.seen if look.missing]


def test_a_copy_that_sorts_after_the_file_of_a_mesh_is_refused_with_the_ways_out(scene: Scene) -> None:
    node = scene.node
    (node.conf / OWNED).write_text(with_mesh())
    before = node.files()
    refusal = (
        f"--as {COPY}: runtimes load {OWNED} before it.* install without --as.* or name a copy that sorts before it"
    )
    with pytest.raises(ConflistError, match=refusal):
        node.install(COPY)
    assert node.files() == before
