"""A report without pods names none, and no address; what else it says is the same."""

import json
from typing import Any

import pytest

from cni.contracts.doctor import DOCTOR_REPORT, DoctorReport
from cni.doctor import run
from cni.doctor.checks import CHECKS
from cni.doctor.discretion import without_addresses, without_pods
from cni.doctor.facts import unknown
from tests.doctor.documents import NODE, VERSION, bird, changed, guide

PEER = "172.16.13.1"


def broken() -> Any:
    """Return the facts of a node on which many things are wrong, and nothing is known of the cluster."""
    facts = guide()
    for name in facts["cluster"]:
        facts = changed(facts, f"cluster.{name}", unknown("the API was not asked: --node-only"))
    routes = [*NODE["routes"], {"prefix": "10.244.100.0/26", "type": "blackhole", "gateways": [], "interface": ""}]
    interfaces = [{**one, "interface": ""} for one in NODE["pod_interfaces"]]
    for name, value in {
        "bird": bird(PEER, state="Active", last_error="Error: Bad peer AS"),
        "bird6": {"unknown": "/run/calico/bird6.ctl of fd00:16::11: No such file or directory"},
        "routes": routes,
        "pod_interfaces": interfaces,
        "forwarding": {"ipv4": False, "ipv6": False},
        "local_addresses": [{**one, "pod": "the-namespace/the-pod"} for one in addresses(facts)],
        "record_fault": "10.244.100.3: 10.244.100.4:80: 12:30:05, 1.0.0-0123abcd and [fd00:16::11]:80, fd00::",
    }.items():
        facts = changed(facts, f"node.{name}", value)
    return facts


def addresses(facts: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = facts["node"]["local_addresses"]
    return found


def report(facts: Any) -> DoctorReport:
    return run.report(CHECKS, facts, run.chosen(CHECKS, (), (), pre=False, left_out="cluster"), VERSION)


def test_it_names_no_pod_and_no_address() -> None:
    facts = broken()
    secrets = {"the-namespace", "the-pod", PEER, "10.244.", "fd00:", *(one["address"] for one in addresses(facts))}
    told = report(facts)
    assert [
        secret for secret in ("the-namespace", "the-pod", PEER, "10.244.", "fd00:") if secret not in json.dumps(told)
    ] == []
    reduced = without_pods(told, CHECKS)
    DOCTOR_REPORT.validate_python(reduced)
    assert [secret for secret in secrets if secret in json.dumps(reduced)] == []


def test_results_and_all_other_texts_stay() -> None:
    told = report(broken())
    reduced = without_pods(told, CHECKS)
    assert reduced["summary"] == told["summary"]
    assert [one["result"] for one in reduced["checks"]] == [one["result"] for one in told["checks"]]
    (installed,) = [one for one in reduced["checks"] if one["id"] == "node-installed"]
    assert "(address): (address):80: 12:30:05, 1.0.0-0123abcd and [(address)]:80, (address)" in json.dumps(installed)
    (sessions,) = [one for one in reduced["checks"] if one["id"] == "node-bird"]
    assert [one["seen"].partition(",")[0] for one in sessions["findings"]] == ["1 findings"]
    well = report(guide())
    assert without_pods(well, CHECKS)["checks"] == well["checks"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("dial tcp 10.0.0.1:9479: refused", "dial tcp (address):9479: refused"),
        ("code:10.0.0.1.", "code:(address)."),
        ("10.0.0.0/26, fd00::/64, and ::1.", "(address)/26, (address)/64, and (address)."),
        ("[fd00::1]:179, addr:fd00::1: gone", "[(address)]:179, addr:(address): gone"),
        ("::ffff:10.0.0.1", "(address):(address)"),
        ("no route to 169.254.1.1", "no route to 169.254.1.1"),
        ("12:30:05 1.0.0-0123abcd BIRD 1.6.8: a::b", "12:30:05 1.0.0-0123abcd BIRD 1.6.8: (address)"),
    ],
)
def test_addresses_are_found_wherever_they_stand(text: str, wanted: str) -> None:
    assert without_addresses(text) == wanted
