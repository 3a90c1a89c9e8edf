"""What becomes of a node whose recorded conflist is missing, for a moment or for good."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cni.installer import reconciler
from cni.installer.reconciler import Reconciler
from tests.installer.sample_conflists import CALICO, NEWER, SWAPPED
from tests.installer.sample_node import COPY, Node

Watching = Callable[..., Reconciler]
OURS = {"type": "spiderpool"}
THEIRS = {"type": "calico-ipam"}


def started(node: Node) -> Reconciler:
    made = Reconciler(node.folders, node.tree, "1.0.0", lambda _: None)
    made.agent_fault = ""
    return made


@pytest.fixture
def watch(node: Node, monkeypatch: pytest.MonkeyPatch) -> Watching:
    """Start watch on a node on which a missing file has 0.3 s to come back."""
    monkeypatch.setattr(reconciler, "GRACE", 0.3)

    def start(as_name: str = "") -> Reconciler:
        node.install(as_name)
        made = started(node)
        made.check()
        assert made.state.fault == ""
        return made

    return start


def wait_in_vain(watch: Reconciler) -> None:
    """Have watch look until what is missing is taken for gone."""
    watch.check()
    time.sleep(0.4)
    watch.check()


@pytest.fixture
def backup(node: Node) -> Path:
    """An administrator's copy of Calico's conflist, which runtimes load as well."""
    return node.conf / "99-calico-backup.conflist"


@pytest.mark.parametrize("as_name", ["", COPY])
def test_a_conflist_that_is_removed_and_made_anew_stays_the_recorded_one(
    node: Node, watch: Watching, backup: Path, as_name: str
) -> None:
    made = watch(as_name)
    backup.write_text(CALICO)
    for _ in range(2):
        before = node.record
        node.conflist.unlink()
        made.check()
        assert made.state.fault
        assert (node.record, backup.read_text()) == (before, CALICO)
        node.write(NEWER)
        made.check()
        assert made.state.fault == ""
        assert (node.record.source, backup.read_text()) == (f"/etc/cni/net.d/{node.conflist.name}", CALICO)
        newer = json.loads((node.copy if as_name else node.conflist).read_bytes())["plugins"][0]
        assert (newer["mtu"], newer["ipam"]) == (1450, OURS)
        node.write()
        made.check()
        time.sleep(0.4)


@pytest.mark.parametrize("as_name", ["", COPY])
def test_another_file_stands_in_for_one_that_is_gone_until_that_is_there_again(
    node: Node, watch: Watching, backup: Path, as_name: str
) -> None:
    made = watch(as_name)
    backup.write_text(NEWER)
    node.conflist.unlink()
    wait_in_vain(made)
    swapped = node.copy if as_name else backup
    assert (made.state.fault, node.ipam(swapped)) == ("", OURS)
    assert json.loads(swapped.read_bytes())["plugins"][0]["mtu"] == 1450
    assert node.record.source == "/etc/cni/net.d/10-calico.conflist"
    made.check()
    assert (made.state.fault, node.ipam(swapped)) == ("", OURS)
    node.write()
    made.check()
    assert made.state.fault == ""
    assert (node.copy if as_name else node.conflist).read_text() == SWAPPED
    assert backup.read_text() == NEWER
    assert node.uninstall().plugin_stays == []
    assert (node.conflist.read_text(), backup.read_text()) == (CALICO, NEWER)


def test_what_stands_in_is_given_back_and_so_is_what_comes_back_swapped(
    node: Node, watch: Watching, backup: Path
) -> None:
    made = watch()
    moved = node.conflist.rename(node.root / "moved")
    backup.write_text(CALICO)
    wait_in_vain(made)
    assert node.ipam(backup) == OURS
    moved.rename(node.conflist)
    assert node.uninstall().plugin_stays == []
    assert (node.conflist.read_text(), backup.read_text()) == (CALICO, CALICO)


def test_a_file_that_was_made_of_our_copy_is_no_source(node: Node, watch: Watching) -> None:
    """As istio's 02-istio-cni.conflist."""
    made = watch("00-sp.conflist")
    (node.bin / "istio-cni").touch()
    mesh = json.loads((node.conf / "00-sp.conflist").read_bytes())
    mesh["plugins"].append({"type": "istio-cni"})
    first = node.conf / "02-istio-cni.conflist"
    first.write_text(json.dumps(mesh))
    node.conflist.unlink()
    wait_in_vain(made)
    assert "no plugin of type calico" in made.state.fault
    assert node.record.source == "/etc/cni/net.d/10-calico.conflist"
    node.write()
    made.check()
    assert made.state.fault == ""
    assert node.uninstall().plugin_stays == []
    assert (node.ipam(first), node.conflist.read_text()) == (THEIRS, CALICO)


def test_which_of_several_may_stand_in_is_not_guessed_and_the_copy_stays(
    node: Node, watch: Watching, backup: Path
) -> None:
    made = watch(COPY)
    backup.write_text(CALICO)
    (node.conf / "20-calico.conflist").write_text(CALICO)
    node.conflist.unlink()
    wait_in_vain(made)
    assert "several plugins of type calico" in made.state.fault
    assert node.copy.read_text() == SWAPPED


@pytest.mark.parametrize("broken", ["", "{", "\udcff"])
@pytest.mark.parametrize("as_name", ["", COPY])
def test_a_node_that_was_emptied_waits_for_the_agent_also_in_another_watch(
    node: Node, watch: Watching, as_name: str, broken: str
) -> None:
    """`rm net.d/*`, a reboot, and then another cluster's Calico. A broken file of others changes nothing about that."""
    made = watch(as_name)
    for path in node.conf.glob("[!.]*"):
        path.unlink()
    if broken:
        (node.conf / "99-x.conf").write_bytes(broken.encode(errors="surrogateescape"))
    wait_in_vain(made)
    made = started(node)
    made.agent_fault = "it does not answer"
    node.write()
    made.check()
    assert "as soon as the spiderpool-agent is healthy" in made.state.fault
    assert (node.ipam(), node.copy.exists()) == (THEIRS, False)
    made.agent_fault = ""
    made.check()
    assert (made.state.fault, node.ipam(node.copy if as_name else None)) == ("", OURS)
    assert not node.record.emptied


@pytest.mark.parametrize("broken", ["{", "\udcff"])
def test_a_copy_goes_with_its_source_whatever_else_is_in_the_folder(node: Node, watch: Watching, broken: str) -> None:
    made = watch(COPY)
    (node.conf / "99-x.conf").write_bytes(broken.encode(errors="surrogateescape"))
    node.conflist.unlink()
    made.check()
    assert node.copy.exists()
    wait_in_vain(made)
    assert not node.copy.exists()


def test_a_file_that_takes_the_recorded_ones_place_at_once_asks_no_agent(node: Node, watch: Watching) -> None:
    """Calico's CNI_CONF_NAME was changed."""
    made = watch()
    made.agent_fault = "it does not answer"
    renamed = node.conflist.rename(node.conf / "20-calico.conflist")
    renamed.write_text(CALICO)
    wait_in_vain(made)
    assert (made.state.fault, node.ipam(renamed)) == ("", OURS)


def test_another_file_that_was_there_when_watch_started_waits_for_the_agent(node: Node, watch: Watching) -> None:
    """Another cluster's Calico may have written it meanwhile, and calls it as it likes."""
    watch()
    made = started(node)
    made.agent_fault = "it does not answer"
    node.conflist.rename(node.conf / "20-others.conflist").write_text(CALICO)
    wait_in_vain(made)
    assert "as soon as the spiderpool-agent is healthy" in made.state.fault
    assert node.ipam(node.conf / "20-others.conflist") == THEIRS
    made.agent_fault = ""
    made.check()
    assert (made.state.fault, node.ipam(node.conf / "20-others.conflist")) == ("", OURS)


def test_a_swapped_conflist_that_was_renamed_is_still_given_back(node: Node, watch: Watching) -> None:
    made = watch()
    renamed = node.conflist.rename(node.conf / "20-calico.conflist")
    wait_in_vain(made)
    assert (made.state.fault, node.ipam(renamed)) == ("", OURS)
    assert node.uninstall().plugin_stays == []
    assert renamed.read_text() == CALICO


def test_the_former_file_is_given_back_when_another_one_is_named(node: Node) -> None:
    other = node.conf / "20-x.conflist"
    other.write_text(NEWER)
    node.install(conf=other.name)
    assert node.ipam(other) == OURS
    node.install(conf=node.conflist.name)
    assert (node.ipam(), other.read_text()) == (OURS, NEWER)
    assert node.uninstall().plugin_stays == []
    assert node.conflist.read_text() == CALICO
