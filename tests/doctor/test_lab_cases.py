"""Each case of the lab is named by the check of its cause, and the controls by none: on the objects of the vectors."""

import json
from typing import Any

import pytest
import yaml

from cni.doctor import run
from cni.doctor.checks import CHECKS
from tests.doctor.documents import CLUSTER, guide
from tests.doctor.exports import of_kind
from tests.requirements import ROOT

LAB = ROOT / "tests/lab"
CASES = sorted(path.parent.name for path in (LAB / "export").glob("*/objects.json"))
CAUSES = {
    "no-ippool": "calico-pool-covers",
    "ippool-narrow": "calico-pool-covers",
    "export-disabled": "calico-pool-exports",
    "export-disabled-overlap": "calico-pool-exports",
    "bgpfilter-reject": "bgp-filter",
    "peer-one-node": "bgp-peer-per-node",
    "block-inside": "calico-blocks",
    "pool-enabled": "calico-pool-disabled",
}
# What the objects of Calico do not tell: the node, BIRD and the router do, and other checks look at them.
ELSEWHERE = {"wrong-as", "no-default-route", "requires-policy", "mesh", "mesh-vxlan"}
MADE = {*CAUSES.values()}


def facts(case: str) -> Any:
    objects = json.loads((LAB / "export" / case / "objects.json").read_text())
    pools = list(yaml.safe_load_all((LAB / "manifests/spiderippools.yaml").read_text()))
    kinds = {
        "nodes": "Node",
        "pods": "Pod",
        "ip_pools": "IPPool",
        "bgp_peers": "BGPPeer",
        "bgp_filters": "BGPFilter",
        "bgp_configurations": "BGPConfiguration",
        "block_affinities": "BlockAffinity",
    }
    read = {name: of_kind(objects, kind) for name, kind in kinds.items()}
    return guide({**CLUSTER, **read, "spider_ip_pools": pools})


@pytest.mark.parametrize("case", CASES)
def test_a_case_is_named_by_its_cause_and_by_nothing_else(case: str) -> None:
    skipped = run.chosen(CHECKS, sorted(MADE), [], pre=False)
    report = run.report(CHECKS, facts(case), skipped, "1.0.0")
    failed = {check["id"] for check in report["checks"] if check["result"] in ("failure", "warning")}
    assert failed == ({CAUSES[case]} if case in CAUSES else set())
    assert all(check["result"] != "not-checked" for check in report["checks"] if check["id"] in MADE)


def test_every_case_that_is_broken_has_a_cause() -> None:
    assert {case for case in CASES if case != "guide" and not case.startswith("control-")} == {*CAUSES, *ELSEWHERE}


# Those that tell how packets go, where the routes are exported all the same.
OF_WAYS = [
    "bgp-mesh-and-router", "bgp-as", "bgp-node-address", "bgp-advertises", "calico-pool-encap", "felix-route-source",
    "felix-ipv6",
]  # fmt: skip
WAYS = {
    "mesh": {"bgp-mesh-and-router"},
    "mesh-vxlan": {"bgp-mesh-and-router", "calico-pool-encap", "felix-route-source"},
}


@pytest.mark.parametrize("case", CASES)
def test_the_mesh_and_tunnels_are_named_where_they_are_and_nowhere_else(case: str) -> None:
    report = run.report(CHECKS, facts(case), run.chosen(CHECKS, OF_WAYS, [], pre=False), "1.0.0")
    made = {check["id"]: check["result"] for check in report["checks"] if check["result"] != "skipped"}
    assert {check_id for check_id, result in made.items() if result != "ok"} == WAYS.get(case, set())
    causes = {one.get("cause", "") for check in report["checks"] for one in check["findings"]}
    assert causes == ({"", "calico-pool-encap"} if case == "mesh-vxlan" else {""} if case == "mesh" else set())
