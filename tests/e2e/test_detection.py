"""Detection by the frozen plugin: the embedded agent asks for it, and real main plugins make the links."""

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import requirements, vectors
from tests.e2e.frozen_agent import Agent
from tests.e2e.node import Node
from tests.e2e.test_cnitool import Cnitool
from tests.segment import Segment, ip, mac, path
from tests.waiting import SLACK

V4, V6 = "10.244.100.10", "fd00:244::a"
GATEWAYS = ("10.244.0.1/16", "fd00:244::1/64")


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    """An agent that asks for the detection of conflicts and of the gateway."""
    agent = Agent(tmp_path, "--detect-conflicts", "--detect-gateway")
    yield agent
    agent.stop()


class Plugin:
    """The frozen plugin, called as Calico calls it or, where the interface exists, as macvlan and bridge call it."""

    def __init__(self, folder: Path, socket: Path, program: Path | None = None) -> None:
        self.program = program or requirements.need_frozen("spiderpool")
        self.log_file = folder / "log"
        self.ipam = {"ipam_unix_socket_path": str(socket), "log_file_path": str(self.log_file)}
        self.seconds = 0.0

    def add(self, pod: str, kind: str = "macvlan", **ipam: Any) -> tuple[int, dict[str, Any]]:
        environ = {
            "CNI_COMMAND": "ADD",
            "CNI_CONTAINERID": pod,
            "CNI_NETNS": path(pod),
            "CNI_IFNAME": "eth0",
            "CNI_PATH": "/opt/cni/bin",
            "CNI_ARGS": f"IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME={pod};K8S_POD_UID=u-{pod}",
        }
        document = {"cniVersion": "1.0.0", "name": "n", "type": kind, "ipam": {**self.ipam, **ipam}}
        started = time.perf_counter()
        done = subprocess.run([self.program], env=environ, input=json.dumps(document).encode(), capture_output=True)
        self.seconds = time.perf_counter() - started
        assert done.stderr == b""
        return done.returncode, json.loads(done.stdout)

    def logged(self) -> dict[str, Any]:
        """Return the last line of the log."""
        line: dict[str, Any] = json.loads(self.log_file.read_text().splitlines()[-1])
        return line


def addresses_of(result: dict[str, Any]) -> list[str]:
    return [ip["address"] for ip in result["ips"]]


def test_in_calicos_order_it_is_skipped_with_an_info_line_and_no_error(
    lan: Segment, agent: Agent, tmp_path: Path, show: Callable[[str], None]
) -> None:
    plugin = Plugin(tmp_path, agent.socket)
    pod = lan.add()
    status, result = plugin.add(pod, "calico")
    assert (status, addresses_of(result)) == (0, [f"{V4}/32", f"{V6}/128"])
    line = plugin.logged()
    assert (line["level"], line["outcome"]) == ("info", "ok")
    assert line["detection"] == f"skipped: eth0 is not in {path(pod)} yet"
    show(f"ADD with detection asked for and no interface: {1000 * plugin.seconds:.0f} ms")


def test_addresses_that_nobody_has_are_given_and_the_gateway_has_answered(
    lan: Segment, agent: Agent, tmp_path: Path, show: Callable[[str], None]
) -> None:
    gateway, pod = lan.join(*GATEWAYS), lan.join(up=False)
    plugin = Plugin(tmp_path, agent.socket)
    status, result = plugin.add(pod)
    assert (status, addresses_of(result)) == (0, [f"{V4}/16", f"{V6}/64"])
    assert plugin.logged()["detection"] == "clear"
    # The probes and the announcement have filled the gateway's table.
    assert mac(pod) in ip(gateway, f"neighbour show {V4}")
    assert mac(pod) in ip(gateway, f"neighbour show {V6}")
    show(f"ADD with detection, v4 and v6, clear: {1000 * plugin.seconds:.0f} ms")


@pytest.mark.parametrize("address", [V4, V6])
def test_a_conflict_is_code_102_with_the_others_mac_and_nothing_is_held(
    address: str, lan: Segment, agent: Agent, tmp_path: Path
) -> None:
    other = lan.join(*GATEWAYS, f"{address}/{64 if ':' in address else 16}")
    pod = lan.join(up=False)
    plugin = Plugin(tmp_path, agent.socket)
    status, error = plugin.add(pod)
    assert (status, error["code"], error["details"]) == (1, 102, f"{address} is at {mac(other)}")
    assert agent.held() == []
    assert "warning" not in plugin.logged()
    # The retry gets other addresses.
    status, result = plugin.add(pod)
    assert (status, addresses_of(result)) == (0, ["10.244.100.11/16", "fd00:244::b/64"])


def test_an_unreachable_gateway_is_code_103_and_nothing_is_held(lan: Segment, agent: Agent, tmp_path: Path) -> None:
    status, error = Plugin(tmp_path, agent.socket).add(lan.join(up=False))
    assert (status, error["code"], error["details"]) == (1, 103, f"10.244.0.1 from {V4} on eth0")
    assert agent.held() == []


def scripted(refusal: int, pod: str, **flags: bool) -> vectors.Vector:
    """Return a vector whose agent answers a release with `refusal`; the embedded agent never refuses one."""
    environ = {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": "c",
        "CNI_NETNS": path(pod),
        "CNI_IFNAME": "eth0",
        "CNI_PATH": "/opt/cni/bin",
        "CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;K8S_POD_UID=u",
    }
    ipam = {"ipam_unix_socket_path": "@SOCKET@", "log_file_path": "@LOG@"}
    document = {"cniVersion": "1.0.0", "name": "n", "type": "macvlan", "ipam": ipam}
    address = {"version": 4, "address": f"{V4}/16", "nic": "eth0", "gateway": "10.244.0.1", **flags}
    released = {"status": refusal, "body": "no"} if refusal != 200 else {"status": 200}
    answers = {
        "POST /v1/ipam/ip": {"status": 200, "body": {"ips": [address]}},
        "DELETE /v1/ipam/ips": released,
        "DELETE /v1/ipam/ip": {"status": 200},
    }
    agent = [
        {"request": dict(zip(("method", "target"), request.split(), strict=True)), "response": response}
        for request, response in answers.items()
    ]
    return vectors.Vector("1.0.0", "detection", environ, json.dumps(document).encode(), agent, None)


@pytest.mark.parametrize("refusal", [200, 521, 522])
def test_a_conflicts_release_says_what_it_is_and_may_be_refused(refusal: int, lan: Segment) -> None:
    other, pod = lan.join(f"{V4}/16"), lan.join()
    vector = scripted(refusal, pod, enableIPConflictDetection=True)
    outcome = vectors.run(vector, vectors.executable(requirements.need_frozen("spiderpool")))
    error = json.loads(outcome.stdout)
    assert (error["code"], error["details"]) == (102, f"{V4} is at {mac(other)}")
    assert outcome.requests[1] == {
        "method": "DELETE",
        "target": "/v1/ipam/ips",
        "body": {
            "containerID": "c",
            "podNamespace": "default",
            "podName": "web",
            "podUID": "u",
            "network": "n",
            "netNamespace": path(pod),
            "isReleaseConflictIPs": True,
        },
    }


def test_a_bundle_without_the_operator_program_gives_the_address_back(
    lan: Segment, agent: Agent, tmp_path: Path
) -> None:
    tree = shutil.copytree(requirements.need_frozen("spiderpool").parent, tmp_path / "tree")
    (tree / "spiderpool-ipam").unlink()
    status, error = Plugin(tmp_path, agent.socket, tree / "spiderpool").add(lan.join(up=False))
    assert (status, error["code"]) == (1, 999)
    assert "could not be probed" in error["msg"]
    assert agent.held() == []


def test_a_probe_that_hangs_ends_at_the_calls_deadline_and_the_address_is_given_back(
    lan: Segment, agent: Agent, tmp_path: Path
) -> None:
    tree = shutil.copytree(requirements.need_frozen("spiderpool").parent, tmp_path / "tree")
    (tree / "spiderpool-ipam").write_text(f"#!/bin/sh\necho $$ >{tmp_path}/pid\nexec sleep 60\n")
    plugin = Plugin(tmp_path, agent.socket, tree / "spiderpool")
    status, error = plugin.add(lan.join(up=False), request_timeout=1)
    assert (status, error["code"]) == (1, 11)
    assert 0.9 < plugin.seconds < 1 + SLACK
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()
    assert agent.held() == []


def test_a_plugin_that_is_stopped_while_it_probes_stops_the_probe_and_gives_the_address_back(
    lan: Segment, agent: Agent, tmp_path: Path
) -> None:
    tree = shutil.copytree(requirements.need_frozen("spiderpool").parent, tmp_path / "tree")
    stop = "kill -TERM $PPID"
    (tree / "spiderpool-ipam").write_text(f"#!/bin/sh\necho $$ >{tmp_path}/pid\n{stop}\nexec sleep 60\n")
    plugin = Plugin(tmp_path, agent.socket, tree / "spiderpool")
    status, error = plugin.add(lan.join(up=False))
    assert (status, error["code"]) == (1, 11)
    assert "stopped by a signal" in error["msg"]
    assert plugin.seconds < SLACK
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()
    assert agent.held() == []


def test_without_being_asked_it_starts_nothing_and_opens_no_namespace(lan: Segment, tmp_path: Path) -> None:
    strace = requirements.need_program("strace")
    plugin = requirements.need_frozen("spiderpool")
    pod = lan.join(f"{V4}/16")
    words = (path(pod), "setns(", "AF_NETLINK", "spiderpool-ipam.bin")
    traced = {}
    for asked in (False, True):
        trace = tmp_path / f"trace-{asked}"

        def run(environ: Any, stdin: int, stdout: int, stderr: int, trace: Path = trace) -> int:
            command = [strace, "-f", "-e", "trace=openat,execve,setns,socket", "-o", str(trace), str(plugin)]
            return subprocess.run(command, env=environ, stdin=stdin, stdout=stdout, stderr=stderr).returncode

        vectors.run(scripted(200, pod, enableIPConflictDetection=asked), run)
        traced[asked] = {word: word in trace.read_text() for word in words}
    assert traced == {asked: dict.fromkeys(words, asked) for asked in (False, True)}


@pytest.mark.parametrize("kind", ["bridge", "macvlan"])
def test_main_plugins_that_make_the_interface_first_have_it_probed(
    kind: str, node: Node, agent: Agent, lan: Segment, tmp_path: Path
) -> None:
    """The node has a link to the segment: a port of its bridge, or the master of its macvlan."""
    others = lan.join(*GATEWAYS)
    ip(lan.name, f"link add up0 type veth peer name eth1 netns {node.name}")
    ip(lan.name, "link set up0 master br0 up")
    if kind == "bridge":
        ip(node.name, "link add br0 type bridge")
        ip(node.name, "link set br0 up")
        ip(node.name, "link set eth1 master br0")
    ip(node.name, "link set eth1 up")
    plugin = {"type": "bridge", "bridge": "br0"} if kind == "bridge" else {"type": "macvlan", "master": "eth1"}
    cnitool = Cnitool(node, agent, tmp_path, "1.0.0", [plugin])

    first, second = node.add_pod(), node.add_pod()
    result = cnitool.do("add", first)
    assert addresses_of(result) == [f"{V4}/16", f"{V6}/64"]
    assert json.loads((tmp_path / "log").read_text().splitlines()[-1])["detection"] == "clear"

    ip(others, "address add fd00:244::b/64 dev eth0 nodad")
    done = cnitool.run("add", second)
    assert done.returncode == 1
    assert f"fd00:244::b is at {mac(others)}" in done.stdout + done.stderr
    assert len(agent.held()) == 1

    cnitool.do("del", second)
    cnitool.do("del", first)
    assert agent.held() == []
