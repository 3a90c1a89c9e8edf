"""What CHECK compares; the rest of it is in the vectors."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from cni.deadline import Deadline
from cni.errors import BAD_AGENT_ANSWER, CHECK_DIFFERS, CNIError
from cni.plugin import check as checking
from cni.plugin.agent_client import AgentClient
from cni.plugin.attachment import Attachment
from cni.plugin.call import Call
from cni.plugin.netconf import NetConf
from tests.plugin.pending_releases import answer, scripted_agent
from tests.waiting import SLACK

HELD = {"interface": "eth0", "ipv4": "10.244.100.10/16", "ipv6": "fd00:244::a/64"}
OTHER = {"interface": "net1", "ipv4": "192.168.0.9/24"}


class ScriptedAgent(AgentClient):
    """Stands in for the agent's cache, which nobody can hold back on purpose: one answer after the other."""

    def __init__(self, *endpoints: dict[str, Any] | None) -> None:
        super().__init__("/nowhere", Deadline(100))
        self.endpoints = list(endpoints)

    def endpoint(self, attachment: Attachment) -> dict[str, Any] | None:
        return self.endpoints.pop(0) if len(self.endpoints) > 1 else self.endpoints[0]


def endpoint(*interfaces: dict[str, str], uid: str = "") -> dict[str, Any]:
    return {"podNamespace": "", "podName": "", "podUID": uid, "node": "", "interfaces": list(interfaces)}


def check(previous: list[str], *endpoints: dict[str, Any] | None, uid: str = "", seconds: float = 100) -> None:
    call = Call("CHECK")
    call.attachment = Attachment("c", "eth0", "/n", {"K8S_POD_UID": uid})
    addresses = [{"address": address} for address in previous]
    document = {"name": "n", "cniVersion": "1.0.0", "ipam": {}, "prevResult": {"ips": addresses}}
    call.netconf = NetConf(document, json.dumps(document).encode())
    call.agent = ScriptedAgent(*endpoints)
    call.agent.deadline = Deadline(seconds)
    checking.compare(call)


@pytest.fixture(autouse=True)
def short_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "RETRY", 0.5)


def test_prefixes_and_spelling_do_not_matter() -> None:
    check(["10.244.100.10/32", "FD00:244:0::a/128"], endpoint(HELD, OTHER))


def test_addresses_that_chained_plugins_added_do_not_matter() -> None:
    check(["192.168.7.7/24", "10.244.100.10/32", "fd00:244::a/128"], endpoint(HELD))


def test_a_cache_that_lags_is_asked_again() -> None:
    check(["10.244.100.10/32"], None, endpoint(OTHER), endpoint({**HELD, "ipv6": ""}))


@pytest.mark.parametrize(
    ("previous", "held", "words"),
    [
        (["10.244.100.10/32"], endpoint(HELD), ["fd00:244::a", "prevResult has 10.244.100.10"]),
        (["10.244.100.11/32"], endpoint({**HELD, "ipv6": ""}), ["holds 10.244.100.10", "has 10.244.100.11"]),
        (["192.168.0.9/24"], endpoint(OTHER), ["holds none for eth0"]),
        ([], endpoint(HELD), ["has none"]),
        (["10.244.100.10/32"], endpoint(), ["holds none"]),
        (["10.244.100.10/32"], None, ["nothing for this pod", "10.244.100.10"]),
    ],
)
def test_a_difference_is_code_104_naming_both_sides(
    previous: list[str], held: dict[str, Any] | None, words: list[str]
) -> None:
    with pytest.raises(CNIError) as raised:
        check(previous, held)
    assert raised.value.code == CHECK_DIFFERS
    assert all(word in raised.value.details for word in words), raised.value.details


def test_an_address_held_that_does_not_parse_is_code_105() -> None:
    with pytest.raises(CNIError, match=str(BAD_AGENT_ANSWER)):
        check(["fd00:244::a/128"], endpoint({**HELD, "ipv4": "?"}))


def test_an_address_of_prev_result_that_does_not_parse_was_not_ours() -> None:
    check(["?", "10.244.100.10/32", "fd00:244::a/128"], endpoint(HELD))


def test_a_difference_is_looked_for_until_the_end_of_the_retries() -> None:
    started = time.monotonic()
    with pytest.raises(CNIError):
        check([], endpoint(HELD))
    assert time.monotonic() - started >= checking.RETRY


def test_a_difference_is_not_looked_at_again_beyond_the_calls_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "RETRY", 60)
    started = time.monotonic()
    with pytest.raises(CNIError, match=str(CHECK_DIFFERS)):
        check([], endpoint(HELD), seconds=0.3)
    assert 0.3 <= time.monotonic() - started < 0.3 + SLACK


def test_where_no_time_is_left_to_look_again_the_difference_is_told_and_not_the_silence(tmp_path: Path) -> None:
    answers = {b"GET": answer(404, b'"not found"')}
    with scripted_agent(tmp_path / "s", answers), pytest.raises(CNIError, match=str(CHECK_DIFFERS)):
        call = Call("CHECK")
        call.attachment = Attachment("c", "eth0", "/n", {})
        call.netconf = NetConf({"name": "n", "ipam": {}}, b'{"prevResult":{"ips":[{"address":"10.0.0.1/32"}]}}')
        call.agent = AgentClient(str(tmp_path / "s"), Deadline(0.3))
        checking.compare(call)


def test_pod_uids_are_compared_when_both_are_known() -> None:
    with pytest.raises(CNIError, match="u-1"):
        check(["10.244.100.10/32", "fd00:244::a/128"], endpoint(HELD, uid="u-1"), uid="u-2")
    check(["10.244.100.10/32", "fd00:244::a/128"], endpoint(HELD, uid="u-1"))
    check(["10.244.100.10/32", "fd00:244::a/128"], endpoint(HELD), uid="u-2")
