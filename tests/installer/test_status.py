"""What status finds wrong, with an agent that is well."""

from collections.abc import Callable

import pytest

from cni.installer import status
from cni.installer.node import agent_health
from tests.installer.sample_conflists import CALICO
from tests.installer.sample_node import COPY, Node


@pytest.fixture
def problems(node: Node, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    monkeypatch.setattr(agent_health, "fault", lambda _: "")
    return lambda: status.gather(node.folders, []).problems


@pytest.mark.parametrize("as_name", ["", COPY])
def test_of_a_node_that_is_well_there_are_none(node: Node, as_name: str, problems: Callable[[], list[str]]) -> None:
    node.install(as_name)
    assert problems() == []


def test_a_plugin_that_was_copied_through_our_link_is_one(node: Node, problems: Callable[[], list[str]]) -> None:
    node.install()
    node.plugin.write_text("the Go plugin")
    assert "/opt/cni/bin/spiderpool is damaged" in problems()[0]


def test_a_bundle_with_a_file_missing_is_one(node: Node, problems: Callable[[], list[str]]) -> None:
    node.install()
    (node.plugin.resolve().parent / "_internal/data").unlink()
    assert "/opt/cni/bin/spiderpool is damaged" in problems()[0]


def test_a_delegate_of_multus_that_says_calico_ipam_is_one(node: Node, problems: Callable[[], list[str]]) -> None:
    node.install()
    delegates = f'{{"type": "multus", "name": "m", "delegates": [{CALICO}]}}'
    (node.conf / "00-multus.conf").write_text(delegates)
    assert problems() == ["runtimes load /etc/cni/net.d/00-multus.conf before /etc/cni/net.d/10-calico.conflist"]
    (node.conf / "00-multus.conf").write_text(delegates.replace("calico-ipam", "spiderpool"))
    assert problems() == []


def test_a_copy_that_was_overwritten_is_one(node: Node, problems: Callable[[], list[str]]) -> None:
    node.install(COPY)
    node.copy.write_text(CALICO)
    assert problems() == [f"/etc/cni/net.d/{COPY}: it was overwritten"]
