"""cnitool runs the reference plugins, which delegate to the frozen plugin, which asks the embedded agent."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests import requirements
from tests.e2e.frozen_agent import Agent
from tests.e2e.node import Node, addresses, links

RESULTS = Path("/var/lib/cni/results")


class Cnitool:
    """One conflist, and cnitool, which runs in the node with it."""

    def __init__(self, node: Node, agent: Agent, folder: Path, version: str, plugins: list[dict[str, Any]]) -> None:
        cnitool, plugin = requirements.need_tool("cnitool"), requirements.need_frozen("spiderpool")
        for other in plugins:
            requirements.need_tool(other["type"])
        self.node, self.folder, self.cnitool = node, folder, cnitool
        self.cni_path = f"{requirements.TOOLS}:{plugin.parent}"
        self.network = f"e2e-{node.name}"
        ipam = {"type": "spiderpool", "ipam_unix_socket_path": str(agent.socket), "log_file_path": str(folder / "log")}
        conflist = {
            "cniVersion": version,
            "name": self.network,
            "plugins": [{**plugins[0], "ipam": ipam}, *plugins[1:]],
        }
        self.conf = folder / "net.d/10.conflist"
        self.conf.parent.mkdir()
        self.conf.write_text(json.dumps(conflist))

    def run(self, command: str, pod: str) -> subprocess.CompletedProcess[str]:
        return self.node.run(
            self.cnitool, command, self.network, f"/var/run/netns/{pod}",
            CNI_PATH=self.cni_path, NETCONFPATH=str(self.conf.parent), CNI_ARGS=f"IgnoreUnknown=1;K8S_POD_NAME={pod}",
        )  # fmt: skip

    def do(self, command: str, pod: str) -> dict[str, Any]:
        done = self.run(command, pod)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout) if done.stdout else {}

    def cached_results(self) -> list[Path]:
        return list(RESULTS.glob(f"{self.network}-*"))


PTP: list[dict[str, Any]] = [
    {"type": "ptp", "ipMasq": False},
    {"type": "portmap", "capabilities": {"portMappings": True}},
    {"type": "tuning", "mtu": 1400},
]
BRIDGE: list[dict[str, Any]] = [{"type": "bridge", "bridge": "br0", "isGateway": True}]


@pytest.mark.parametrize(
    ("version", "plugins"),
    [("1.0.0", PTP), ("1.1.0", PTP), ("0.3.1", BRIDGE)],
    ids=["ptp, portmap, tuning at 1.0.0", "ptp, portmap, tuning at 1.1.0", "bridge at 0.3.1"],
)
def test_a_pod_gets_its_addresses_answers_the_node_and_leaves_nothing(
    version: str, plugins: list[dict[str, Any]], node: Node, agent: Agent, tmp_path: Path
) -> None:
    ping = requirements.need_program("ping")
    cnitool = Cnitool(node, agent, tmp_path, version, plugins)
    pod = node.add_pod()

    result = cnitool.do("add", pod)
    want = {"10.244.100.10/16", "fd00:244::a/64"}
    assert {ip["address"] for ip in result["ips"]} == want
    assert addresses(pod, "eth0") == want
    for address in ("10.244.100.10", "fd00:244::a"):
        answer = node.run(ping, "-c3", "-i0.5", "-W2", address)
        assert answer.returncode == 0, answer.stdout + answer.stderr

    if version >= "0.4.0":
        cnitool.do("check", pod)
    cnitool.do("status", pod)
    assert [(held["ipv4"], held["ipv6"]) for held in agent.held()] == [("10.244.100.10/16", "fd00:244::a/64")]

    cnitool.do("del", pod)
    cnitool.do("del", pod)
    assert not agent.held()
    assert not addresses(pod, "eth0")
    assert links(node.name) - {"br0"} == {"lo"}
    assert not cnitool.cached_results()


def test_gc_through_attach_keeps_what_it_is_told_and_check_then_misses_the_rest(
    node: Node, agent: Agent, tmp_path: Path
) -> None:
    cnitool = Cnitool(node, agent, tmp_path, "1.0.0", PTP)
    kept, gone = node.add_pod(), node.add_pod()
    cnitool.do("add", kept)
    (held,) = agent.held()
    cnitool.do("add", gone)
    attach = requirements.need_frozen("spiderpool-ipam")
    options: list[str | Path] = ["--conf", cnitool.conf, "--cni-path", cnitool.cni_path]
    keep = ["--keep", f"{held['containerIDs'][0]}/eth0"]
    # CNI 1.0.0 has no GC: the plugin says so and releases nothing.
    done = node.run(attach, "attach", "gc", *keep, *options)
    assert (done.returncode, len(agent.held())) == (1, 2)
    assert "code 1" in done.stderr

    cnitool.conf.write_text(cnitool.conf.read_text().replace('"1.0.0"', '"1.1.0"'))
    done = node.run(attach, "attach", "gc", *keep, *options)
    assert (done.returncode, done.stdout, agent.held()) == (0, "gc: ok\n", [held])
    cnitool.do("check", kept)
    done = cnitool.run("check", gone)
    assert done.returncode == 1
    assert "the agent holds nothing for this pod" in done.stdout + done.stderr
    cnitool.do("del", gone)
    cnitool.do("del", kept)
    assert not agent.held()


def test_status_says_that_the_agent_is_gone(node: Node, agent: Agent, tmp_path: Path) -> None:
    cnitool = Cnitool(node, agent, tmp_path, "1.1.0", PTP)
    moved = shutil.move(agent.socket, tmp_path / "moved")
    done = cnitool.run("status", node.add_pod())
    assert done.returncode == 1
    assert "cannot reach the spiderpool-agent" in done.stdout + done.stderr
    shutil.move(moved, agent.socket)
