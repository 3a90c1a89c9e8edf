"""Sets of Calico's objects, as hypothesis draws them: a node's, whose routes and peers bgp_peers.py has.

Two BGPPeers that give a node the same peer are equal in what decides an export, because confd takes either by chance.
Host bits in a rule's or a service's CIDR, and rules that have a CIDR and no operator, are left out: BIRD or confd
refuses the whole configuration then, and keeps the one before it.
"""

from typing import Any

from hypothesis import strategies as st

from tests.doctor.bgp_peers import six

NODE = "node1"
_NODES = {NODE: 11, "node2": 12, "node3": 13, "node4": 14}
_FILTERS = ("first", "second", "a-filter-whose-name-is-longer-than-bird-lets-the-name-of-a-function-be")
_CIDRS = [
    "0.0.0.0/0", "10.0.0.0/8", "10.244.0.0/16", "10.244.100.0/24", "10.244.100.0/25", "10.244.100.128/25",
    "10.244.100.0/26", "10.244.100.64/26", "10.244.100.128/26", "10.244.100.192/26", "10.244.100.192/28",
    "10.244.100.0/28", "10.244.100.1/32", "10.244.100.2/32", "10.244.100.66/32", "10.244.101.0/24",
    "10.244.101.0/26", "10.244.101.128/26", "10.244.2.0/24", "10.244.2.5/32", "192.0.2.0/24", "172.30.1.0/24",
    "172.16.13.0/24", "203.0.113.0/24",
]  # fmt: skip
_INTERFACES = [
    "cali*", "cali0*", "cali?1b2*", "cali", "cali0a1b2c3d4e5", "tunl0", "eth0", "eth*", "*", "*.calico", "bpf*", "*a1*",
    "[c]ali*", "ca\\li*",
]  # fmt: skip
_Object = dict[str, Any]


def cidrs(family: int, lengths: range = range(33)) -> st.SearchStrategy[str]:
    """Draw a CIDR that has something to do with the node's routes."""
    fitting = [one for one in _CIDRS if int(one.partition("/")[2]) in lengths]
    return st.sampled_from(fitting if family == 4 else [six(one) for one in fitting])


def _made(kind: str, name: str, spec: _Object, **metadata: Any) -> _Object:
    return {"kind": kind, "metadata": {"name": name, **metadata}, "spec": spec}


def _maybe(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[_Object]:
    """Draw some of these fields."""
    return st.fixed_dictionaries({}, optional=fields)


@st.composite
def pools(draw: st.DrawFn) -> list[_Object]:
    """Draw IPPools of both families, that may overlap."""
    wide = draw(st.sampled_from(["10.0.0.0/8", "10.244.0.0/16", "10.244.100.0/24", "203.0.113.0/24"]))
    more = draw(st.lists(st.sampled_from((4, 6)).flatmap(cidrs), max_size=8))
    used = [wide, six(wide), *more]
    if draw(st.integers(0, 2)) == 0:
        used.append("10.244.100.9/24")  # the same as 10.244.100.0/24
    mode = st.sampled_from(["Never", "Always", "CrossSubnet"])
    settings_ = _maybe(
        disabled=st.booleans(),
        disableBGPExport=st.sampled_from([True, False, False]),
        ipipMode=mode,
        vxlanMode=mode,
        natOutgoing=st.booleans(),
        nodeSelector=st.sampled_from(["all()", "!all()", "name == 'node2'"]),
        allowedUses=st.sampled_from([["Workload"], ["Tunnel"], ["Workload", "Tunnel"]]),
    )
    names = draw(st.permutations(range(len(used))))
    return [
        _made("IPPool", f"pool{name}", {"cidr": cidr, **draw(settings_)})
        for name, cidr in zip(names, used, strict=True)
    ]


def _rules(family: int) -> st.SearchStrategy[list[_Object]]:
    action = st.sampled_from(["Accept", "Reject"])
    operator = st.sampled_from(["In", "NotIn", "Equal", "NotEqual"])
    conditions = _maybe(source=st.just("RemotePeers"), interface=st.sampled_from(_INTERFACES))
    range_: st.SearchStrategy[_Object] = st.fixed_dictionaries(
        {"cidr": cidrs(family), "matchOperator": operator}
    ) | st.builds(dict)
    merged = st.builds(lambda *parts: {"action": parts[0], **parts[1], **parts[2]}, action, range_, conditions)
    return st.lists(merged, max_size=4)


def filters() -> st.SearchStrategy[list[_Object]]:
    """Draw BGPFilters; some are named by peers and are not there."""
    spec = _maybe(exportV4=_rules(4), exportV6=_rules(6)) | st.fixed_dictionaries(
        {"exportV4": _rules(4), "exportV6": _rules(6)}
    )
    specs = st.tuples(spec, spec, spec)
    return specs.map(lambda specs: [_made("BGPFilter", name, spec) for name, spec in zip(_FILTERS, specs, strict=True)])


def blocks() -> st.SearchStrategy[list[_Object]]:
    """Draw BlockAffinities, of this node and of others."""
    spec = st.fixed_dictionaries(
        {
            "cidr": st.sampled_from((4, 6)).flatmap(lambda family: cidrs(family, range(25, 33))),
            "node": st.sampled_from([NODE, NODE, "node2"]),
            "state": st.sampled_from(["confirmed", "confirmed", "", "pending", "pendingDeletion"]),
            "deleted": st.sampled_from(["false", "false", "true"]),
        }
    )
    unique = st.lists(spec, unique_by=lambda one: (one["node"], one["cidr"]), max_size=4)
    return unique.map(lambda specs: [_made("BlockAffinity", f"b{place}", spec) for place, spec in enumerate(specs)])


@st.composite
def nodes(draw: st.DrawFn) -> list[_Object]:
    """Draw the nodes, the node itself first. Without an IPv4 address, BIRD has no router ID, and starts for nobody."""
    found = []
    for name, host in _NODES.items():
        annotations = draw(_maybe(**{"projectcalico.org/ASNumber": st.sampled_from(["64512", "64513", "1.10"])}))
        if draw(st.integers(0, 4)) == 0:
            annotations["projectcalico.org/RouteReflectorClusterID"] = draw(
                st.sampled_from(["1.0.0.1", "1.0.0.2", "rack1"])
            )
        if draw(st.integers(0, 6)):
            annotations["projectcalico.org/IPv6Address"] = f"fd00:16::{host}/64"
        if name == NODE or draw(st.integers(0, 6)):
            annotations["projectcalico.org/IPv4Address"] = f"172.16.13.{host}/24"
        labels = {"name": name, **draw(_maybe(rack=st.sampled_from(["a", "b"])))}
        if draw(st.integers(0, 4)) == 0:
            labels["node.kubernetes.io/exclude-from-external-load-balancers"] = draw(st.sampled_from(["true", "false"]))
        found.append(_made("Node", name, {}, labels=labels, annotations=annotations))
    return found


@st.composite
def settings(draw: st.DrawFn) -> list[_Object]:
    """Draw BGPConfigurations, of all nodes and of single ones."""
    ranges = st.lists(st.sampled_from((4, 6)).flatmap(cidrs).map(lambda one: {"cidr": one}), min_size=1, max_size=2)
    advertised = st.lists(
        st.fixed_dictionaries({"cidr": cidrs(4), "communities": st.just(["no", "64512:1", "1:2:3"])}), max_size=2
    )
    spec = draw(
        _maybe(
            nodeToNodeMeshEnabled=st.booleans(),
            asNumber=st.sampled_from([64512, 64513, 4200000001]),
            listenPort=st.just(1790),
            prefixAdvertisements=advertised,
            communities=st.just([{"name": "no", "value": "64512:100"}]),
        )
    )
    if draw(st.booleans()):
        spec |= draw(_maybe(serviceClusterIPs=ranges, serviceExternalIPs=ranges, serviceLoadBalancerIPs=ranges))
    found = [_made("BGPConfiguration", "default", spec)] if spec else []
    if draw(st.integers(0, 3)) == 0:
        own = draw(_maybe(listenPort=st.just(1791), prefixAdvertisements=advertised, asNumber=st.just(64515)))
        found.append(_made("BGPConfiguration", f"node.{draw(st.sampled_from([NODE, 'node2']))}", own))
    return found


def _selectors() -> st.SearchStrategy[str]:
    """Draw selectors of nodes; one in many is none, which confd takes for one that matches nothing."""
    key, quote = st.sampled_from(["name", "rack", "other"]), st.sampled_from(["'", '"'])
    value = st.builds(lambda mark, text: f"{mark}{text}{mark}", quote, st.sampled_from(["node1", "a", "b", "node", ""]))
    compared = st.sampled_from(["==", "!=", "contains", "starts with", "ends with", " starts  with", "=", "starts"])
    values = st.lists(value, max_size=2).map(lambda found: f"{{{', '.join(found)}}}")
    atoms = (
        st.sampled_from(
            ["all()", "global()", "has(rack)", "has(other)", "has( rack )", "all( )", "!!all()", "has(rack"]
        )
        | st.builds(lambda *words: " ".join(words), key, compared, value)
        | st.builds(lambda *words: " ".join(words), key, st.sampled_from(["in", "not in", "not  in"]), values)
    )
    joined = st.sampled_from([" && ", " || ", "&&", "||"])
    return atoms | st.recursive(
        atoms,
        lambda inner: (
            st.builds(lambda *words: "".join(words), inner, joined, inner)
            | inner.map(lambda text: f"({text})")
            | inner.map(lambda text: f"! ({text})")
        ),
        max_leaves=4,
    )


_SELECTORS = st.sampled_from(["all()", "rack == 'a'", "name == 'node1'"]) | _selectors()


@st.composite
def peers(draw: st.DrawFn, all_nodes: list[_Object], number: int) -> list[_Object]:
    """Draw BGPPeers: routers, single nodes, and nodes by their labels. `number` is the AS number of all nodes."""
    names = st.lists(st.sampled_from([*_FILTERS, "missing"]), max_size=3) | st.just([_FILTERS[0]])
    scope: st.SearchStrategy[_Object] = st.builds(dict) | _maybe(
        node=st.sampled_from([NODE, NODE, "node2", "no-such-node"]), nodeSelector=_SELECTORS
    )
    targets: dict[Any, _Object] = {}
    for _ in range(draw(st.integers(0, 5))):
        host, family = draw(st.sampled_from((1, 2, 3))), draw(st.sampled_from((4, 4, 6)))
        spec = draw(scope)
        address, port = f"172.16.13.{host}" if family == 4 else f"fd00:16::{host}", draw(st.sampled_from(["", "1792"]))
        peer_ip = f"[{address}]:{port}" if port and family == 6 else f"{address}:{port}" if port else address
        spec |= {"peerIP": peer_ip, "asNumber": draw(st.sampled_from([23000, number, 64512, 4200000003]))}
        targets[peer_ip, bool(spec.get("node") or spec.get("nodeSelector"))] = {**spec, "filters": draw(names)}
    shared = draw(names)
    for _ in range(draw(st.integers(0, 2))):
        targets[len(targets)] = {**draw(scope), "peerSelector": draw(_SELECTORS), "filters": shared}
    for one in draw(st.lists(st.sampled_from(all_nodes), max_size=1)):
        annotations = one["metadata"]["annotations"]
        known = [annotations.get(f"projectcalico.org/IPv{family}Address") for family in (4, 6)]
        own = annotations.get("projectcalico.org/ASNumber", number)
        as_number = (1 << 16) + 10 if own == "1.10" else int(own)
        for address in filter(None, known):
            spec = {**draw(scope), "peerIP": address.partition("/")[0], "asNumber": as_number, "filters": shared}
            targets[address] = spec
    return [_made("BGPPeer", f"peer{place}", spec) for place, spec in enumerate(targets.values())]


@st.composite
def sets(draw: st.DrawFn) -> list[_Object]:
    """Draw a set of objects."""
    all_nodes, configurations = draw(nodes()), draw(settings())
    default: _Object = next((one["spec"] for one in configurations if one["metadata"]["name"] == "default"), {})
    told = draw(peers(all_nodes, default.get("asNumber", 64512)))
    return [*all_nodes, *configurations, *told, *draw(filters()), *draw(pools()), *draw(blocks())]
