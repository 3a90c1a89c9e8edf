"""The lab as it stands: router, API, two nodes with Calico, the agent, and the pods that run."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tests.lab import calico_node, network, objects, pods, router
from tests.lab.agents import Agent
from tests.lab.node import Node
from tests.lab.pods import Pod
from tests.lab.processes import LabError

NODES = {"node1": {4: "172.16.13.11", 6: "fd00:16::11"}, "node2": {4: "172.16.13.21", 6: "fd00:16::21"}}
AS = 64512


class Lab:
    """What stands, and what runs in it."""

    def __init__(self, agent: type[Agent], *, has_real_api: bool = False, has_frozen_doctor: bool = False) -> None:
        self.has_real_api, self.has_frozen_doctor = has_real_api, has_frozen_doctor
        self.nodes = [Node(name, addresses) for name, addresses in NODES.items()]
        self.agent = agent(self.nodes)
        self.pods: dict[str, Pod] = {}

    def open(self) -> None:
        """Set up a cluster with Calico, as it is before the guide begins."""
        network.open_router()
        calico_node.prepare()
        objects.serve(self.has_real_api)
        self.on_nodes(Node.open)
        self.on_nodes(calico_node.start)

    def on_nodes(self, do: Callable[[Node], None]) -> None:
        """Do something on all nodes at the same time."""
        with ThreadPoolExecutor(len(self.nodes)) as workers:
            for done in [workers.submit(do, node) for node in self.nodes]:
                done.result()

    def add_pod(self, number: int, name: str, namespace: str = "default", **annotations: str) -> Pod:
        """Have a pod run on the node of this number, from 0 on."""
        pod = pods.create(self.nodes[number], name, namespace, annotations)
        self.pods[name] = pod
        return pod

    def delete_pod(self, pod: Pod) -> None:
        """Have a pod end."""
        del self.pods[pod.name]
        pods.delete(pod)

    def is_announced(self, pod: Pod) -> bool:
        """Tell whether the router has the pod's host routes, each via its own node. LabError: another way, too."""
        table = router.table()
        for route in pod.routes.values():
            hops = table.get(route, set())
            if any(node.is_at(hops) for node in self.nodes if node is not pod.node):
                raise LabError(f"the router has {route} via {', '.join(sorted(hops))}; the pod is on {pod.node.name}")
            if not pod.node.is_at(hops):
                return False
        return True
