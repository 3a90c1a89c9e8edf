"""What mends Calico's objects, and the router: manifests and commands. Pure.

kubectl applies objects of projectcalico.org/v3 only where the API server serves them; elsewhere calicoctl does.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from cni.contracts.calico_objects import BGPPeer
from cni.contracts.doctor import DoctorReport
from cni.contracts.facts import Api
from cni.doctor.check import Mend, command, in_turn, manifest
from cni.doctor.facts import FactReader
from cni.doctor.ranges import Network

GROUP = "projectcalico.org/v3"
_BLOCK_SIZES = {4: 26, 6: 122}  # Calico's own
_IP_POOL = """\
apiVersion: projectcalico.org/v3
kind: IPPool
metadata:
  name: {name}
spec:
  cidr: {cidr}
  blockSize: {block_size}
  ipipMode: Never  # BIRD brings the packets to the pods: no tunnel is needed
  vxlanMode: Never
  natOutgoing: false  # so that the pods' own addresses are seen outside, which is what SpiderPool is for
  disabled: true  # Calico's own IPAM takes no address out of it; BIRD exports it all the same
"""
_BGP_PEER = """\
apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata:
  name: {name}
spec:
  node: {node}
  peerIP: {peer_ip}
  asNumber: {as_number}
"""
_OWN_ROUTES = "spiderpool-own-routes-only"
_FROM_OTHERS = [{"action": "Reject", "source": "RemotePeers"}]
_BGP_FILTER = {
    "apiVersion": GROUP,
    "kind": "BGPFilter",
    "metadata": {"name": _OWN_ROUTES},
    "spec": {"exportV4": _FROM_OTHERS, "exportV6": _FROM_OTHERS},
}
# What decides which routes a peer gets and takes.
_AS_THE_OTHER: Mapping[Literal["filters", "numAllowedLocalASNumbers"], str] = {
    "filters": "  filters: {filters}\n",
    "numAllowedLocalASNumbers": "  numAllowedLocalASNumbers: {numAllowedLocalASNumbers}\n",
}


def tool(facts: FactReader) -> str:
    """Return the program that changes Calico's objects in this cluster."""
    api: Api | None = facts.value_or("cluster.api", None)
    return "kubectl" if api and GROUP in api["groups"] else "calicoctl"


def ip_pool(subnet: Network) -> Mend:
    """Return the manifest of the IPPool that covers a subnet of SpiderPool's."""
    name = "spiderpool-" + str(subnet).replace(".", "-").replace(":", "-").replace("/", "-")
    block_size = max(_BLOCK_SIZES[subnet.version], subnet.prefixlen)
    return manifest(_IP_POOL, name=name, cidr=str(subnet), block_size=block_size)


def bgp_peer(node: str, family: int, like: BGPPeer) -> Mend:
    """Return the manifest of a BGPPeer that gives a node the peer that another node has."""
    spec = like.get("spec", {})
    as_the_other = {key: spec[key] for key in _AS_THE_OTHER if spec.get(key)}
    return manifest(
        _BGP_PEER + "".join(_AS_THE_OTHER[key] for key in as_the_other),
        name=f"{node}-ipv{family}",
        node=node,
        peer_ip=spec.get("peerIP", ""),
        as_number=spec.get("asNumber", 0),
        **as_the_other,
    )


def own_routes_only(facts: FactReader, peer: BGPPeer) -> Mend:
    """Return the command that has nodes tell a peer of their own pods, and of nothing that they know of others.

    calicoctl lets a peer name no filter that is not there.
    """
    filters = list(dict.fromkeys([_OWN_ROUTES, *(peer.get("spec", {}).get("filters") or [])]))
    made = command("echo {} | {} apply -f -", json.dumps(_BGP_FILTER), tool(facts))
    return in_turn([made, patch(facts, "bgppeer", peer["metadata"]["name"], {"filters": filters})])


def patch(facts: FactReader, kind: str, name: str, spec: Mapping[str, Any]) -> Mend:
    """Return the command that changes these members of an object's spec."""
    text = json.dumps({"spec": spec})
    if tool(facts) == "kubectl":
        return command("kubectl patch {}s.projectcalico.org {} --type=merge -p {}", kind, name, text)
    return command("calicoctl patch {} {} -p {}", kind, name, text)


def replacing_members(kind: str, name: str, values: Mapping[tuple[str, int, str], Any]) -> Mend:
    """Return the command for kubectl that changes members of items of lists in an object's spec, and nothing else."""
    steps = [
        {"op": "add", "path": f"/spec/{key}/{number}/{member}", "value": value}
        for (key, number, member), value in values.items()
    ]
    return command("kubectl patch {}s.projectcalico.org {} --type=json -p {}", kind, name, json.dumps(steps))


def operators_patch(name: str, spec: Mapping[str, Any]) -> Mend:
    """Return the command that changes these members of what Tigera's operator is told."""
    text = json.dumps({"spec": spec})
    return command("kubectl patch installations.operator.tigera.io {} --type=merge -p {}", name, text)


def replacing(facts: FactReader, names: Sequence[str], pool: Mend) -> Mend:
    """Return the command that deletes IPPools and makes another one in their place, of this manifest.

    Calico takes no pool that overlaps another, not even to try. So what was there is kept in a file, and is made again
    if a step fails.
    """
    if tool(facts) == "kubectl":
        keep = command("kubectl get ippools.projectcalico.org {} -o yaml >ippools-before.yaml", [*names])
        deletes = [command("kubectl delete ippools.projectcalico.org {}", name) for name in names]
    else:
        keep = command("calicoctl get ippool {} --export -o yaml >ippools-before.yaml", [*names])
        deletes = [command("calicoctl delete ippool {}", name) for name in names]
    steps = in_turn([*deletes, command("{} apply -f - {}", tool(facts), pool)])
    again = command("{} apply -f ippools-before.yaml", tool(facts))
    return command("{} && {{ {{ {}\n}} || {{ {}; false; }}; }}", keep, steps, again)


def vtysh(lines: Iterable[str]) -> Mend:
    """Return the command that has a router of FRR's take these lines."""
    return command("vtysh {}", [command("-c {}", line) for line in lines])


def stream(report: DoctorReport, program: str) -> Iterator[str]:
    """Yield the manifests that mend what was found, each once, as documents of one stream of YAML."""
    seen = set()
    for check in report["checks"]:
        for finding in check["findings"]:
            mend = finding.get("mend")
            if mend and mend["kind"] == "manifest" and mend["text"] not in seen:
                seen.add(mend["text"])
                its = program if GROUP in mend["text"] else "kubectl"  # calicoctl knows Calico's own objects only
                applied = f"# {check['id']}: {its} apply -f -"
                yield f"---\n{applied}\n{mend['text'].strip()}"
