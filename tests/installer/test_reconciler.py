"""What one check comes to, called by hand; test_watch.py has watch as a process of its own."""

import errno
import fcntl
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cni.installer import reconciler
from cni.installer.bundle import plugin_links as bundle
from cni.installer.conflict import BACK_OFF, CONFLICT_DRIFTS
from cni.installer.node import atomic_file, lock
from cni.installer.reconciler import Reconciler, UninstalledError
from tests.installer.sample_conflists import CALICO, GO, SWAPPED
from tests.installer.sample_node import COPY, Node
from tests.waiting import SLACK

Watching = Callable[..., Reconciler]


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def watch(node: Node, said: list[str]) -> Callable[..., Reconciler]:
    def start(as_name: str = "") -> Reconciler:
        node.install(as_name)
        made = Reconciler(node.folders, node.tree, "1.0.0", said.append)
        made.check()
        assert made.state.fault == ""
        return made

    return start


def replaced(node: Node) -> None:
    node.plugin.unlink()
    node.plugin.write_text("the Go plugin")


def overwritten(copy: Path) -> None:
    copy.write_text(CALICO)


def conflict(watch: Reconciler, undo: Callable[[], None]) -> None:
    for _ in range(CONFLICT_DRIFTS + 1):
        undo()
        watch.check()
        assert watch.state.fault == ""


def test_during_a_conflict_a_plugin_that_is_missing_is_repaired_at_once(node: Node, watch: Watching) -> None:
    made = watch()
    conflict(made, lambda: replaced(node))
    replaced(node)
    made.check()
    assert "the next repair is in up to 60 s" in made.state.fault
    assert node.plugin.read_text() == "the Go plugin"
    node.plugin.unlink()
    made.check()
    assert (made.state.fault, node.answers()) == ("", True)


def test_a_conflict_about_the_plugin_is_none_about_the_conflist(node: Node, watch: Watching) -> None:
    made = watch()
    conflict(made, lambda: replaced(node))
    replaced(node)
    node.write()
    made.check()
    assert node.conflist.read_text() == SWAPPED
    assert "the next repair" in made.state.fault
    assert made.next_check.left() <= BACK_OFF


def test_a_copy_that_others_overwrite_all_the_time_is_a_conflict(node: Node, watch: Watching) -> None:
    made = watch(COPY)
    conflict(made, lambda: overwritten(node.copy))
    node.copy.write_text(CALICO)
    made.check()
    assert (node.copy.read_text(), made.state.drift.total()) == (CALICO, CONFLICT_DRIFTS + 1)


def test_beside_a_copy_what_calico_writes_is_calicos(node: Node, watch: Watching, said: list[str]) -> None:
    made = watch(COPY)
    node.write(GO)
    made.check()
    assert (node.conflist.read_text(), node.copy.read_text()) == (GO, GO)
    assert made.state.drift.total() == 0
    assert not [line for line in said if "settings differ" in line]


def test_a_source_that_vanishes_after_another_fault_has_its_own_grace(
    node: Node, watch: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciler, "GRACE", 0.3)
    made = watch(COPY)
    node.write("{")
    made.check()
    time.sleep(0.4)
    made.check()
    assert "not JSON" in made.state.fault
    node.conflist.unlink()
    made.check()
    assert node.copy.exists()
    time.sleep(0.4)
    made.check()
    assert not node.copy.exists()
    node.write()
    made.agent_fault = ""
    made.check()
    assert (node.copy.read_text(), made.state.fault, made.state.drift.total()) == (SWAPPED, "", 0)


def test_copies_are_removed_under_the_lock_and_a_refusal_is_told(
    node: Node, watch: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciler, "GRACE", 0.0)
    made = watch(COPY)
    node.conflist.unlink()

    def refuse(path: Path) -> None:
        descriptor = os.open(node.folders.state / lock.NAME, os.O_RDWR)
        with pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(descriptor)
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(atomic_file, "remove", refuse)
    made.check()
    assert "Read-only file system" in made.state.fault
    assert node.copy.exists()


def test_a_file_of_others_is_not_removed_with_its_source(
    node: Node, watch: Watching, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    monkeypatch.setattr(reconciler, "GRACE", 0.0)
    made = watch(COPY)
    node.conflist.unlink()
    node.copy.write_text('{"name": "admin", "plugins": [{"type": "bridge"}]}')
    for _ in range(2):
        made.check()
    assert node.copy.exists()
    assert len([line for line in said if "no longer ours" in line]) == 1


def test_a_launcher_that_is_missing_is_made_from_the_other_one(node: Node, watch: Watching, said: list[str]) -> None:
    made = watch()
    before = bundle.bundles(node.bin)
    node.plugin.resolve().unlink()
    made.check()
    assert (node.answers(), bundle.bundles(node.bin)) == (True, before)
    assert [line for line in said if "its launcher was overwritten" in line]


def test_from_a_bundle_that_is_itself_the_damaged_one_nothing_is_installed(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the unit's watch is run."""
    monkeypatch.setattr(reconciler, "GRACE", 0.0)
    node.install()
    folder = node.plugin.resolve().parent
    made = Reconciler(node.folders, folder, "1.0.0", lambda _: None)
    before = bundle.bundles(node.bin)
    for name in ("spiderpool", "spiderpool-ipam"):
        (folder / name).unlink()
    made.check()
    assert "is damaged: spiderpool is missing: install the release again" in made.state.fault
    assert bundle.bundles(node.bin) == before


def test_only_pods_of_the_network_are_on_another_ipam(node: Node, watch: Watching, said: list[str]) -> None:
    made = watch()
    node.write()
    node.cache_result("one", {"type": "calico", "ipam": {"type": "calico-ipam"}})
    node.cache_result("two", {"type": "macvlan", "ipam": {"type": "whereabouts"}}, network="macvlan-net")
    made.check()
    assert made.state.pods_on_other_ipam == 1


def test_of_an_uninstalled_node_nothing_is_made_again(node: Node, watch: Watching) -> None:
    made = watch()
    node.uninstall()
    with pytest.raises(UninstalledError):
        made.check()
    assert not (node.root / "var/lib/spiderpool-ipam").exists()


def test_another_installer_is_waited_for_shorter_than_sigterm_may_take(node: Node, watch: Watching) -> None:
    made = watch()
    with lock.held(node.folders.state):
        started = time.monotonic()
        made.check()
        assert time.monotonic() - started < 1 + SLACK


def test_a_repair_that_fails_is_not_counted(node: Node, watch: Watching, monkeypatch: pytest.MonkeyPatch) -> None:
    made = watch()
    node.write()
    replace = atomic_file.replace

    def refuse(path: Path, *arguments: object, **options: object) -> None:
        if path == node.conflist:
            raise PermissionError(errno.EPERM, "Operation not permitted", str(path))
        replace(path, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(atomic_file, "replace", refuse)
    for _ in range(3):
        made.check()
    assert (node.record.drift_count, made.state.drift.total()) == (0, 0)


def test_the_agent_that_the_conflist_names_is_the_one_that_is_asked(node: Node) -> None:
    node.write(GO.replace('"log_level"', '"ipam_unix_socket_path": "/other.sock", "log_level"'))
    node.install()
    made = Reconciler(node.folders, node.tree, "1.0.0", lambda _: None)
    made.check()
    assert made.agent_socket == node.root / "other.sock"


def test_a_bundle_that_was_removed_is_installed_from_elsewhere(node: Node, watch: Watching) -> None:
    made = watch()
    shutil.rmtree(node.bin / ".spiderpool")
    made.check()
    assert node.answers()


def test_the_agents_copy_is_waited_for_so_that_it_does_not_go_through_our_link(node: Node, watch: Watching) -> None:
    """Its container moves our link to spiderpool.old, copies its plugin to the name, and removes spiderpool.old."""
    made = watch()
    launcher = node.plugin.resolve()
    before = launcher.read_bytes()
    old = node.plugin.rename(f"{node.plugin}.old")
    made.check()
    node.plugin.write_text("the Go plugin")
    old.unlink()
    made.check()
    assert node.plugin.is_symlink()
    assert launcher.read_bytes() == before


def test_an_agent_that_is_killed_before_it_has_copied_is_not_waited_for(
    node: Node, watch: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciler, "GRACE", 0.05)
    made = watch()
    node.plugin.rename(f"{node.plugin}.old")
    made.check()
    assert not node.plugin.exists()
    time.sleep(0.1)
    made.check()
    assert node.plugin.is_symlink()


@pytest.mark.parametrize("as_name", ["", COPY])
def test_a_folder_that_was_emptied_is_swapped_again_when_the_agent_is_healthy(
    node: Node, watch: Watching, said: list[str], as_name: str
) -> None:
    made = watch(as_name)
    for path in node.conf.iterdir():
        path.unlink()
    node.write()
    made.check()
    assert "its conflist is swapped again as soon as the spiderpool-agent is healthy" in made.state.fault
    assert node.ipam() == {"type": "calico-ipam"}
    made.agent_fault = ""
    made.check()
    assert made.state.fault == ""
    assert node.ipam(node.copy if as_name else None) == {"type": "spiderpool"}
    assert any("was lost or damaged: it is made again from its copy" in line for line in said)
    assert node.uninstall().plugin_stays == []
    assert node.conflist.read_text() == CALICO


@pytest.mark.parametrize("as_name", ["", COPY])
def test_a_folder_that_was_emptied_but_for_our_record_waits_for_the_agent_as_well(
    node: Node, watch: Watching, monkeypatch: pytest.MonkeyPatch, as_name: str
) -> None:
    """`rm net.d/*` leaves what begins with a dot."""
    monkeypatch.setattr(reconciler, "GRACE", 0.0)
    made = watch(as_name)
    node.conflist.unlink()
    if as_name:
        node.copy.unlink()
    made.check()
    node.write()
    made.check()
    assert "as soon as the spiderpool-agent is healthy" in made.state.fault
    assert node.ipam() == {"type": "calico-ipam"}
    made.agent_fault = ""
    made.check()
    assert (made.state.fault, node.ipam(node.copy if as_name else None)) == ("", {"type": "spiderpool"})


def test_a_conflist_that_comes_back_at_once_asks_no_agent(node: Node, watch: Watching) -> None:
    """A writer that removes the file first and then makes it anew is as good as one that writes it in place."""
    made = watch()
    node.conflist.unlink()
    made.check()
    node.write()
    made.check()
    assert (made.state.fault, node.ipam()) == ("", {"type": "spiderpool"})


def test_a_folder_that_is_gone_as_a_whole_is_waited_for(node: Node, watch: Watching) -> None:
    made = watch()
    made.agent_fault = ""
    shutil.rmtree(node.conf)
    made.check()
    assert made.state.fault
    node.conf.mkdir()
    node.write()
    made.check()
    assert (made.state.fault, node.ipam()) == ("", {"type": "spiderpool"})


def test_a_record_that_is_lost_alone_asks_no_agent(node: Node, watch: Watching) -> None:
    made = watch()
    (node.conf / ".spiderpool-ipam.swap").unlink()
    made.check()
    assert made.state.fault == ""
    assert node.record.is_in_force
