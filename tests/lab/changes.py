"""The changes that breakages.py makes, as an operator would, what takes them back, and what is looked at.

`see_…` return what was seen, and raise LabError if it is not what was expected. They leave no pod.
"""

import json

from tests.lab import calico_node, chart, guide, network, objects, programs, router
from tests.lab.agents import Upstream
from tests.lab.objects import CALICO
from tests.lab.processes import LabError, run, wait_until
from tests.lab.topology import Lab

_POOL = "spiderpool-ippool"
_BLOCK = "10.244.100.0/26"  # the first addresses of the SpiderIPPool are in it
_FILTER = """
apiVersion: projectcalico.org/v3
kind: BGPFilter
metadata: {name: no-pods}
spec: {exportV4: [{action: Reject, matchOperator: In, cidr: 10.244.0.0/16}]}
"""


def nothing(_lab: Lab) -> None:
    """Change nothing."""


# IPPools


def delete_ippool(_lab: Lab) -> None:
    objects.calicoctl("delete", "ippool", _POOL)


def narrow_ippool(lab: Lab) -> None:
    delete_ippool(lab)
    objects.apply(objects.manifest("ippools.yaml").replace("10.244.0.0/16", "10.244.104.0/22"))


def disable_export(_lab: Lab) -> None:
    _patch("ippool", _POOL, {"disableBGPExport": True})


def enable_ippool(_lab: Lab) -> None:
    _patch("ippool", _POOL, {"disabled": False})


def select_no_node(_lab: Lab) -> None:
    _patch("ippool", _POOL, {"nodeSelector": "has(no-such-label)"})


def allow_tunnels_only(_lab: Lab) -> None:
    _patch("ippool", _POOL, {"allowedUses": ["Tunnel"]})


def add_overlapping_ippool(_lab: Lab) -> None:
    # By way of the Kubernetes API, as Helm or kubectl would: calicoctl refuses a pool that overlaps another.
    spec = {"cidr": "10.244.100.0/24", "blockSize": 26, "disabled": True, "disableBGPExport": True}
    body = {"apiVersion": "crd.projectcalico.org/v1", "kind": "IPPool", "metadata": {"name": "overlapping"}}
    objects.request("POST", f"{CALICO}/ippools", {**body, "spec": {**spec, "nodeSelector": "all()"}})


# BGP


def add_filter(_lab: Lab) -> None:
    objects.apply(_FILTER)
    _patch("bgppeer", "my-global-peer", {"filters": ["no-pods"]})


def add_filter_with_host_bits(_lab: Lab) -> None:
    # By way of the Kubernetes API: calicoctl refuses it. No peer names it.
    body = {"apiVersion": "crd.projectcalico.org/v1", "kind": "BGPFilter", "metadata": {"name": "host-bits"}}
    rule = {"action": "Reject", "matchOperator": "In", "cidr": "192.0.2.1/24"}
    objects.request("POST", f"{CALICO}/bgpfilters", {**body, "spec": {"exportV4": [rule]}})


def see_refusal_of_bird(lab: Lab) -> str:
    said = "Invalid network prefix: 192.0.2.1/24"
    wait_until(lambda: all(said in node.log("confd").read_text() for node in lab.nodes), "BIRD to refuse it", 10)
    return f"BIRD refuses all that confd writes for both nodes ({said}), and keeps what it had"


def peer_with_node2(_lab: Lab) -> None:
    for name in ("my-global-peer", "my-global-peer-v6"):
        _patch("bgppeer", name, {"nodeSelector": "kubernetes.io/hostname == 'node2'"})


def mistake_as(_lab: Lab) -> None:
    for name in ("my-global-peer", "my-global-peer-v6"):
        _patch("bgppeer", name, {"asNumber": router.AS + 1})


def see_no_session(lab: Lab) -> str:
    wait_until(lambda: guide.established(lab) == (0, 0), "all sessions to end", 10)
    return "no session is Established"


def switch_mesh_on(_lab: Lab) -> None:
    _patch("bgpconfiguration", "default", {"nodeToNodeMeshEnabled": True})


def switch_mesh_on_with_vxlan(lab: Lab) -> None:
    _patch("ippool", _POOL, {"vxlanMode": "Always"})
    switch_mesh_on(lab)


def see_wrong_way(lab: Lab) -> str:
    """See what becomes of a packet for pod A that the router gives to node2: a route of our own has it do so."""
    address, wrong = lab.pods[guide.DEPLOYED[0]].addresses[4], lab.nodes[1]
    way = wrong.run("ip", "route", "get", address)
    if f"via {network.ROUTER[4]}" not in way:
        raise LabError(f"node2 sends {address} another way: {way}")
    run("ip", "route", "add", f"{address}/32", "via", wrong.addresses[4])
    try:
        lost = network.lost([network.Ping("A by way of node2", [], address)])
    finally:
        run("ip", "route", "delete", f"{address}/32", "via", wrong.addresses[4])
    if not lost:
        raise LabError(f"{address} answered by way of node2")
    return "node2 has no route to A but back to the router, and what is sent to A by way of node2 is lost"


def require_policy(_lab: Lab) -> None:
    router.type_in(f"router bgp {router.AS}", "bgp ebgp-requires-policy")
    router.show("clear bgp *")


def forgo_policy(_lab: Lab) -> None:
    router.type_in(f"router bgp {router.AS}", "no bgp ebgp-requires-policy")
    router.show("clear bgp *")


def see_policy(lab: Lab) -> str:
    guide.wait_for_sessions(lab, 30)
    states = {(one.state, one.peer_state, one.prefixes) for one in router.sessions()}
    if states != {("Established", "Policy", 0)}:
        raise LabError(f"the router's sessions are {states}")
    wait_until(lambda: all(all(calico_node.exported(node).values()) for node in lab.nodes), "BIRD to export", 10)
    return "4 of 4 sessions Established, BIRD exports, and the router takes nothing: (Policy)"


# Nodes


def claim_block(lab: Lab) -> None:
    """Have calico-ipam give a pod on node2 an address of the block. It holds the block when the pod is gone, too.

    So it goes where pods start while the conflist is Calico's and the IPPool over the subnet is not disabled yet. The
    annotation has calico-ipam choose this block of the pool's thousand.
    """
    node = lab.nodes[1]
    node.stop_watch()
    calico_node.install(node)
    enable_ippool(lab)
    lab.delete_pod(lab.add_pod(1, "astray", **{"cni.projectcalico.org/ipAddrs": '["10.244.100.30"]'}))
    _patch("ippool", _POOL, {"disabled": True})
    node.start_watch()


def free_block(_lab: Lab) -> None:
    name = _BLOCK.replace(".", "-").replace("/", "-")
    for path in (f"{CALICO}/ipamblocks/{name}", f"{CALICO}/blockaffinities/node2-{name}"):
        if objects.exists(path):
            objects.request("DELETE", path)


def see_block(lab: Lab) -> str:
    ways, wanted = router.table().get(_BLOCK), {lab.nodes[1].addresses[4]}
    if ways != wanted:
        raise LabError(f"the router has {_BLOCK} via {ways}")
    if "blackhole" not in lab.nodes[1].run("ip", "route", "show", _BLOCK):
        raise LabError(f"node2 has no blackhole for {_BLOCK}")
    return f"the router reaches B by {_BLOCK} via node2, which blackholes A"


def delete_default_route(lab: Lab) -> None:
    lab.nodes[0].run("ip", "-4", "route", "delete", "default")
    # A pod that has just been started knows no neighbour yet.
    lab.nodes[0].run("nsenter", f"--net=/run/netns/{guide.DEPLOYED[0]}", "ip", "neighbour", "flush", "all")


def add_default_route(lab: Lab) -> None:
    lab.nodes[0].run("ip", "route", "replace", "default", "via", network.ROUTER[4])


def see_no_neighbour(lab: Lab) -> str:
    pod = lab.pods[guide.DEPLOYED[0]]
    said = run(*pod.before, "ip", "neighbour", "show", "169.254.1.1")
    if "FAILED" not in said and "INCOMPLETE" not in said:
        raise LabError(f"the pod's neighbour is {said!r}")
    return f"in the pod: {said.strip()}"


def stop_agent(lab: Lab) -> None:
    lab.agent.stop()


def start_agent(lab: Lab) -> None:
    lab.agent.start()


def see_no_agent(lab: Lab) -> str:
    return _see_refused_pod(lab, "spiderpool-agent")


def install_without_multus(lab: Lab) -> None:
    _install(lab, chart.GUIDE)


def install_with_multus(lab: Lab) -> None:
    _install(lab, chart.WITH_MULTUS)


def see_refusal(lab: Lab) -> str:
    return _see_refused_pod(lab, "multus.multusCNI.defaultCniCRName")


def revert_conflist(lab: Lab) -> None:
    lab.nodes[1].stop_watch()
    calico_node.install(lab.nodes[1])


def see_other_ipam(lab: Lab) -> str:
    address = _address_of_a_pod(lab)
    if not address.startswith("172.25."):
        raise LabError(f"a new pod has {address}")
    return f"a new pod has {address}; {_problems(lab)}"


def overwrite_plugin(lab: Lab) -> None:
    lab.nodes[1].stop_watch()
    # As spiderpool-agent's postStart does it.
    lab.nodes[1].run("cp", programs.SPIDERPOOL_GO.resolve(), "/opt/cni/bin/spiderpool")


def see_upstreams_plugin(lab: Lab) -> str:
    address = _address_of_a_pod(lab)
    if not address.startswith("10.244.100."):
        raise LabError(f"a new pod has {address}")
    return f"a new pod has {address} all the same, as detection is off; {_problems(lab)}"


def start_watch(lab: Lab) -> None:
    node = lab.nodes[1]
    node.start_watch()
    if node.ipam_type() != "spiderpool" or node.status()["problems"]:
        raise LabError(f"watch has not repaired {node.name}: {node.status()['problems']}")


def _install(lab: Lab, values: list[str]) -> None:
    assert isinstance(lab.agent, Upstream)
    lab.agent.install(values)


def _patch(kind: str, name: str, spec: dict[str, object]) -> None:
    objects.calicoctl("patch", kind, name, "-p", json.dumps({"spec": spec}))


def _address_of_a_pod(lab: Lab) -> str:
    """Have a pod come and go on node2; return its IPv4 address."""
    pod = lab.add_pod(1, "probe")
    lab.delete_pod(pod)
    return pod.addresses[4]


def _see_refused_pod(lab: Lab, word: str) -> str:
    """See that no pod can start on node2, and that the reason names something."""
    try:
        address = _address_of_a_pod(lab)
    except LabError as failure:
        if word not in str(failure):
            raise
        return f"no pod can start: {str(failure).rpartition('failed (add): ')[2]}"
    raise LabError(f"a new pod has {address}")


def _problems(lab: Lab) -> str:
    problems = lab.nodes[1].status()["problems"]
    if not problems:
        raise LabError("status has no problems")
    return f"status: {problems[0]}"
