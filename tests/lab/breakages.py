"""What breaks the guide's network, and what has to be seen then: a table, run against a lab that stands.

Each is changed as an operator would change it, observed, and undone. Pods are called so here:

    A, B   the guide's pods with SpiderPool's addresses, on node1 and node2
    C      the pod of Calico's own pool on the other node than the one that pings it
    r      the router
"""

import time
from collections.abc import Callable
from ipaddress import ip_address
from typing import NamedTuple

from tests.lab import changes, export, guide, mends, network, objects, router
from tests.lab.pods import Pod
from tests.lab.processes import LabError, wait_until
from tests.lab.topology import Lab

_SETTLED = 3.0  # seconds in which confd and BIRD follow a change; seen: below 1
_V4 = "rA4 rB4 AB4 AC4 BC4"
_ALL_PINGS = f"{_V4} {_V4.replace('4', '6')}"
_ALL = "A4 A6 B4 B6"
LEGEND = """\
A and B are the guide's pods on node1 and node2, C is the pod of Calico's own pool on the other node, r is the router.
A4 is A's IPv4 address and its host route; AC6 is a ping from A to C by IPv6."""


class Breakage(NamedTuple):
    """One change. Whatever is not named of routes and pings has to be as in the guide."""

    name: str
    title: str
    change: Callable[[Lab], object]
    named: str = ""  # the ids of the checks of doctor that name the cause
    undo: Callable[[Lab], object] = changes.nothing  # what the objects of Calico do not tell, which are restored
    without: str = ""  # host routes that the router does not have, such as A4: of pod A, IPv4
    doubled: str = ""  # host routes that it has via both nodes
    lost: str = ""  # pings without an answer, such as AC6
    open: str = ""  # pings that are answered or not, by which of two ways the router takes
    more: Callable[[Lab], str] | None = None  # looks at what else there is to be seen; LabError if it is not
    told: str = ""  # the id of the check that tells what it can, where doctor does not know what the router says
    decides_export: bool = True
    needs_upstream: bool = False


BREAKAGES = [
    Breakage("guide", "nothing is changed", changes.nothing),
    Breakage(
        "no-ippool", "no Calico IPPool over the subnet", changes.delete_ippool, "calico-pool-covers",
        without="A4 B4", lost=_V4,
    ),
    Breakage(
        "ippool-narrow", "the IPPool is narrower than the range of the SpiderIPPool", changes.narrow_ippool,
        "calico-pool-covers", without="A4 B4", lost=_V4,
    ),
    Breakage(
        "export-disabled", "disableBGPExport on the IPPool", changes.disable_export, "calico-pool-exports",
        without="A4 B4", lost=_V4,
    ),
    Breakage(
        "export-disabled-overlap", "disableBGPExport on a second IPPool that overlaps", changes.add_overlapping_ippool,
        "calico-pool-exports", without="A4 B4", lost=_V4,
    ),
    Breakage(
        "bgpfilter-reject", "a BGPFilter of the BGPPeer rejects the subnet", changes.add_filter, "bgp-filter",
        without="A4 B4", lost=_V4,
    ),
    Breakage(
        "bgpfilter-refused", "a BGPFilter that no peer names has host bits", changes.add_filter_with_host_bits,
        "bgp-refused", more=changes.see_refusal_of_bird, decides_export=False,
    ),
    Breakage(
        "peer-one-node", "the BGPPeers select node2 only", changes.peer_with_node2, "bgp-peer-per-node",
        without="A4 A6", lost="rA4 AB4 AC4 BC4 rA6 AB6 AC6 BC6",
    ),
    Breakage(
        "wrong-as", "the BGPPeers have a wrong AS number", changes.mistake_as, "node-bird",
        without=_ALL, lost=_ALL_PINGS, more=changes.see_no_session,
    ),
    Breakage(
        "block-inside", "node2 has a block of calico-ipam inside the subnet", changes.claim_block, "calico-blocks",
        changes.free_block, without="B4", lost="AB4 AC4", more=changes.see_block,
    ),
    Breakage(
        "no-default-route", "node1 has no IPv4 default route", changes.delete_default_route, "node-default-route",
        changes.add_default_route, lost="rA4 AB4 AC4 BC4", more=changes.see_no_neighbour,
    ),
    # C's pool has VXLAN, and Felix, which would route the other node's C, is not there.
    Breakage(
        "mesh", "the mesh is on beside the router", changes.switch_mesh_on, "bgp-mesh-and-router", doubled=_ALL,
        open="AC4 BC4",
    ),
    Breakage(
        "mesh-vxlan", "the mesh is on, and the IPPool has vxlanMode: Always", changes.switch_mesh_on_with_vxlan,
        "bgp-mesh-and-router calico-pool-encap", doubled=_ALL, open=_V4, more=changes.see_wrong_way,
    ),
    Breakage(
        "requires-policy", "bgp ebgp-requires-policy on the router", changes.require_policy, "bgp-router-view",
        changes.forgo_policy, without=_ALL, lost=_ALL_PINGS, more=changes.see_policy, told="node-router-silent",
    ),
    Breakage(
        "agent-stopped", "no spiderpool-agent", changes.stop_agent, "node-agent", changes.start_agent,
        more=changes.see_no_agent, decides_export=False,
    ),
    Breakage(
        "agent-without-multus", "agents with the guide's Helm values alone: no MULTUS_CLUSTER_NETWORK",
        changes.install_without_multus, "sp-multus-network", changes.install_with_multus, more=changes.see_refusal,
        decides_export=False, needs_upstream=True,
    ),
    Breakage(
        "conflist-reverted", "Calico's installer has undone the swap, and no watch runs", changes.revert_conflist,
        "node-conflist", changes.start_watch, more=changes.see_other_ipam, decides_export=False,
    ),
    Breakage(
        "plugin-overwritten", "upstream's plugin has overwritten ours, and no watch runs", changes.overwrite_plugin,
        "node-plugin-ours", changes.start_watch, more=changes.see_upstreams_plugin, decides_export=False,
    ),
    Breakage("pool-enabled", "the IPPool is not disabled", changes.enable_ippool, "calico-pool-disabled"),
    Breakage("control-node-selector", "the IPPool's nodeSelector matches no node", changes.select_no_node),
    Breakage("control-allowed-uses", "allowedUses: [Tunnel] on the IPPool", changes.allow_tunnels_only),
]  # fmt: skip


def prove(breakage: Breakage, lab: Lab, is_recording: bool) -> str:
    """Break something, see what has to be seen, have doctor name and mend it, and see that all is well.

    LabError: something was not as it has to be.
    """
    seen = observe(breakage, lab, is_recording)
    if not lab.agent.knows_pods:  # there are no SpiderIPPools that doctor could read
        return seen
    found, sentence = mends.diagnose(set(breakage.named.split()), lab)
    told = [mends.see_information(breakage.told, lab)] if breakage.told else []
    said = [sentence, *told, mends.mend(lab, found), see_all_well(lab)]
    return f"{seen}\n{'':>33}{'; '.join(said)}"


def undo(breakage: Breakage, lab: Lab, kept: dict[str, objects.Object]) -> None:
    """Undo a change and its mend, and see the guide's sessions and routes again."""
    objects.restore(kept)
    breakage.undo(lab)
    wait_for_the_guide(lab)


def observe(breakage: Breakage, lab: Lab, is_recording: bool) -> str:
    """Change something and return what was seen. LabError: it is not what was expected. The change stays."""
    breakage.change(lab)
    is_guide = not (breakage.without or breakage.doubled)
    if is_guide:
        time.sleep(_SETTLED)  # what has to stay as it was may change a moment later
    wanted = (set(breakage.without.split()), set(breakage.doubled.split()))
    took = wait_until(
        lambda: routes(lab) == wanted, f"the router to be without {wanted[0]} and doubled {wanted[1]}", 15
    )
    seen = ["all host routes are there" if is_guide else f"after {took:.1f} s {_words(breakage)}"]
    seen.append(_compare_pings(lab, set(breakage.lost.split()), set(breakage.open.split())))
    if breakage.more:
        seen.append(breakage.more(lab))
    if breakage.decides_export:
        _keep_vector(breakage.name, lab, is_recording)
    return "; ".join(seen)


def wait_for_the_guide(lab: Lab) -> None:
    """Wait for the guide's sessions and routes."""
    guide.wait_for_sessions(lab, 30)
    wait_until(lambda: routes(lab) == (set(), set()), "the guide's routes", 15)


def see_all_well(lab: Lab) -> str:
    """See the guide's routes, that all pings are answered, and that a new pod starts and is reached."""
    wait_for_the_guide(lab)
    answered = _compare_pings(lab, set(), set())
    pod = lab.add_pod(1, "probe")
    try:
        if ip_address(pod.addresses[4]) not in guide.SUBNETS[4]:
            raise LabError(f"a new pod has {pod.addresses}")
        wait_until(lambda: lab.is_announced(pod), "the routes of a new pod", 5)
        if network.lost([network.Ping("router to a new pod", [], pod.addresses[4])]):
            raise LabError(f"a new pod does not answer: {pod.addresses}")
    finally:
        lab.delete_pod(pod)
    return f"{answered}, also by a new pod"


def routes(lab: Lab) -> tuple[set[str], set[str]]:
    """Return which host routes of A and B the router does not have, and which it has via both nodes.

    LabError: it has one only by the wrong node.
    """
    without, doubled = set(), set()
    table = router.table()
    for letter, pod in _ours(lab).items():
        for family, route in pod.routes.items():
            nodes = {node.name for node in lab.nodes if node.is_at(table.get(route, set()))}
            if not nodes:
                without.add(f"{letter}{family}")
            elif len(nodes) > 1:
                doubled.add(f"{letter}{family}")
            elif nodes != {pod.node.name}:
                raise LabError(f"the router has {route} via {nodes}, and the pod is on {pod.node.name}")
    return without, doubled


def _compare_pings(lab: Lab, wanted: set[str], undecided: set[str]) -> str:
    """Ping; return a sentence. LabError: others than those wanted had no answer, but for those undecided."""
    ours, calicos = _ours(lab), [lab.pods[name] for name in guide.COREDNS]
    ways: dict[str, tuple[list[str], Pod]] = {
        "rA": ([], ours["A"]), "rB": ([], ours["B"]), "AB": (ours["A"].before, ours["B"]),
        "AC": (ours["A"].before, calicos[1]), "BC": (ours["B"].before, calicos[0]),
    }  # fmt: skip
    pings = [
        network.Ping(f"{name}{family}", before, target.addresses[family])
        for name, (before, target) in ways.items()
        for family in (4, 6)
    ]
    lost = {ping.name for ping in network.lost(pings)} - undecided
    if lost != wanted:
        raise LabError(f"no answer to the pings {sorted(lost)}, expected of {sorted(wanted)}")
    if undecided:
        return f"all pings are answered but for {' '.join(sorted(undecided))}, which depend on the router's choice"
    return f"no answer to the pings {' '.join(sorted(lost))}" if lost else "all pings are answered"


def _keep_vector(name: str, lab: Lab, is_recording: bool) -> None:
    if is_recording:
        export.record(name, lab)
        return

    def is_same() -> bool:
        if difference := export.difference(name, lab):
            raise LabError(difference)
        return True

    # A route that has gone may still be in BIRD's table, which follows the kernel's every two seconds.
    wait_until(is_same, "BIRD to export what it has to", 5)


def _ours(lab: Lab) -> dict[str, Pod]:
    return dict(zip("AB", (lab.pods[name] for name in guide.DEPLOYED), strict=True))


def _words(breakage: Breakage) -> str:
    without = f"no host route of {breakage.without}" if breakage.without else ""
    doubled = f"host routes of {breakage.doubled} via both nodes" if breakage.doubled else ""
    return " and ".join(filter(None, (without, doubled)))
