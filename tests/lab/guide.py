"""The guide, step by step: what an operator does, and what has to be seen then. The order is the guide's."""

import json
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from typing import NamedTuple

from tests.lab import calico_node, network, objects, router
from tests.lab.pods import Pod
from tests.lab.processes import LabError, wait_until
from tests.lab.topology import AS, NODES, Lab

SUBNETS = {4: ip_network("10.244.0.0/16"), 6: ip_network("fd00:244::/64")}
_COPY = "00-spiderpool-calico.conflist"
DEPLOYED = ("spiderpool-deploy-644659db67-n7ttd", "spiderpool-deploy-644659db67-6lsmm")
COREDNS = ("coredns-9ffd646b7-hhw77", "coredns-9ffd646b7-pnwzk")
_DEFAULT = {"default-v4-ippool": 2, "default-v6-ippool": 2}  # what the guide's two pods hold

# Seconds. BIRD connects 1.5 to 2 s after confd has told it of the router. Seen in 104 starts, 62 of them with a
# fifth or a tenth of a core: 3.2 s at most.
_SESSIONS = 10


class Step(NamedTuple):
    """One step: `do` returns what was seen, and raises LabError if it is not what the guide promises."""

    title: str
    do: Callable[[Lab], str]


def stand(lab: Lab) -> str:
    lab.open()
    types = {node.name: node.ipam_type() for node in lab.nodes}
    _expect(set(types.values()) == {"calico-ipam"}, f"the conflists have {types}")
    api = f"; the API server is {objects.request('GET', '/version')['gitVersion']}" if lab.has_real_api else ""
    return f"{', '.join(NODES)} with BIRD 1.6, confd and Calico's conflist, which has calico-ipam{api}"


def run_pods_of_calico(lab: Lab) -> str:
    pods = [lab.add_pod(number, name, "kube-system") for number, name in enumerate(COREDNS)]
    return "; ".join(map(_words, pods))


def configure_router(lab: Lab) -> str:
    router.open_daemons()
    router.type_in(*router.guide_lines([node.addresses for node in lab.nodes], AS))
    _expect(len(router.sessions()) == 4, "the router does not have four neighbours")
    wait_until(router.waits_for_neighbours, "the router to wait for its neighbours", 10)
    return f"FRR, AS {router.AS}, 4 neighbours of AS {AS}, no bgp ebgp-requires-policy"


def establish(lab: Lab) -> str:
    objects.calicoctl("patch", "bgpconfiguration", "default", "-p", '{"spec": {"nodeToNodeMeshEnabled": false}}')
    objects.apply(objects.manifest("bgppeers.yaml"))
    took = wait_for_sessions(lab, _SESSIONS)
    return f"4 of 4 sessions Established at router and nodes after {took:.1f} s"


def apply_ippools(lab: Lab) -> str:
    return objects.apply(objects.manifest("ippools.yaml"))


def start_agent(lab: Lab) -> str:
    lab.agent.open()
    return f"{lab.agent.title}: default-v4-ippool of {SUBNETS[4]}, default-v6-ippool of {SUBNETS[6]}"


def swap(lab: Lab) -> str:
    lab.on_nodes(lambda node: node.install_ours(*([f"--as={_COPY}"] if node is lab.nodes[0] else [])))
    first, second = lab.nodes
    types = first.ipam_type(f"/etc/cni/net.d/{_COPY}"), second.ipam_type()
    _expect(types == ("spiderpool", "spiderpool"), f"ipam.type is {types}")
    _expect_no_problems(lab)
    return f"node1 by {_COPY}, node2 in place; watch runs, status has no problems"


def run_pods(lab: Lab) -> str:
    pods = [lab.add_pod(number, name) for number, name in enumerate(DEPLOYED)]
    for pod in pods:
        for family, subnet in SUBNETS.items():
            _expect(ip_address(pod.addresses[family]) in subnet, f"{pod.name} has {pod.addresses}")
    return "; ".join(map(_words, pods))


def announce(lab: Lab) -> str:
    pods = [lab.pods[name] for name in DEPLOYED]
    took = wait_until(lambda: all(map(lab.is_announced, pods)), "the pods' host routes at the router", 2)
    return f"4 host routes, each via its pod's own node only, {took:.1f} s after the last ADD"


def announce_blocks(lab: Lab) -> str:
    seen = []
    for pod in (lab.pods[name] for name in COREDNS):
        address = ip_address(pod.addresses[4])
        table = router.table()
        blocks = {prefix: hops for prefix, hops in table.items() if address in ip_network(prefix)}
        _expect(list(blocks.values()) == [{pod.node.addresses[4]}], f"the router has {blocks} for {address}")
        _expect(all(prefix.endswith("/26") for prefix in blocks), f"the router has {blocks}")
        seen += [f"{prefix} via {pod.node.name}" for prefix in blocks]
    return ", ".join(seen)


def ping_from_router(lab: Lab) -> str:
    targets = [(pod.name, text) for pod in lab.pods.values() for text in pod.addresses.values()]
    return _all_answer([network.Ping(f"router to {name}", [], text) for name, text in targets])


def ping_across_nodes(lab: Lab) -> str:
    ours = [lab.pods[name] for name in DEPLOYED]
    return _all_answer(_pings(ours, ours))


def ping_calicos_pods(lab: Lab) -> str:
    ours, calicos = ([lab.pods[name] for name in names] for names in (DEPLOYED, COREDNS))
    return _all_answer(_pings(ours, calicos) + _pings(calicos, ours))


def ask_for_pool(lab: Lab) -> str:
    if not lab.agent.knows_pods:
        return f"not checked: {lab.agent.title} knows no pods, so no annotations"
    wanted = json.dumps({"ipv4": ["asked-for-v4-ippool"], "ipv6": ["asked-for-v6-ippool"]})
    pod = lab.add_pod(0, "spiderpool-asks-7d4b9c6f5-x2k8p", **{"ipam.spidernet.io/ippool": wanted})
    _expect(pod.addresses[4].startswith("10.244.120."), f"{pod.name} has {pod.addresses}")
    counts = _expect_counts(lab, _DEFAULT | {"asked-for-v4-ippool": 1, "asked-for-v6-ippool": 1})
    lab.delete_pod(pod)
    return f"{_words(pod)}; {counts}"


def count(lab: Lab) -> str:
    return _expect_counts(lab, _DEFAULT)


def restart_calico_node(lab: Lab) -> str:
    node = lab.nodes[1]
    node.stop_watch()
    calico_node.install(node)
    _expect(node.ipam_type() == "calico-ipam", "Calico's installer has left our swap")
    astray = lab.add_pod(1, "astray")
    _expect(ip_address(astray.addresses[4]) not in SUBNETS[4], f"{astray.name} has {astray.addresses}")
    node.start_watch()
    wait_until(lambda: node.metric("pods_on_other_ipam") == 1, "watch to count the pod that went astray", 5)
    lab.delete_pod(astray)
    lab.on_nodes(calico_node.install)
    took = wait_until(lambda: node.ipam_type() == "spiderpool", "watch to swap back", 2)
    _expect_no_problems(lab)
    lost = f"1 pod that started without watch got {astray.addresses[4]} and was counted"
    return f"node2 swapped back after {took:.1f} s, node1's copy as it was; {lost}"


def delete_pods(lab: Lab) -> str:
    gone = [lab.pods[name] for name in DEPLOYED]
    for pod in gone:
        lab.delete_pod(pod)
    routes = {route for pod in gone for route in pod.routes.values()}
    took = wait_until(lambda: not routes & router.table().keys(), f"the router to lose {sorted(routes)}", 8)
    counts = _expect_counts(lab, {})
    return f"all host routes gone from the router {took:.1f} s after the last DEL; {counts}"


STEPS = [
    Step("a cluster with Calico", stand),
    Step("pods of Calico's own pool", run_pods_of_calico),
    Step("install SpiderPool", start_agent),
    Step("BGP on the router", configure_router),
    Step("BGP on the nodes: mesh off, BGPPeer", establish),
    Step("Calico IPPool over the subnet", apply_ippools),
    Step("change Calico's IPAM", swap),
    Step("pods", run_pods),
    Step("routes at the router", announce),
    Step("routes of Calico's own pool", announce_blocks),
    Step("ping: router to pods", ping_from_router),
    Step("ping: pod to pod across nodes", ping_across_nodes),
    Step("ping: to and from pods of Calico's pool", ping_calicos_pods),
    Step("a pool asked for by annotation", ask_for_pool),
    Step("counts of the SpiderIPPools", count),
    Step("calico-node restarts", restart_calico_node),
]
LAST = Step("pods deleted", delete_pods)


def established(lab: Lab) -> tuple[int, int]:
    """Return how many sessions are up as the router sees it, and as the nodes do."""
    at_router = [one for one in router.sessions() if one.state == "Established"]
    at_nodes = [one for node in lab.nodes for one in calico_node.sessions(node) if one.info == "Established"]
    return len(at_router), len(at_nodes)


def wait_for_sessions(lab: Lab, seconds: float) -> float:
    """Wait until all four sessions are Established at router and nodes; return the seconds it took."""

    def all_are() -> bool:
        if established(lab) == (4, 4):
            return True
        at_router = [f"{one.neighbour} {one.state}" for one in router.sessions()]
        at_nodes = [f"{node.name} {one.name} {one.info}" for node in lab.nodes for one in calico_node.sessions(node)]
        raise LabError(f"at the router {', '.join(at_router)}; at nodes {', '.join(at_nodes)}")

    return wait_until(all_are, "four sessions Established", seconds)


def _pings(sources: list[Pod], targets: list[Pod]) -> list[network.Ping]:
    """Return the pings from each of some pods to each of others on another node, in both families."""
    return [
        network.Ping(f"{source.name} to {target.name}", source.before, text)
        for source in sources
        for target in targets
        if source.node is not target.node
        for text in target.addresses.values()
    ]


def _all_answer(pings: list[network.Ping]) -> str:
    lost = network.lost(pings)
    _expect(not lost, "no answer: " + ", ".join(f"{ping.name} ({ping.address})" for ping in lost))
    return f"{len(pings)} of {len(pings)} answered"


def _expect_counts(lab: Lab, wanted: dict[str, int]) -> str:
    found = lab.agent.counts()
    _expect({**dict.fromkeys(found, 0), **wanted} == {**dict.fromkeys(wanted, 0), **found}, f"held: {found}")
    return "held: " + (", ".join(f"{pool} {number}" for pool, number in sorted(found.items())) or "nothing")


def _expect_no_problems(lab: Lab) -> None:
    problems = {node.name: found for node in lab.nodes if (found := node.status()["problems"])}
    _expect(not problems, f"status has problems: {problems}")


def _words(pod: Pod) -> str:
    return f"{pod.name} on {pod.node.name} {' '.join(pod.addresses.values())}"


def _expect(condition: bool, otherwise: str) -> None:
    if not condition:
        raise LabError(otherwise)
