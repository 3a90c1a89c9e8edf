"""What other files, and others in our copy, mean for watch: one check at a time."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cni.installer import reconciler, status
from cni.installer.bundle import plugin_links
from cni.installer.conflict import CONFLICT_DRIFTS
from cni.installer.conflist import record
from cni.installer.conflist.document import ConflistError
from cni.installer.node import agent_health, atomic_file
from cni.installer.reconciler import Reconciler
from tests.installer.sample_conflists import CALICO, NEWER, SWAPPED
from tests.installer.sample_node import COPY, Node

Watching = Callable[..., Reconciler]


@pytest.fixture
def watch(node: Node) -> Watching:
    def start(as_name: str = "") -> Reconciler:
        node.install(as_name)
        made = Reconciler(node.folders, node.tree, "1.0.0", lambda _: None)
        made.check()
        assert made.state.fault == ""
        return made

    return start


OTHERS = CALICO.replace("calico-ipam", "whereabouts")


@pytest.mark.parametrize("as_name", ["", COPY])
def test_a_second_file_with_calicos_plugin_changes_nothing_about_the_recorded_one(
    node: Node, watch: Watching, as_name: str
) -> None:
    made = watch(as_name)
    (node.conf / "20-backup.conflist").write_text(CALICO)
    node.write(NEWER)
    made.check()
    assert made.state.fault == ""
    assert node.ipam(node.copy if as_name else None) == {"type": "spiderpool"}
    assert (node.conf / "20-backup.conflist").read_text() == CALICO


def test_a_file_of_the_network_that_is_loaded_first_gets_our_ipam_and_its_own_back(node: Node, watch: Watching) -> None:
    made = watch()
    first = node.conf / "02-istio-cni.conflist"
    first.write_text(CALICO.replace('"snat": true', '"snat": false'))
    made.check()
    assert (made.state.fault, node.ipam(first)) == ("", {"type": "spiderpool"})
    first.write_text(CALICO)  # its owner does it again
    made.check()
    assert node.ipam(first) == {"type": "spiderpool"}
    assert node.uninstall().plugin_stays == []
    assert (first.read_text(), node.conflist.read_text()) == (CALICO, CALICO)


def test_a_file_that_was_made_of_our_swapped_one_gets_calicos_ipam_in_the_end(node: Node, watch: Watching) -> None:
    made = watch()
    first = node.conf / "02-istio-cni.conflist"
    first.write_text(SWAPPED)
    made.check()
    assert node.uninstall().plugin_stays == []
    assert node.ipam(first) == {"type": "calico-ipam"}


def test_a_file_of_the_network_that_is_loaded_first_with_an_ipam_of_somebodys_choice_is_told(
    node: Node, watch: Watching
) -> None:
    made = watch()
    (node.conf / "02-others.conflist").write_text(OTHERS)
    made.check()
    assert made.state.fault.startswith("runtimes load /etc/cni/net.d/02-others.conflist before ")
    assert "its ipam.type is whereabouts" in made.state.fault
    assert (node.conf / "02-others.conflist").read_text() == OTHERS
    (node.conf / "02-others.conflist").write_text(OTHERS.replace("k8s-pod-network", "another"))
    made.check()
    assert made.state.fault == ""


def test_a_conflist_that_cilium_has_renamed_is_told_with_its_setting(
    node: Node, watch: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciler, "GRACE", 0)
    made = watch()
    node.conflist.rename(f"{node.conflist}.cilium_bak")
    made.check()
    assert "cni.exclusive" in made.state.fault
    (node.conf / "10-calico.conflist.cilium_bak").rename(node.conflist)
    made.check()
    assert made.state.fault == ""


def test_a_copy_keeps_what_is_chained_to_it_and_leaves_out_what_is_gone(node: Node, watch: Watching) -> None:
    made = watch(COPY)
    mesh = node.bin / "istio-cni"
    mesh.touch()
    chained = json.loads(node.copy.read_text())
    chained["plugins"].append({"type": "istio-cni", "log_level": "info"})
    written = json.dumps(chained)
    node.copy.write_text(written)
    made.check()
    assert (made.state.fault, node.copy.read_text()) == ("", written)
    node.write(NEWER)  # calico-node restarts
    made.check()
    plugins = json.loads(node.copy.read_text())["plugins"]
    assert [plugin["type"] for plugin in plugins] == ["calico", "portmap", "istio-cni"]
    assert plugins[0]["mtu"] == 1450
    mesh.unlink()
    made.check()
    assert [plugin["type"] for plugin in json.loads(node.copy.read_text())["plugins"]] == ["calico", "portmap"]


def test_a_copy_that_is_being_written_is_given_time_and_then_made_again(
    node: Node, watch: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciler, "GRACE", 0.3)
    made = watch(COPY)
    (node.bin / "linkerd-cni").touch()
    whole = json.loads(node.copy.read_text())
    whole["plugins"].append({"type": "linkerd-cni"})
    node.copy.write_text(json.dumps(whole)[:90])
    made.check()
    assert "is half-written" in made.state.fault
    node.copy.write_text(json.dumps(whole))
    made.check()
    assert (made.state.fault, json.loads(node.copy.read_text())) == ("", whole)
    node.copy.write_text("{")
    made.check()
    time.sleep(0.4)
    made.check()
    assert (made.state.fault, node.copy.read_text()) == ("", SWAPPED)  # whose mesh was cut off finds it undone


def test_a_plugin_behind_a_link_out_of_the_mounted_folders_stays_in_the_chain(node: Node, watch: Watching) -> None:
    """As in a container of the DaemonSet, which has mounted the folder of plugins and not where its links lead."""
    made = watch(COPY)
    mesh = node.bin / "istio-cni"
    mesh.symlink_to("/usr/local/istio/bin/istio-cni")
    chained = json.loads(node.copy.read_text())
    chained["plugins"].append({"type": "istio-cni"})
    node.copy.write_text(json.dumps(chained))
    node.write(NEWER)
    made.check()
    assert [one["type"] for one in json.loads(node.copy.read_text())["plugins"]] == ["calico", "portmap", "istio-cni"]
    mesh.unlink()
    mesh.symlink_to("istio-cni")  # in a circle: on the node it leads nowhere, too
    made.check()
    assert (made.state.fault, "istio-cni" in node.copy.read_text()) == ("", False)


def test_a_plugin_that_was_never_in_our_folder_stays_in_the_chain_and_in_its_source(
    node: Node, watch: Watching
) -> None:
    """CRI-O has two folders of plugins, for example; `sbr` is in the other one."""
    with_sbr = json.loads(CALICO)
    with_sbr["plugins"].append({"type": "sbr"})
    node.write(json.dumps(with_sbr))
    made = watch(COPY)
    assert [one["type"] for one in json.loads(node.copy.read_text())["plugins"]] == ["calico", "portmap", "sbr"]
    (node.bin / "sbr").touch()
    made.check()
    (node.bin / "sbr").unlink()
    made.check()
    assert "sbr" not in node.copy.read_text(), "it has left the folder"
    node.uninstall()
    node.write(json.dumps(with_sbr))
    node.install(COPY)
    node.uninstall()
    assert node.conflist.read_text() == json.dumps(with_sbr)


def test_what_is_taken_out_of_the_copy_does_not_come_back_from_the_source(node: Node, watch: Watching) -> None:
    (node.bin / "linkerd-cni").touch()
    with_mesh = json.loads(CALICO)
    with_mesh["plugins"].append({"type": "linkerd-cni"})
    node.write(json.dumps(with_mesh))
    made = watch(COPY)
    copy = json.loads(node.copy.read_text())
    assert copy["plugins"].pop()["type"] == "linkerd-cni"
    node.copy.write_text(json.dumps(copy))
    for _ in range(2):
        made.check()
        assert [plugin["type"] for plugin in json.loads(node.copy.read_text())["plugins"]] == ["calico", "portmap"]
    node.write()  # the source loses it, and gets it anew
    made.check()
    node.write(json.dumps(with_mesh))
    made.check()
    assert "linkerd-cni" in node.copy.read_text()


def test_a_file_that_is_written_during_the_first_swap_does_not_make_our_ipam_the_original(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = node.conf / "02-istio-cni.conflist"
    first.write_text(CALICO)
    replace = atomic_file.replace

    def overtaken(path: Path, data: bytes, *arguments: Any, **options: Any) -> None:
        if path.name == first.name and first.read_text() == CALICO:
            first.write_text(NEWER)  # its owner writes it just now
        replace(path, data, *arguments, **options)

    monkeypatch.setattr(atomic_file, "replace", overtaken)
    with pytest.raises(ConflistError, match="--conf"):
        node.install()  # two files hold nothing but what Calico writes: which one is not to be guessed
    (node.bin / "istio-cni").touch()
    mesh = json.loads(CALICO)
    mesh["plugins"].append({"type": "istio-cni"})
    first.write_text(json.dumps(mesh))
    monkeypatch.setattr(atomic_file, "replace", replace)
    changed = json.dumps({**mesh, "disableCheck": True})

    def written_meanwhile(path: Path, data: bytes, *arguments: Any, **options: Any) -> None:
        if path.name == first.name and "disableCheck" not in first.read_text():
            first.write_text(changed)
        replace(path, data, *arguments, **options)

    monkeypatch.setattr(atomic_file, "replace", written_meanwhile)
    node.install()
    assert node.record.original == '{ "type": "calico-ipam" }'
    monkeypatch.undo()
    assert node.uninstall().plugin_stays == []
    assert (node.conflist.read_text(), json.loads(first.read_text())) == (CALICO, json.loads(changed))


def test_a_file_that_we_hold_is_no_problem_for_install_and_status(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    (node.bin / "istio-cni").touch()
    mesh = json.loads(CALICO)
    mesh["plugins"].append({"type": "istio-cni"})
    (node.conf / "02-istio-cni.conflist").write_text(json.dumps(mesh))
    assert node.install().loaded_first is None
    monkeypatch.setattr(agent_health, "fault", lambda _: "")
    assert status.gather(node.folders, []).problems == []


def test_a_copy_of_the_record_that_is_lost_is_made_again(node: Node, watch: Watching) -> None:
    made = watch()
    (node.folders.state / "folders").unlink()
    made.check()
    assert record.is_whole(node.folders)


def test_a_fight_about_our_settings_is_a_fight(node: Node) -> None:
    node.install(settings={"log_level": "info"})
    made = Reconciler(node.folders, node.tree, "1.0.0", lambda _: None)
    for _ in range(CONFLICT_DRIFTS + 1):
        made.check()
        node.write(SWAPPED)
        made.check()
    node.write(SWAPPED)
    made.check()
    assert "others have changed the conflist again" in made.state.fault


def test_a_copy_whose_source_has_gone_with_its_folders_content_waits_for_the_agent(
    node: Node, watch: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciler, "GRACE", 0)
    made = watch(COPY)
    for path in node.conf.iterdir():
        path.unlink()
    made.check()
    made.check()
    node.write()
    made.check()
    assert "as soon as the spiderpool-agent is healthy" in made.state.fault
    assert not node.copy.exists()


def test_a_damaged_bundle_that_works_holds_up_no_conflist(
    node: Node, watch: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = watch()
    (node.tree / "_internal/data").write_text("damaged, too")
    data = node.plugin.resolve().parent / "_internal/data"
    data.write_text("x" + data.read_text()[1:])
    made.flaw = plugin_links.verify(node.bin)
    node.write()
    made.check()
    assert node.ipam() == {"type": "spiderpool"}
    assert "_internal/data" in made.state.fault
