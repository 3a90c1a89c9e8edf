"""Who answers the IPAM plugins, and how many addresses it has given: upstream's agents, or the embedded one."""

import subprocess
from pathlib import Path

import httpx
import yaml

from tests.lab import chart, objects, programs, spiderpool, workloads
from tests.lab.network import ROUTER
from tests.lab.node import Node
from tests.lab.processes import FOLDER, LabError, start, stop, wait_for_line, wait_until

_POOLS = "spiderippools.yaml"
_SOCKET = "spiderpool.sock"


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

    Their pools, their workloads and the name of Multus' cluster network are those of the chart with the guide's values.
    """

    title = "upstream's spiderpool-agent and -controller"
    knows_pods = True

    def __init__(self, nodes: list[Node]) -> None:
        self._nodes = nodes
        self._values: list[str] = []
        self._cluster_network = ""
        self._agents: dict[str, spiderpool.Program] = {}

    def open(self) -> None:
        """Make the SpiderIPPools, and start all three."""
        pools = [*yaml.safe_load_all(objects.manifest(_POOLS)), *chart.pools(chart.render(chart.WITH_MULTUS))]
        for pool in {one["metadata"]["name"]: one for one in pools}.values():
            objects.request("POST", f"{objects.SPIDERPOOL}/spiderippools", pool)
        for node in self._nodes:
            self._folder(node).mkdir()
            node.run("mount", "--bind", self._folder(node), "/run/spidernet")
        try:
            spiderpool.start_controller(FOLDER / "kubeconfig", FOLDER / "spiderpool-controller")
        except spiderpool.SpiderpoolError as error:
            raise LabError(str(error)) from None
        self.install(chart.WITH_MULTUS)
        workloads.report_controller(ROUTER[4])
        wait_until(lambda: all("status" in pool for pool in self._pools()), "the status of the SpiderIPPools", 10)

    def install(self, values: list[str]) -> None:
        """Do what helm does with these values, and what the cluster does then: the agents start anew."""
        rendered = chart.render(values)
        workloads.apply(rendered)
        self._values, self._cluster_network = values, chart.cluster_network(rendered)
        self.stop()
        self.start()

    def upgrade(self, values: list[str]) -> None:
        """Do what `helm upgrade --reuse-values` does with these values."""
        self.install([*self._values, *values])

    def start(self) -> None:
        """Start the agents that do not run."""
        for node in self._nodes:
            if node.name not in self._agents:
                self._start(node)

    def _start(self, node: Node) -> None:
        place = (node.name, self._folder(node) / _SOCKET, FOLDER / "kubeconfig", self._folder(node))
        try:
            agent = spiderpool.start_agent(*place, within=node.before, cluster_network=self._cluster_network)
        except spiderpool.SpiderpoolError as error:
            raise LabError(str(error)) from None
        self._agents[node.name] = agent
        workloads.report_agent(node.name)

    def stop(self) -> None:
        """End the agents; their sockets go. Their pods stay as they are: there is no kubelet that would tell."""
        for agent in self._agents.values():
            agent.stop()
        self._agents.clear()

    def follow(self) -> None:
        """Do what the cluster does with agents whose pods were deleted: they start anew, in new pods."""
        for node in self._nodes:
            if not workloads.has_agent(node.name):
                if agent := self._agents.pop(node.name, None):
                    agent.stop()
                self._start(node)

    def counts(self) -> dict[str, int]:
        """Return how many addresses of each pool are held."""
        held = {pool["metadata"]["name"]: pool["status"].get("allocatedIPCount", 0) for pool in self._pools()}
        return {name: count for name, count in held.items() if count}

    def _pools(self) -> list[objects.Object]:
        return objects.listed(f"{objects.SPIDERPOOL}/spiderippools")

    def _folder(self, node: Node) -> Path:
        return FOLDER / f"agent-{node.name}"


Agent = Embedded | Upstream
