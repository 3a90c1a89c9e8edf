"""The check of values for which BIRD or confd refuses the whole configuration. Pure.

calicoctl and Calico's own API server let none of them in; the custom resources in crd.projectcalico.org/v1 take all.
"""

import copy
import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from cni.contracts.api_objects import Node
from cni.contracts.calico_objects import BGPConfiguration, BGPFilter, BGPFilterRule, BGPPeer
from cni.doctor import sessions, suggest
from cni.doctor.check import Check, Finding, Mend, command
from cni.doctor.checks.bgp_nodes import SERVICES
from cni.doctor.facts import FactReader
from cni.doctor.ranges import network

_LISTS = {"exportV4": 4, "importV4": 4, "exportV6": 6, "importV6": 6}
_RANGES = (*SERVICES, "prefixAdvertisements")
_OPERATORS = ("In", "NotIn", "Equal", "NotEqual")
_ACTIONS = ("Accept", "Reject")
_REFLECTOR = "projectcalico.org/RouteReflectorClusterID"


class _Fault(NamedTuple):
    """What is wrong with a member of an item of a list, and what is right; None where a person has to say that."""

    place: tuple[str, int, str]
    text: str
    right: str | None

    def __str__(self) -> str:
        key, number, _ = self.place
        return f"item {number + 1} of its {key}: {self.text}"


def _find(facts: FactReader) -> Iterator[Finding]:
    filters: list[BGPFilter] = facts.value("cluster.bgp_filters")
    for one in filters:
        rules: Mapping[str, Any] = one.get("spec", {})
        yield from _told(
            facts, "BGPFilter", one, [each for key in _LISTS for each in _in_rules(key, rules.get(key) or [])]
        )
    configurations: list[BGPConfiguration] = facts.value("cluster.bgp_configurations")
    for configuration in configurations:
        spec: Mapping[str, Any] = configuration.get("spec", {})
        faults = [each for key in _RANGES for each in _in_ranges(key, spec.get(key) or [])]
        yield from _told(facts, "BGPConfiguration", configuration, faults)
    yield from _in_peers(facts.value("cluster.bgp_peers"))
    yield from _in_nodes(facts.value("cluster.nodes"))


def _in_peers(peers: Sequence[BGPPeer]) -> Iterator[Finding]:
    """Yield the peers that BIRD refuses. One whose peerIP is no address hurts nobody: confd leaves it out."""
    for peer in peers:
        spec, name = peer.get("spec", {}), f"BGPPeer/{peer['metadata']['name']}"
        host = sessions.host_of(spec.get("peerIP", ""))
        if host and not sessions.number(spec.get("asNumber"), 0):
            yield Finding(name, f"its asNumber is {spec.get('asNumber', 'missing')}, and has to be that of {host}")
        if host and ipaddress.ip_address(host).is_link_local and ":" in host:
            yield Finding(name, f"its peerIP is {host}, which is the same on each link: BIRD takes no such peer")


def _in_nodes(nodes: Sequence[Node]) -> Iterator[Finding]:
    for node in nodes:
        if "/" in (value := sessions.cluster_id(node)):
            name, right = node["metadata"]["name"], value.partition("/")[0]
            mend = command("kubectl annotate node {} --overwrite {}", name, f"{_REFLECTOR}={right}")
            yield Finding(f"Node/{name}", f"its {_REFLECTOR} is {value}: BIRD does not take a length", mend)


def _in_rules(key: str, rules: Sequence[BGPFilterRule]) -> Iterator[_Fault]:
    for number, rule in enumerate(rules):
        cidr, operator = rule.get("cidr", ""), rule.get("matchOperator", "")
        if cidr:
            yield from _in_cidr((key, number, "cidr"), cidr)
            if network(cidr).version > _LISTS[key]:
                yield _Fault((key, number, "cidr"), f"{cidr} is no IPv{_LISTS[key]} range", None)
        if cidr or operator:
            yield from _in_word((key, number, "matchOperator"), operator, _OPERATORS, "In")
        yield from _in_word((key, number, "action"), rule["action"], _ACTIONS)
        if '"' in (name := rule.get("interface", "")) or "\n" in name:
            yield _Fault((key, number, "interface"), "its interface has a quote or a line break", None)
        if cidr and (lengths := rule.get("prefixLength")):
            low = max(network(cidr).prefixlen, lengths.get("min", 0))
            if low > (high := lengths.get("max", network(cidr).max_prefixlen)):
                yield _Fault((key, number, "prefixLength"), f"no length is from {low} to {high}", None)


def _in_word(
    place: tuple[str, int, str], word: str, known: Sequence[str], otherwise: str | None = None
) -> Iterator[_Fault]:
    if word not in known:
        meant = next((one for one in known if one.lower() == word.lower()), None) if word else otherwise
        yield _Fault(place, f"its {place[2]} is {word or 'missing'}, and has to be {' or '.join(known)}", meant)


def _in_ranges(key: str, ranges: Sequence[Mapping[str, Any]]) -> Iterator[_Fault]:
    for number, one in enumerate(ranges):
        if "/" in one.get("cidr", ""):
            yield from _in_cidr((key, number, "cidr"), one["cidr"])


def _in_cidr(place: tuple[str, int, str], cidr: str) -> Iterator[_Fault]:
    right = network(cidr)
    address, slash, length = cidr.partition("/")
    if slash and (not length.isdecimal() or network(address).network_address != right.network_address):
        yield _Fault(place, f"BIRD does not take {cidr}, but {right}", str(right))


def _told(facts: FactReader, kind: str, one: Any, faults: Sequence[_Fault]) -> Iterator[Finding]:
    """Yield one finding for an object: one mend has to mend all of it, because calicoctl takes no half of that."""
    if faults:
        name = one["metadata"]["name"]
        yield Finding(f"{kind}/{name}", "; ".join(map(str, faults)), _mend(facts, kind, one, faults))


def _mend(facts: FactReader, kind: str, one: Any, faults: Sequence[_Fault]) -> Mend | None:
    """Return the command that puts what is right in its place; None where a person has to say what that is."""
    name, spec = one["metadata"]["name"], copy.deepcopy(one["spec"])
    if any(fault.right is None for fault in faults):
        return None
    if suggest.tool(facts) == "kubectl":
        return suggest.replacing_members(kind.lower(), name, {fault.place: fault.right for fault in faults})
    for key, number, member in (fault.place for fault in faults):
        if any("communities" in rule or "asPathPrefix" in rule for rule in spec[key]):
            return None  # calicoctl replaces whole lists, and this one was not read as a whole
        spec[key][number][member] = next(each.right for each in faults if each.place == (key, number, member))
    return suggest.patch(
        facts, kind.lower(), name, {key: spec[key] for key in {fault.place[0]: "" for fault in faults}}
    )


CHECKS = (
    Check(
        id="bgp-refused",
        part="calico",
        severity="failure",
        looks_at="values of BGPPeers, BGPFilters, BGPConfigurations and nodes that BIRD or confd refuses",
        why=(
            "For one such value the whole configuration is refused, also where no peer uses it. BIRD keeps the one"
            " before it, so no later change of any object takes effect; a BIRD that starts anew has none at all."
        ),
        to_do=(
            "Put the value right. calicoctl would not have taken it: Calico checks nothing that kubectl writes into"
            " crd.projectcalico.org/v1."
        ),
        needs=("cluster.bgp_peers", "cluster.bgp_filters", "cluster.bgp_configurations", "cluster.nodes"),
        uses=("cluster.api",),
        find=_find,
        before_install=True,
        waits=True,
    ),
)
