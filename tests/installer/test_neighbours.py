"""What other files, and others in our copy, mean for watch: one check at a time."""

import json
from collections.abc import Callable

import pytest

from cni.installer import reconciler
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
