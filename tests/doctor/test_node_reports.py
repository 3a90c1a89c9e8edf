"""Each node's watch is asked by a real HTTPS server's proxy; what several nodes have in common is told once."""

import json
import threading
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from cni.contracts.doctor import NodesReport
from cni.doctor.collect import kube, node_reports
from cni.installer.errors import InstallerError
from tests.cli.test_doctor import SCHEMA, doctor
from tests.doctor.api_server import Answer, ApiServer, Seen

PODS = "/api/v1/pods?labelSelector=app.kubernetes.io/name=spiderpool-ipam"
FINDING = {"object": "net.ipv4.ip_forward", "seen": "it is 0", "why": "Because.", "severity": "failure"}


def check(*findings: Any) -> Any:
    common = {
        "id": "node-forwarding",
        "part": "node",
        "severity": "failure",
        "doc": "docs/doctor/node.md#node-forwarding",
    }
    return {**common, "result": "failure" if findings else "ok", "findings": list(findings)}


def report(*findings: Any) -> Answer:
    return 200, {}, {"made_at": 1.0, "report": {"version": "1.0.0", "summary": {}, "checks": [check(*findings)]}}


def pod(node: str, *arguments: str) -> Any:
    ports = [{"name": "metrics", "containerPort": 9479}]
    container = {"name": "watch", "args": ["watch", *arguments], "ports": ports}
    return {
        "metadata": {"name": f"pod-{node}", "namespace": "net"},
        "spec": {"nodeName": node, "containers": [container]},
    }


def path_of(node: str) -> str:
    return f"/api/v1/namespaces/net/pods/pod-{node}:9479/proxy/report"


def collect(path: Path) -> NodesReport:
    return node_reports.collect(path, "", lambda _: None)


def test_equal_findings_are_told_once_with_their_nodes(api: ApiServer, kubeconfig: Path) -> None:
    api.serve(PODS, *(pod(f"node{number}", "--report") for number in range(4)), pod("old"))
    other = {**FINDING, "seen": "it is 2"}
    for number, answer in enumerate([report(FINDING), report(FINDING, other), report(), (403, {}, {"message": "no"})]):
        api.say(path_of(f"node{number}"), answer)
    found = collect(kubeconfig)
    assert found["answered"] == ["node0", "node1", "node2"]
    assert [(one["finding"]["seen"], one["nodes"]) for one in found["findings"]] == [
        ("it is 0", ["node0", "node1"]), ("it is 2", ["node1"]),
    ]  # fmt: skip
    silent = {one["because"]: one["nodes"] for one in found["silent"]}
    assert silent.pop("HTTP status 403: no") == ["node3"]
    assert [(nodes, "metrics.report.enabled" in because) for because, nodes in silent.items()] == [(["old"], True)]


def test_what_could_not_be_checked_on_nodes_is_told_with_them(api: ApiServer, kubeconfig: Path) -> None:
    def answer(*names: str, because: str) -> Answer:
        checks = [{**check(), "id": name, "result": "not-checked", "because": because} for name in names]
        return 200, {}, {"made_at": 1.0, "report": {"version": "1.0.0", "summary": {}, "checks": [check(), *checks]}}

    api.serve(PODS, *(pod(f"node{number}", "--report") for number in range(4)))
    api.say(path_of("node0"), answer("node-bird", "node-bird-exports", because="no socket"))
    api.say(path_of("node1"), answer("node-bird", "node-bird-exports", because="no socket"))
    api.say(path_of("node2"), answer("node-bird", because="172.16.13.2 does not answer"))
    api.say(path_of("node3"), answer("node-bird", because="172.16.13.3 does not answer"))
    only = ("--cluster-only", "--nodes", "--only=bgp-router-view", f"--kubeconfig={kubeconfig}")
    shown = doctor(*only, "--no-pods").stdout
    assert "nodes (4 have told)" in shown
    assert "not checked  node-bird, node-bird-exports: on node0, node1: no socket\n" in shown
    assert "not checked  node-bird: on node2, node3: (address) does not answer\n" in shown
    as_json = json.loads(doctor(*only, "--json").stdout)
    jsonschema_rs.validator_for(SCHEMA).validate(as_json)
    assert [one["nodes"] for one in as_json["nodes"]["not_checked"]] == [["node0", "node1"], ["node2"], ["node3"]]


def test_nodes_that_are_gone_are_told_in_one_line(api: ApiServer, kubeconfig: Path) -> None:
    api.serve(PODS, *(pod(f"node{number}", "--report") for number in range(4)))
    for number in range(4):
        said = f"error trying to reach service: dial tcp 172.16.13.{number}:9479: connect: connection refused"
        api.say(path_of(f"node{number}"), (502, {"Retry-After": "0"}, {"message": said}))
    (silent,) = collect(kubeconfig)["silent"]
    assert silent["because"].endswith("dial tcp (address):9479: connect: connection refused")
    assert silent["nodes"] == [f"node{number}" for number in range(4)]


def test_nodes_that_may_not_be_asked_are_told_in_one_line_without_their_pods(api: ApiServer, kubeconfig: Path) -> None:
    api.serve(PODS, *(pod(f"node{number}", "--report") for number in range(4)))
    for number in range(4):
        said = f'pods "pod-node{number}:9479" is forbidden: User "jane" cannot get resource "pods/proxy"'
        api.say(path_of(f"node{number}"), (403, {}, {"message": said}))
    (silent,) = collect(kubeconfig)["silent"]
    assert 'pods "(pod):9479" is forbidden' in silent["because"]
    assert len(silent["nodes"]) == 4


def test_many_are_asked_at_once_and_no_more(api: ApiServer, kubeconfig: Path) -> None:
    names = [f"node{number}" for number in range(3 * node_reports.AT_ONCE)]
    api.serve(PODS, *(pod(name, "--report") for name in names))
    lock, now, most = threading.Lock(), 0, 0
    all_there = threading.Barrier(node_reports.AT_ONCE)

    def answer(_: Seen) -> Answer:
        nonlocal now, most
        with lock:
            now, most = now + 1, max(most, now + 1)
        all_there.wait(9)  # less than the client's time for an answer
        with lock:
            now -= 1
        return report(FINDING)

    for name in names:
        api.answers[path_of(name)] = answer
    found = collect(kubeconfig)
    assert len(found["answered"]) == len(names)
    assert [len(one["nodes"]) for one in found["findings"]] == [len(names)]
    assert most == node_reports.AT_ONCE


def test_nodes_that_hang_or_send_nonsense_cost_the_others_nothing(
    api: ApiServer, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kube, "_TIMEOUT", 0.5)
    api.serve(PODS, *(pod(name, "--report") for name in ("hangs", "nonsense", "well")))
    released = threading.Event()

    def hang(_: Seen) -> Answer:
        released.wait(20)
        return report()

    api.answers[path_of("hangs")] = hang
    api.say(path_of("nonsense"), (200, {}, b"<html>"))
    # It is asked again after the others have failed.
    api.say(path_of("well"), (503, {"Retry-After": "1"}, {"message": "the report is being made"}), report(FINDING))
    found = collect(kubeconfig)
    released.set()
    assert found["answered"] == ["well"]
    assert sorted(node for one in found["silent"] for node in one["nodes"]) == ["hangs", "nonsense"]


def test_a_cluster_that_does_not_let_its_pods_be_listed_is_told(api: ApiServer, kubeconfig: Path) -> None:
    with pytest.raises(InstallerError, match="404"):
        collect(kubeconfig)


def test_doctor_shows_them_and_fails_by_them(api: ApiServer, kubeconfig: Path) -> None:
    api.serve(PODS, *(pod(f"node{number}", "--report") for number in range(30)))
    for number in range(30):
        api.say(path_of(f"node{number}"), report(FINDING))
    only = ("--cluster-only", "--nodes", "--only=bgp-router-view", f"--kubeconfig={kubeconfig}")
    done = doctor(*only)
    assert done.returncode == 1
    assert "nodes (30 have told)" in done.stdout
    assert "FAILURE      node-forwarding: on node0, node1, node10" in done.stdout
    assert done.stdout.count("it is 0") == 1
    assert " and 10 more" in done.stdout
    as_json = json.loads(doctor(*only, "--json").stdout)
    jsonschema_rs.validator_for(SCHEMA).validate(as_json)
    assert as_json["nodes"]["answered"][:2] == ["node0", "node1"]
