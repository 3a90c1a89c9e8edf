"""A link in the folders' names that leads elsewhere while something is waited for, as after a refresh of microk8s."""

import errno
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from cni.contracts.installation import Request
from cni.contracts.reports import PendingOfAgent
from cni.installer import uninstall
from cni.installer.discovery import FoldersError
from cni.installer.install import install
from cni.installer.node import agent_health
from cni.installer.node.host_root import HostRoot
from cni.installer.reconciler import Reconciler
from cni.installer.watch import Watch
from tests.installer.sample_conflists import CALICO, SWAPPED
from tests.installer.sample_node import Microk8sNode


@pytest.fixture
def node(tmp_path: Path) -> Microk8sNode:
    return Microk8sNode(tmp_path)


def refuse(path: Path) -> None:
    raise OSError(errno.EIO, "Input/output error", str(path))


def test_an_install_that_waited_for_the_agent_swaps_nothing_in_the_former_folder(
    node: Microk8sNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    former, answers = node.conflist, iter(["no such socket", ""])

    def refreshed_meanwhile(_: Path) -> str:
        answer = next(answers)
        if answer:
            node.refresh()
        return answer

    monkeypatch.setattr(agent_health, "fault", refreshed_meanwhile)
    with pytest.raises(FoldersError, match=r"microk8s/current/.* has changed meanwhile: run the command again"):
        node.install(wait_agent=20)
    assert (former.read_text(), node.conflist.read_text()) == (CALICO, CALICO)
    monkeypatch.setattr(agent_health, "fault", lambda _: "")
    node.install(wait_agent=20)
    assert (node.conflist.read_text(), node.answers()) == (SWAPPED, True)


def test_an_install_that_waited_for_the_lock_does_nothing(node: Microk8sNode) -> None:
    before, former = node.folders, node.bin
    node.refresh()
    with pytest.raises(FoldersError, match="has changed meanwhile"):
        install(node.tree, "1.0.0", lambda: before, Request(), 0, lambda _: None)
    assert [path.name for folder in (former, node.bin) for path in folder.iterdir()] == ["calico", "calico"]


def test_an_uninstall_that_waited_for_the_lock_does_nothing(node: Microk8sNode) -> None:
    node.install()
    before, former = node.folders, node.conflist
    node.refresh()
    with pytest.raises(FoldersError, match="has changed meanwhile"):
        uninstall.uninstall(before, list)
    assert (former.read_text(), node.conflist.read_text(), node.answers()) == (SWAPPED, SWAPPED, True)
    assert node.uninstall().plugin_stays == []
    assert (node.conflist.read_text(), node.plugin.exists()) == (CALICO, False)


def test_an_uninstall_that_sent_pending_releases_meanwhile_restores_nothing_there(node: Microk8sNode) -> None:
    node.install()
    former = node.conflist

    def refreshed_meanwhile() -> list[PendingOfAgent]:
        node.refresh()
        return []

    with pytest.raises(FoldersError, match="has changed meanwhile"):
        uninstall.uninstall(node.folders, refreshed_meanwhile)
    assert (former.read_text(), node.conflist.read_text()) == (SWAPPED, SWAPPED)


def test_an_uninstall_that_waited_for_adds_keeps_the_plugin(
    node: Microk8sNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.install()
    former = node.plugin
    # In this module only: a thread of another test may sleep as well.
    monkeypatch.setattr(uninstall, "time", SimpleNamespace(sleep=lambda _: node.refresh()))
    with pytest.raises(FoldersError, match="has changed meanwhile"):
        node.uninstall()
    assert (former.exists(), node.answers()) == (True, True)


def test_watch_goes_on_in_the_new_folder(node: Microk8sNode) -> None:
    node.install()
    reconciler = Reconciler(node.folders, node.tree, "1.0.0", lambda _: None)
    reconciler.check()
    node.refresh()
    node.write()
    reconciler.check()
    assert (node.conflist.read_text(), reconciler.state.drift.total()) == (SWAPPED, 1)


def test_a_link_that_cannot_be_read_is_a_fault_and_passes(node: Microk8sNode, monkeypatch: pytest.MonkeyPatch) -> None:
    node.install()
    reconciler = Reconciler(node.folders, node.tree, "1.0.0", lambda _: None)
    monkeypatch.setattr(HostRoot, "resolve", lambda _, name: refuse(name))
    reconciler.check()
    assert "Input/output error" in reconciler.state.fault
    monkeypatch.undo()
    reconciler.check()
    assert reconciler.state.fault == ""


def test_watch_does_not_end_because_of_such_a_link(node: Microk8sNode, monkeypatch: pytest.MonkeyPatch) -> None:
    node.install()
    reconciler = Reconciler(node.folders, node.tree, "1.0.0", lambda _: None)
    faults: list[str] = []
    stop = threading.Event()

    def tick() -> None:
        faults.append(reconciler.state.fault)
        monkeypatch.undo()
        if faults[-1] == "":
            stop.set()

    monkeypatch.setattr(HostRoot, "resolve", lambda _, name: refuse(name))
    Watch(reconciler, lambda _: None).run(stop, tick)
    assert "Input/output error" in faults[0]
    assert faults[-1] == ""
