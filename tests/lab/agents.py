"""Who answers the IPAM plugins, and how many addresses it has given: upstream's agents, or the embedded one."""

import subprocess
from pathlib import Path

import httpx
import yaml

from tests.lab import chart, objects, programs, spiderpool
from tests.lab.node import Node
from tests.lab.processes import FOLDER, LabError, start, stop, wait_for_line, wait_until

_POOLS = "spiderippools.yaml"
_SOCKET = "spiderpool.sock"
_NETWORK = "kube-system/k8s-pod-network"  # what the chart's defaultCniCRName becomes


class Embedded:
    """`spiderpool-ipam agent`, which knows SpiderIPPools out of a file, and no pods.

    It is one process for both nodes, because each would give the same addresses.
    """

    title = "spiderpool-ipam's embedded agent"
    knows_pods = False

    def __init__(self, nodes: list[Node]) -> None:
        self._nodes, self._folder = nodes, FOLDER / "agent"
        self._process: subprocess.Popen[bytes] | None = None

    def open(self) -> None:
        """Give each node the agent's folder as its /run/spidernet, and start it."""
        self._folder.mkdir()
        for node in self._nodes:
            node.run("mount", "--bind", self._folder, "/run/spidernet")
        (FOLDER / _POOLS).write_text(objects.manifest(_POOLS))
        self.start()

    def start(self) -> None:
        """Start it. It remembers what it has given."""
        log = FOLDER / "logs/agent.log"
        log.unlink(missing_ok=True)
        files = [f"--socket={self._folder / _SOCKET}", f"--pool={FOLDER / _POOLS}", f"--state={FOLDER}/agent-state"]
        self._process = start(programs.OURS, "agent", *files, log=log)
        wait_for_line(self._process, log, "serving", 10)

    def stop(self) -> None:
        """End it; its socket goes."""
        if self._process:
            stop(self._process)

    def counts(self) -> dict[str, int]:
        """Return how many addresses of each pool are held."""
        transport = httpx.HTTPTransport(uds=str(self._folder / _SOCKET))
        with httpx.Client(transport=transport, base_url="http://agent/v1") as client:
            rows = client.get("/ipam/allocations").raise_for_status().json()["allocations"]
        pools = [row[key] for row in rows for key in ("ipv4Pool", "ipv6Pool") if row.get(key)]
        return {pool: pools.count(pool) for pool in pools}


class Upstream:
    """spiderpool-agent on each node, and spiderpool-controller on the router, which stands for any machine.

    Their pools and the name of Multus' cluster network are those of the chart with the guide's values.
    """

    title = "upstream's spiderpool-agent and -controller"
    knows_pods = True

    def __init__(self, nodes: list[Node]) -> None:
        self._nodes = nodes
        self._agents: list[spiderpool.Program] = []

    def open(self) -> None:
        """Make the SpiderIPPools, and start all three."""
        rendered = chart.render(chart.GUIDE + chart.IPV6 + chart.MULTUS)
        pools = [*yaml.safe_load_all(objects.manifest(_POOLS)), *chart.pools(rendered)]
        for pool in {one["metadata"]["name"]: one for one in pools}.values():
            objects.request("POST", f"{objects.SPIDERPOOL}/spiderippools", pool)
        for node in self._nodes:
            self._folder(node).mkdir()
            node.run("mount", "--bind", self._folder(node), "/run/spidernet")
        try:
            spiderpool.start_controller(FOLDER / "kubeconfig", FOLDER / "spiderpool-controller")
        except spiderpool.SpiderpoolError as error:
            raise LabError(str(error)) from None
        self.start(chart.cluster_network(rendered))
        wait_until(lambda: all("status" in pool for pool in self._pools()), "the status of the SpiderIPPools", 10)

    def start(self, cluster_network: str = _NETWORK) -> None:
        """Start the agents."""
        for node in self._nodes:
            place = (node.name, self._folder(node) / _SOCKET, FOLDER / "kubeconfig", self._folder(node))
            try:
                agent = spiderpool.start_agent(*place, within=node.before, cluster_network=cluster_network)
            except spiderpool.SpiderpoolError as error:
                raise LabError(str(error)) from None
            self._agents.append(agent)

    def stop(self) -> None:
        """End the agents; their sockets go."""
        while self._agents:
            self._agents.pop().stop()

    def counts(self) -> dict[str, int]:
        """Return how many addresses of each pool are held."""
        held = {pool["metadata"]["name"]: pool["status"].get("allocatedIPCount", 0) for pool in self._pools()}
        return {name: count for name, count in held.items() if count}

    def _pools(self) -> list[objects.Object]:
        return objects.listed(f"{objects.SPIDERPOOL}/spiderippools")

    def _folder(self, node: Node) -> Path:
        return FOLDER / f"agent-{node.name}"


Agent = Embedded | Upstream
