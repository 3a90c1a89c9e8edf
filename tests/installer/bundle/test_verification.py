"""A damaged release is not installed, what is damaged afterwards is found, and neither is mended by what is damaged."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cni.installer import reconciler, status
from cni.installer.bundle import plugin_links as bundle
from cni.installer.bundle import tree as trees
from cni.installer.bundle.plugin_links import BundleError
from cni.installer.reconciler import Reconciler
from tests import requirements
from tests.installer.sample_conflists import SWAPPED
from tests.installer.sample_node import Node, make_tree
from tests.waiting import SLACK

AGAIN = "install the release again, from its tarball, unpacked into an empty folder, or from its image"


def change_a_byte(path: Path) -> None:
    """Change one byte in the middle, and neither size nor time of the file."""
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def everything(root: Path) -> dict[Path, int]:
    return {path: path.lstat().st_mtime_ns for path in root.rglob("*")}


def test_a_release_with_one_changed_byte_is_refused_before_anything_is_changed(node: Node) -> None:
    change_a_byte(node.tree / "_internal/data")
    before = everything(node.root)
    with pytest.raises(BundleError) as caught:
        node.install()
    assert str(caught.value) == (f"{node.tree} is damaged: _internal/data does not hold what SHA256SUMS says: {AGAIN}")
    assert everything(node.root) == before


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda tree: change_a_byte(tree / "_internal/spiderpool.bin"), "_internal/spiderpool.bin does not hold"),
        (lambda tree: (tree / "SHA256SUMS").unlink(), "SHA256SUMS is missing"),
        (lambda tree: (tree / "nohup.out").touch(), "nohup.out is not of this release"),
    ],
)
def test_the_frozen_program_refuses_to_install_itself_when_it_is_damaged(
    damage: Callable[[Path], None], words: str, tmp_path: Path
) -> None:
    release = shutil.copytree(requirements.need_frozen("spiderpool").parent, tmp_path / "release", symlinks=True)
    damage(release)
    node = Node(tmp_path / "node")
    before = everything(node.root)
    command = [f"{release}/spiderpool-ipam", "install", "--wait-agent", "0", "--host-root", str(node.root)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: {release} is damaged: {words}")
    assert done.stderr.endswith(f": {AGAIN}\n")
    assert everything(node.root) == before


def test_one_changed_byte_is_found_by_status_and_by_the_verification(tmp_path: Path) -> None:
    node = Node(tmp_path)
    assert node.run("install", "--wait-agent", "0").returncode == 0
    assert bundle.verify(node.bin) == ""
    change_a_byte(node.bin / ".spiderpool/current/_internal/spiderpool.bin")
    words = f"is damaged: _internal/spiderpool.bin does not hold what SHA256SUMS says: {AGAIN}"
    assert bundle.verify(node.bin) == words
    assert f"/opt/cni/bin/spiderpool {words}" in node.run("status").stderr


def drop_internal(folder: Path) -> None:
    shutil.rmtree(folder / "_internal")


def drop_sums(folder: Path) -> None:
    (folder / "SHA256SUMS").unlink()


def empty_a_file(folder: Path) -> None:
    os.truncate(folder / "_internal/data", 0)


def link_internal_elsewhere(folder: Path) -> None:
    elsewhere = (folder / "_internal").rename(folder.parent / ".elsewhere")
    (folder / "_internal").symlink_to(elsewhere)
    (elsewhere / "data").unlink()
    (elsewhere / "precious").touch()


def drop_the_bundle(folder: Path) -> None:
    shutil.rmtree(folder)


def damage_the_plugin(folder: Path) -> None:
    change_a_byte(folder / "spiderpool")


def damage_the_operators_program(folder: Path) -> None:
    change_a_byte(folder / "spiderpool-ipam")


def damage_both(folder: Path) -> None:
    damage_the_plugin(folder)
    damage_the_operators_program(folder)


def make_it_no_program(folder: Path) -> None:
    (folder / "spiderpool").chmod(0o644)


DAMAGES = [
    (drop_internal, "removed"),
    (drop_sums, "removed"),
    (empty_a_file, "removed"),
    (link_internal_elsewhere, "removed"),
    (drop_the_bundle, "removed"),
    (damage_the_plugin, "overwritten"),
    (damage_the_operators_program, "overwritten"),
    (damage_both, "overwritten"),
    (make_it_no_program, "overwritten"),
]


@pytest.fixture
def watched(node: Node, monkeypatch: pytest.MonkeyPatch) -> Reconciler:
    monkeypatch.setattr(reconciler, "GRACE", 0.0)
    node.install()
    made = Reconciler(node.folders, node.tree, "1.0.0", lambda _: None)
    made.check()
    assert made.state.fault == ""
    return made


@pytest.mark.parametrize(("damage", "reason"), DAMAGES)
def test_the_cheap_look_finds_it_and_a_whole_tree_mends_it(
    damage: Callable[[Path], None], reason: str, node: Node, watched: Reconciler
) -> None:
    damage(node.plugin.resolve().parent)
    assert bundle.drift(node.bin) == reason
    watched.check()
    assert (watched.state.fault, bundle.drift(node.bin), bundle.fault(node.bin)) == ("", None, "")
    assert watched.state.drift == {("plugin", reason): 1}
    elsewhere = node.bin / ".spiderpool/.elsewhere"
    assert not elsewhere.exists() or os.listdir(elsewhere) == ["precious"]  # noqa: PTH208


@pytest.mark.parametrize("damage", [drop_internal, damage_both, drop_sums])
def test_by_a_tree_that_is_damaged_itself_nothing_is_mended_and_that_is_told(
    damage: Callable[[Path], None], node: Node, watched: Reconciler
) -> None:
    change_a_byte(node.tree / "_internal/data")
    damage(node.plugin.resolve().parent)
    watched.check()
    assert f"{node.tree} is damaged: _internal/data does not hold" in watched.state.fault
    assert bundle.drift(node.bin)


@pytest.mark.parametrize("damaged", ["spiderpool", "spiderpool-ipam"])
def test_of_two_launchers_the_damaged_one_is_mended_also_without_a_tree(damaged: str, node: Node) -> None:
    """What the two have in common tells only that they differ, not which of them is right."""
    node.install()
    folder = node.plugin.resolve().parent
    right = (folder / "spiderpool").read_bytes()
    change_a_byte(folder / damaged)
    bundle.reconcile(node.bin)
    assert ((folder / "spiderpool").read_bytes(), (folder / "spiderpool-ipam").read_bytes()) == (right, right)


def test_of_two_launchers_that_are_both_wrong_neither_is_mended(node: Node) -> None:
    node.install()
    folder = node.plugin.resolve().parent
    (folder / "spiderpool-ipam").unlink()
    damage_the_plugin(folder)
    with pytest.raises(BundleError, match="is damaged: spiderpool does not hold what SHA256SUMS says: install"):
        bundle.reconcile(node.bin)


def test_a_copy_that_came_out_otherwise_is_not_switched_to(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad disk, or a release that somebody changes meanwhile; here it is a mock, because neither can be had."""
    copy_tree = trees.install_tree

    def copy_badly(tree: Path, folder: Path) -> None:
        copy_tree(tree, folder)
        change_a_byte(folder / "_internal/data")

    monkeypatch.setattr(trees, "install_tree", copy_badly)
    with pytest.raises(BundleError, match="_internal/data does not hold what SHA256SUMS says"):
        node.install()
    assert not node.plugin.exists()


def test_without_a_tree_what_is_missing_is_named(node: Node) -> None:
    node.install()
    drop_internal(node.plugin.resolve().parent)
    with pytest.raises(BundleError, match=r"bin/spiderpool is damaged: _internal/data is missing: install the release"):
        bundle.reconcile(node.bin)


def test_a_plugin_that_does_not_answer_after_it_was_mended_is_a_fault(node: Node) -> None:
    node.install()
    node.plugin.unlink()
    script = '#!/bin/sh\n[ -e {mark}/broken ] && exit 5\necho \'{{"supportedVersions":["1.1.0"]}}\'\n'
    bundle.install(make_tree(node.root / "b", str(node.root), script), node.bin, "2.0.0")
    (node.root / "broken").touch()
    node.plugin.unlink()
    with pytest.raises(BundleError, match="does not answer VERSION: exit status 5"):
        bundle.reconcile(node.bin)
    assert "exit status 5" in bundle.answers(node.bin)


def test_what_does_not_answer_where_runtimes_look_for_it_is_switched_back(node: Node) -> None:
    node.install()
    script = '#!/bin/sh\ncase $0 in */opt/cni/bin/spiderpool) exit 6; esac\necho \'{{"supportedVersions":["1"]}}\'\n'
    before = bundle.current_bundle(node.bin)
    for text in ("", "another's"):
        if text:
            node.plugin.unlink()
            node.plugin.write_text(text)
        with pytest.raises(BundleError, match="opt/cni/bin/spiderpool does not answer VERSION: exit status 6"):
            bundle.install(make_tree(node.root / f"b{text}", "b", script), node.bin, "2.0.0")
    assert node.plugin.read_text() == "another's"
    node.plugin.unlink()
    bundle.reconcile(node.bin)
    assert (bundle.current_bundle(node.bin), node.answers()) == (before, True)


def test_a_plugin_that_hangs_is_given_up_after_seconds_or_when_told_to(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = '#!/bin/sh\n[ -e {mark}/broken ] && exec sleep 100\necho \'{{"supportedVersions":["1.1.0"]}}\'\n'
    bundle.install(make_tree(node.root / "b", str(node.root), script), node.bin, "2.0.0")
    (node.root / "broken").touch()
    started = time.monotonic()
    assert bundle.answers(node.bin, stop=lambda: True) == ""
    monkeypatch.setattr(bundle, "_START", 0.3)
    assert bundle.answers(node.bin) == "does not answer VERSION: no answer within 0.3 s"
    assert time.monotonic() - started < 1 + SLACK


def test_another_program_of_our_name_is_not_run(node: Node) -> None:
    node.install()
    node.plugin.unlink()
    node.plugin.write_text(f"#!/bin/sh\ntouch {node.root}/ran\n")
    node.plugin.chmod(0o755)
    assert "another program" in bundle.answers(node.bin)
    current = node.bin / ".spiderpool/current"
    current.unlink()
    current.symlink_to(node.root)  # out of the folder of plugins: another root's, maybe
    node.plugin.rename(node.root / "spiderpool")
    node.plugin.symlink_to(".spiderpool/current/spiderpool")
    assert "another program" in bundle.answers(node.bin)
    assert not (node.root / "ran").exists()


def test_status_compares_with_the_checksums_too(node: Node) -> None:
    node.install()
    change_a_byte(node.bin / ".spiderpool/current/_internal/data")
    assert "_internal/data does not hold what SHA256SUMS says" in status.gather(node.folders, []).problems[0]
    assert node.conflist.read_text() == SWAPPED
