import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from cni.installer.bundle import links
from cni.installer.bundle import plugin_links as bundle
from cni.installer.bundle import tree as trees
from cni.installer.bundle.plugin_links import BundleError, Installed
from tests import requirements
from tests.installer.sample_node import make_tree, write_sums


@pytest.fixture
def node(tmp_path: Path) -> Path:
    (tmp_path / "bin").mkdir()
    return tmp_path / "bin"


def answers(plugin: Path) -> bool:
    done = subprocess.run([plugin], env={"CNI_COMMAND": "VERSION"}, stdin=subprocess.DEVNULL, capture_output=True)
    return bool(json.loads(done.stdout)["supportedVersions"])


def reconciled(node: Path) -> str | None:
    """Repair it as watch does; return what somebody else had done to it."""
    drift = bundle.drift(node)
    bundle.reconcile(node)
    return drift


def versions(node: Path) -> set[str]:
    return {path.name for path in (node / ".spiderpool").iterdir() if path.is_dir() and not path.is_symlink()}


def test_the_layout_is_relative_links_to_the_bundle(node: Path, tmp_path: Path) -> None:
    installed = bundle.install(make_tree(tmp_path / "a", "a"), node, "1.0.0")
    assert installed.name.startswith("1.0.0-")
    assert os.readlink(node / "spiderpool") == ".spiderpool/current/spiderpool"  # noqa: PTH115
    assert os.readlink(node / ".spiderpool/current") == installed.name  # noqa: PTH115
    moved = node.rename(tmp_path / "elsewhere")
    assert answers(moved / "spiderpool")


def test_a_link_inside_the_bundle_stays_a_link(node: Path, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "a", "a")
    (tree / "_internal/link").symlink_to("data")
    write_sums(tree)
    for _ in range(2):
        link = node / ".spiderpool" / bundle.install(tree, node, "1.0.0").name / "_internal/link"
        assert os.readlink(link) == "data"  # noqa: PTH115
        link.unlink()  # and the next run repairs it


def test_a_second_run_changes_nothing(node: Path, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "a", "a")
    first = bundle.install(tree, node, "1.0.0")
    before = {path: path.lstat().st_mtime_ns for path in node.rglob("*")}
    assert bundle.install(tree, node, "1.0.0") == Installed(first.name, changed=False, kept_foreign=False)
    assert {path: path.lstat().st_mtime_ns for path in node.rglob("*")} == before


def test_an_upgrade_keeps_the_version_before_and_no_older_one(node: Path, tmp_path: Path) -> None:
    names = [bundle.install(make_tree(tmp_path / mark, mark), node, "1.0.0").name for mark in ("a", "b", "c")]
    assert len(set(names)) == 3
    assert versions(node) == set(names[1:])
    assert bundle.current_bundle(node) == names[2]


def test_a_foreign_plugin_is_kept_aside(node: Path, tmp_path: Path) -> None:
    (node / "spiderpool").write_text("upstream's")
    installed = bundle.install(make_tree(tmp_path / "a", "a"), node, "1.0.0")
    assert installed.kept_foreign
    assert (node / ".spiderpool/foreign").read_text() == "upstream's"
    assert answers(node / "spiderpool")


def test_one_that_came_back_is_kept_anew(node: Path, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "a", "a")
    for text in ("first", "second"):
        (node / "spiderpool").unlink(missing_ok=True)
        (node / "spiderpool").write_text(text)
        assert bundle.current_bundle(node) is None
        assert bundle.install(tree, node, "1.0.0").changed
    assert (node / ".spiderpool/foreign").read_text() == "second"


def test_a_bundle_that_was_damaged_is_replaced_not_trusted(node: Path, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "a", "a")
    name = bundle.install(tree, node, "1.0.0").name
    folder = node / ".spiderpool" / name
    (folder / "_internal/data").write_text("damaged")
    (folder / "_internal/stray").touch()
    (folder / "spiderpool").chmod(0o644)
    bundle.install(tree, node, "1.0.0")
    assert trees.digest(folder) == trees.digest(tree)
    assert answers(node / "spiderpool")
    assert versions(node) == {name}


def test_what_a_killed_run_left_is_no_obstacle(node: Path, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "a", "a")
    name = f"1.0.0-{trees.digest(tree)[:8]}"
    (node / ".spiderpool" / f".new-{name}").mkdir(parents=True)
    (node / ".spiderpool/.new-current").symlink_to("half")
    (node / ".spiderpool/.new-spiderpool").symlink_to("half")
    bundle.install(tree, node, "1.0.0")
    assert {path.name for path in (node / ".spiderpool").iterdir()} == {name, "current"}


@pytest.mark.parametrize(
    ("script", "words"),
    [("#!/bin/sh\necho oops >&2; exit 127\n", "exit status 127: oops"), ("#!/nowhere\n", "No such file")],
)
def test_a_bundle_that_does_not_run_here_is_not_switched_to(
    script: str, words: str, node: Path, tmp_path: Path
) -> None:
    good = bundle.install(make_tree(tmp_path / "a", "a"), node, "1.0.0").name
    with pytest.raises(BundleError, match=words):
        bundle.install(make_tree(tmp_path / "b", "b", script), node, "2.0.0")
    assert bundle.current_bundle(node) == good
    assert answers(node / "spiderpool")


def test_the_name_is_taken_back_and_what_took_it_is_kept(node: Path, tmp_path: Path) -> None:
    bundle.install(make_tree(tmp_path / "a", "a"), node, "1.0.0")
    assert reconciled(node) is None
    (node / "spiderpool").unlink()
    assert reconciled(node) == "removed"
    (node / "spiderpool").unlink()
    (node / "spiderpool").write_text("upstream's")
    assert reconciled(node) == "replaced"
    assert answers(node / "spiderpool")
    assert (node / ".spiderpool/foreign").read_text() == "upstream's"


def test_a_launcher_that_was_written_through_the_link_is_restored(node: Path, tmp_path: Path) -> None:
    bundle.install(make_tree(tmp_path / "a", "a"), node, "1.0.0")
    (node / "spiderpool").write_text("upstream's, by cp")
    assert reconciled(node) == "overwritten"
    assert answers(node / "spiderpool")
    assert reconciled(node) is None


def test_uninstalling_gives_back_what_was_there(node: Path, tmp_path: Path) -> None:
    (node / "spiderpool").write_text("upstream's")
    bundle.install(make_tree(tmp_path / "a", "a"), node, "1.0.0")
    bundle.uninstall(node)
    assert [path.name for path in node.iterdir()] == ["spiderpool"]
    assert (node / "spiderpool").read_text() == "upstream's"


def test_a_name_that_is_no_longer_ours_is_left_alone(node: Path, tmp_path: Path) -> None:
    bundle.install(make_tree(tmp_path / "a", "a"), node, "1.0.0")
    (node / "spiderpool").unlink()
    (node / "spiderpool").write_text("another's")
    assert "spiderpool is left: it is no longer ours" in bundle.uninstall(node)
    assert (node / "spiderpool").read_text() == "another's"
    assert not (node / ".spiderpool").exists()


def test_the_frozen_bundle_runs_from_there(node: Path) -> None:
    tree = requirements.need_frozen("spiderpool").parent
    installed = bundle.install(tree, node, "0.1.0")
    assert answers(node / "spiderpool")
    assert trees.digest(node / ".spiderpool" / installed.name) == trees.digest(tree)


def test_the_version_before_stays_when_the_run_is_repeated(node: Path, tmp_path: Path) -> None:
    trees = [make_tree(tmp_path / mark, mark) for mark in ("a", "b")]
    names = [bundle.install(tree, node, "1.0.0").name for tree in trees]
    bundle.install(trees[1], node, "1.0.0")
    assert versions(node) == set(names)


def test_the_version_before_stays_though_the_name_was_anothers_meanwhile(node: Path, tmp_path: Path) -> None:
    names = []
    for mark in ("a", "b"):
        names.append(bundle.install(make_tree(tmp_path / mark, mark), node, "1.0.0").name)
        (node / "spiderpool").unlink()
        (node / "spiderpool").write_text("upstream's")
    assert versions(node) == set(names)


def test_the_version_before_can_be_gone_back_to(node: Path, tmp_path: Path) -> None:
    names = [bundle.install(make_tree(tmp_path / mark, mark), node, "1.0.0").name for mark in ("a", "b")]
    assert bundle.install(node / ".spiderpool" / names[0], node, "1.0.0").changed
    assert (bundle.current_bundle(node), versions(node)) == (names[0], set(names))


def test_a_bundle_that_was_damaged_is_not_installed_from(node: Path, tmp_path: Path) -> None:
    name = bundle.install(make_tree(tmp_path / "a", "a"), node, "1.0.0").name
    (node / ".spiderpool" / name / "_internal/data").unlink()
    with pytest.raises(BundleError, match="is damaged: _internal/data is missing: install the release again"):
        bundle.install(node / ".spiderpool/current", node, "1.0.0")
    assert versions(node) == {name}


def test_files_that_others_may_write_are_made_anew(node: Path, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "a", "a")
    folder = node / ".spiderpool" / bundle.install(tree, node, "1.0.0").name
    for path in (folder, folder / "_internal", folder / "_internal/data", folder / "spiderpool"):
        path.chmod(0o777)
    bundle.install(tree, node, "1.0.0")
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in (folder, *folder.rglob("*"))}
    assert modes == {
        folder.name: "0o755", "_internal": "0o755", "data": "0o644", "spiderpool": "0o755", "spiderpool-ipam": "0o755",
        "SHA256SUMS": "0o644",
    }  # fmt: skip


def test_a_launcher_that_is_missing_is_restored(node: Path, tmp_path: Path) -> None:
    bundle.install(make_tree(tmp_path / "a", "a"), node, "1.0.0")
    (node / "spiderpool").resolve().unlink()
    assert reconciled(node) == "overwritten"
    assert answers(node / "spiderpool")


def test_a_foreign_plugin_comes_back_to_a_name_that_is_free(node: Path, tmp_path: Path) -> None:
    (node / "spiderpool").write_text("upstream's")
    bundle.install(make_tree(tmp_path / "a", "a"), node, "1.0.0")
    (node / "spiderpool").unlink()
    bundle.uninstall(node)
    assert (node / "spiderpool").read_text() == "upstream's"


def by_cp(node: Path) -> None:
    (node / "spiderpool").write_text("upstream's, by cp")


def not_executable(node: Path) -> None:
    (node / "spiderpool").resolve().chmod(0o644)


def without_a_file(node: Path) -> None:
    (node / ".spiderpool/current/_internal/data").unlink()


def with_another_launcher(node: Path) -> None:
    (node / "spiderpool").unlink()
    (node / "spiderpool").write_text("upstream's")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (by_cp, "is damaged"),
        (not_executable, "is damaged"),
        (without_a_file, "is damaged"),
        (with_another_launcher, "is missing or another program"),
    ],
)
def test_what_is_wrong_with_it_is_told(damage: Callable[[Path], None], words: str, node: Path, tmp_path: Path) -> None:
    bundle.install(make_tree(tmp_path / "a", "a"), node, "1.0.0")
    assert bundle.fault(node) == ""
    damage(node)
    assert words in bundle.fault(node)


def test_a_whole_bundle_that_does_not_run_is_told(node: Path, tmp_path: Path) -> None:
    name = bundle.install(make_tree(tmp_path / "a", "a"), node, "1.0.0").name
    folder = node / ".spiderpool" / name
    (folder / "spiderpool").write_text("#!/bin/sh\nexit 3\n")
    write_sums(folder)
    links.flip(node / ".spiderpool/current", folder.rename(bundle_folder(node, folder)).name)
    assert "does not answer VERSION: exit status 3" in bundle.fault(node)


def bundle_folder(node: Path, folder: Path) -> Path:
    return node / ".spiderpool" / bundle.name_of(folder, "1.0.0")
