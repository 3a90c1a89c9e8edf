"""Which operations an agent has, what is pending for it, and Multus' network: real sockets and files."""

import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from typing import Any

import pytest

from cni.doctor.collect.node import collect
from tests.doctor.documents import changed, guide, made
from tests.installer.health_agent import dripping
from tests.installer.sample_node import Node
from tests.serving import served
from tests.waiting import SLACK

SOCKET = "/var/run/spidernet/spiderpool.sock"


class OldAgent(BaseHTTPRequestHandler):
    """An agent of 0.4, as far as it is asked here."""

    def do_GET(self) -> None:
        status = {"/v1/ipam/healthy": 200, "/v1/workloadendpoint": 501}.get(self.path.partition("?")[0], 404)
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def agent(node: Node) -> Iterator[Path]:
    path = node.root / SOCKET[1:]
    path.parent.mkdir(parents=True)
    server = ThreadingUnixStreamServer(str(path), OldAgent)
    server.daemon_threads = True
    with served(server):
        yield path


def read(node: Node, name: str) -> Any:
    return collect(node.find, {name}, before_install=False)[name]


def test_the_status_of_each_operation_is_read(node: Node, agent: Path) -> None:
    node.install()
    operations = read(node, "agent_operations")
    assert operations == {"socket": SOCKET, "workload_endpoint": 501, "coordinator_config": 404}
    report = made(changed(guide(), "node.agent_operations", operations), "node-agent-generation")
    assert "0.5.1 or before" in report["findings"][0]["seen"]


def test_without_an_agent_its_operations_are_not_known(node: Node) -> None:
    node.install()
    assert read(node, "agent_operations") == {"unknown": f"{SOCKET}: there is no such socket"}


def test_an_agent_that_answers_byte_by_byte_is_not_waited_for(node: Node) -> None:
    node.install()
    path = node.root / SOCKET[1:]
    path.parent.mkdir(parents=True)
    with dripping(path, b"HTTP/1.1 200 OK\r\nX-Name: " + b"x" * 1000):
        started = time.monotonic()
        assert read(node, "agent_operations") == {"unknown": "GET workloadendpoint: timed out"}
        assert time.monotonic() - started < 2 + SLACK


def test_what_is_pending_is_read_by_the_agents_that_it_is_for(node: Node) -> None:
    node.install()
    folder = node.root / "var/lib/spiderpool-ipam/pending"
    folder.mkdir(parents=True, exist_ok=True)
    line = {"time": int(time.time()) - 3600, "socketPath": "/run/gone.sock", "release": release()}
    (folder / "net~a_b~eth0.release").write_text(json.dumps(line) + "\n")
    (pending,) = read(node, "pending")
    assert pending == {"socket": "/run/gone.sock", "agent": "absent", "releases": 1, "oldest": line["time"]}
    facts = changed(guide(), "node.pending", [pending])
    facts["collected_at"] = time.time()
    (finding,) = made(facts, "node-pending")["findings"]
    assert finding["seen"] == "1 release waits, the oldest for 60 minutes: nobody listens there"


def release() -> dict[str, str]:
    names = {"podNamespace": "default", "podName": "a", "podUID": "u", "containerID": "c", "ifName": "eth0"}
    return {**names, "network": "k8s-pod-network"}


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ('{"type": "multus", "clusterNetwork": "kube-system/k8s-pod-network"}', "kube-system/k8s-pod-network"),
        ('{"type": "multus", "delegates": []}', ""),
        ('{"type": "bridge", "clusterNetwork": "x"}', ""),
        ("[]", ""),
        ("{", ""),
    ],
)
def test_the_network_of_multus_is_read(node: Node, text: str, network: str) -> None:
    node.install()
    (node.conf / "00-multus.conf").write_text(text)
    assert read(node, "multus_network") == network
