"""What uninstall does about files that runtimes do not load and that hold our ipam."""

import json
import threading
import time

import pytest

from cni.installer.conflist.document import ConflistError
from cni.installer.conflist.unloaded import find_unloaded
from tests.installer.sample_conflists import CALICO, NEWER, SWAPPED
from tests.installer.sample_node import COPY, Node


@pytest.mark.parametrize("name", ["10-calico.conflist.disabled", "10-calico.disabled", "off"])
def test_the_swapped_file_is_known_again_whatever_it_is_called(node: Node, name: str) -> None:
    node.install()
    renamed = node.conflist.rename(node.conf / name)
    assert node.uninstall().plugin_stays == []
    assert renamed.read_text() == CALICO


def test_what_cilium_has_renamed_is_the_swapped_file_whatever_others_have_changed_in_it(node: Node) -> None:
    node.install()
    node.write(SWAPPED.replace('"mtu": 0', '"mtu": 9000'))
    renamed = node.conflist.rename(f"{node.conflist}.cilium_bak")
    assert node.uninstall().plugin_stays == []
    assert renamed.read_text() == CALICO.replace('"mtu": 0', '"mtu": 9000')


@pytest.mark.parametrize("text", [SWAPPED, SWAPPED.replace('"mtu": 0', '"mtu": 9000'), CALICO])
def test_a_copy_of_the_swapped_file_is_given_back_and_does_not_stand_for_it(node: Node, text: str) -> None:
    """`cp` to a name that runtimes do not load, and later the conflist itself is moved away."""
    node.install()
    time.sleep(0.02)  # the kernel's time for files is behind by as much
    backup = node.conf / "10-calico.conflist.bak"
    backup.write_text(text)
    moved = node.conflist.rename(node.root / "moved")
    for _ in range(2):
        with pytest.raises(ConflistError, match=r"10-calico\.conflist, which was swapped, is not there"):
            node.uninstall()
        assert node.ipam(backup) == {"type": "calico-ipam"}
        assert node.answers()
    moved.rename(node.conflist)
    assert node.uninstall().plugin_stays == []
    assert node.conflist.read_text() == CALICO


def test_another_conflist_does_not_stand_for_the_one_that_was_moved_away(node: Node) -> None:
    node.install()
    node.conflist.rename(node.root / "moved")
    (node.conf / "99-backup.conflist").write_text(CALICO)
    with pytest.raises(ConflistError, match=r"10-calico\.conflist, which was swapped, is not there"):
        node.uninstall()
    assert node.answers()
    node.uninstall(force=True)
    assert not node.plugin.exists()


def test_what_we_keep_of_a_replaced_file_is_left_as_it_is(node: Node) -> None:
    node.install()
    digests = "000000000000.111111111111"
    for name in (f"10-calico.conflist.1.{digests}.kept", "10-calico.conflist.new"):
        (node.conf / f".spiderpool-ipam.{name}").write_text(SWAPPED)
    assert find_unloaded(node.folders, node.record, None, force=False) == []


@pytest.mark.parametrize("name", ["05-spiderpool-calico.conflist.off", "05-spiderpool-calico.disabled", "disabled"])
def test_our_copy_is_removed_whatever_it_is_called(node: Node, name: str) -> None:
    node.install(COPY)
    renamed = node.copy.rename(node.conf / name)
    assert node.uninstall().plugin_stays == []
    assert not renamed.exists()
    assert node.conflist.read_text() == CALICO


def test_what_may_have_been_our_copy_gets_the_sources_ipam(node: Node) -> None:
    node.install(COPY)
    renamed = node.copy.rename(node.conf / "05-spiderpool-calico.disabled")
    renamed.write_text(SWAPPED.replace('"mtu": 0', '"mtu": 9000'))
    assert node.uninstall().plugin_stays == []
    assert renamed.read_text() == CALICO.replace('"mtu": 0', '"mtu": 9000')


def test_what_may_have_been_our_copy_is_named_where_no_source_tells_its_ipam(node: Node) -> None:
    node.install(COPY)
    renamed = node.copy.rename(node.conf / "05-spiderpool-calico.disabled")
    renamed.write_text(SWAPPED.replace('"mtu": 0', '"mtu": 9000'))
    node.conflist.unlink()
    with pytest.raises(ConflistError, match=r"/etc/cni/net\.d/05-spiderpool-calico\.disabled, which .* do not load"):
        node.uninstall()
    assert node.answers()
    node.uninstall(force=True)
    assert not node.plugin.exists()


def test_a_file_of_another_network_is_not_ours(node: Node) -> None:
    node.install(COPY)
    other = node.conf / "other.bak"
    other.write_text(SWAPPED.replace("k8s-pod-network", "another"))
    before = other.read_text()
    assert node.uninstall().plugin_stays == []
    assert other.read_text() == before


def test_a_file_that_was_made_of_our_copy_gets_its_sources_ipam(node: Node) -> None:
    """It sorts after the copy, so watch leaves it alone: no runtime loads it meanwhile."""
    node.install("00-sp.conflist")
    made = node.conf / "02-istio-cni.conflist"
    made.write_bytes((node.conf / "00-sp.conflist").read_bytes())
    assert node.uninstall().plugin_stays == []
    assert (made.read_text(), node.conflist.read_text()) == (CALICO, CALICO)


def test_beside_a_copy_a_half_written_source_is_waited_for(node: Node) -> None:
    (node.bin / "linkerd-cni").touch()
    with_mesh = json.loads(NEWER)
    with_mesh["plugins"].append({"type": "linkerd-cni"})
    node.write(json.dumps(with_mesh))
    node.install(COPY)
    (node.bin / "linkerd-cni").unlink()
    node.write(json.dumps(with_mesh)[:60])
    whole = threading.Timer(0.5, node.write, (json.dumps(with_mesh),))
    whole.start()
    try:
        assert node.uninstall().plugin_stays == []
    finally:
        whole.join()
    assert json.loads(node.conflist.read_bytes()) == json.loads(NEWER)


def test_beside_a_copy_a_source_that_stays_broken_keeps_the_plugin(node: Node) -> None:
    node.install(COPY)
    node.write("{")
    began = time.monotonic()
    (reason,) = node.uninstall().plugin_stays
    assert "may name it" in reason
    assert time.monotonic() - began >= 2.5
    assert (node.copy.exists(), node.answers()) == (False, True)
