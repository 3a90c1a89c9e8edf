"""Documents of facts that keep the contract, and in which nothing else is right: as hypothesis draws them."""

from typing import Any

from hypothesis import strategies as st

from cni.contracts.facts import FACTS, Facts

_SCHEMA = FACTS.json_schema()
_CIDRS = (
    *("10.244.0.0/16", "10.244.100.0/24", "10.244.100.64/26", "10.1.2.3/16", "10.244.100.5", "0.0.0.0/0"),
    *("fd00:244::/64", "fd00:244::5/128", "::/0", "172.17.0.0/16", "10.96.0.0/12"),
)
_ADDRESSES = ("10.244.100.5", "10.244.100.0", "172.16.13.11", "169.254.1.1", "0.0.0.0", "fd00:244::5", "fe80::1%eth0")
# What objects are called and say, so that they have to do with each other; and what they should not say.
_TEXTS = (
    *("", "-", "/", "a/b/c", "((((", "!", "²", "nan", "1e400", "-1", "1.10", "garbage", "eth0\n"),
    *("\x1b[31m", "1.2.3.4/99", "256.1.1.1", "fe80::1%eth0"),
    *("node1", "node2", "default", "kube-system", "default/web", "web", "v4", "v*", "eth0", "cali01", "Mesh_1", "host"),
    *("10.244.0.0/16", "10.244.100.1-10.244.100.9", "172.16.13.11/24", "fd00:16::11/64", "10.0.0.1:179", "[fd00::1]:9"),
    *("Established", "Idle", "Policy", "Bad peer AS", "confirmed", "true", "false", "True", "Ready", "NotReady"),
    *("Accept", "Reject", "In", "NotIn", "Equal", "RemotePeers", "Always", "Never", "Workload", "Tunnel", "Synced"),
    *("Pod", "ReplicaSet", "StatefulSet", "blackhole", "unicast", "auto", "calico", "spiderpool", "coordinator"),
    *("all()", "has(x)", "x == 'a'", "2026-01-01T00:00:00Z", "0001-01-01T00:00:00", "9999-99-99", "v3.29.1"),
    *("spiderpool-agent", "spiderpool-controller", "calico-node", "spiderpool-ipam", "calico-kube-controllers"),
    *("MULTUS_CLUSTER_NETWORK", "64512", "3600", "crd.projectcalico.org/v1", "projectcalico.org/v3"),
    *('{"ipv4":["v4"]}', '[{"interface":"eth0","ipv4":["v*"]}]', '{"ipv4":["\\ud800"]}', '["[a"]', "[]"),
    *('["v4"]', "null", '{"10.244.100.5":{"pod":"default/web"}}', '{"x":{"pod":"web"}}'),
)  # fmt: skip
_OF_CIDRS = {"prefix", "cidr", "subnet", "cidrs", "overlayPodCIDR", "serviceCIDR", "routes"}
_OF_ADDRESSES = {"ip", "address"}


def documents() -> st.SearchStrategy[Facts]:
    """Draw a document. Lines of the log are left out, which no check looks at."""
    document: dict[str, st.SearchStrategy[Any]] = {
        "version": st.just("1.0.0"),
        "collected_at": st.sampled_from([0.0, 1.0, 1e9, 253402300799.0]),
        "node": _drawn(_SCHEMA["$defs"]["NodeFacts"]).map(_without_log),
        "cluster": _drawn(_SCHEMA["$defs"]["ClusterFacts"]),
    }
    return st.fixed_dictionaries(document).map(FACTS.validate_python)


def _without_log(facts: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in facts.items() if key != "log"}


def _drawn(schema: Any, key: str = "") -> st.SearchStrategy[Any]:
    """Draw what a JSON schema describes. `key` is what it is a value of."""
    if "$ref" in schema:
        return _drawn(_SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]], key)
    if "anyOf" in schema:
        kinds = [one for one in schema["anyOf"] if not one.get("$ref", "").endswith("/Unknown")]
        rare = st.just({"unknown": "HTTP status 403"}) if len(kinds) < len(schema["anyOf"]) else st.nothing()
        return st.integers(0, 30).flatmap(lambda one: rare if one == 30 and not rare.is_empty else _any_of(kinds, key))
    if "enum" in schema or "const" in schema:
        return st.sampled_from(schema.get("enum", [schema.get("const")]))
    found: st.SearchStrategy[Any] = _OF_TYPE[schema["type"]](schema, key)
    return found


def _any_of(kinds: list[Any], key: str) -> st.SearchStrategy[Any]:
    return st.one_of(*(_drawn(one, key) for one in kinds))


def _object(schema: Any, key: str) -> st.SearchStrategy[Any]:
    if "properties" not in schema:
        values = _drawn(schema["additionalProperties"], key)
        return st.dictionaries(_text(schema, key), values, max_size=3)
    members = {name: _drawn(one, name) for name, one in schema["properties"].items()}
    required = {name: one for name, one in members.items() if name in schema.get("required", [])}
    return st.fixed_dictionaries(required, optional={name: members[name] for name in members.keys() - required.keys()})


def _array(schema: Any, key: str) -> st.SearchStrategy[Any]:
    return st.lists(_drawn(schema["items"], key), max_size=5 if schema["items"].get("type") == "number" else 2)


def _text(_: Any, key: str) -> st.SearchStrategy[str]:
    return st.sampled_from(_CIDRS if key in _OF_CIDRS else _ADDRESSES if key in _OF_ADDRESSES else _TEXTS)


def _number(schema: Any, _: str) -> st.SearchStrategy[float]:
    least, most = schema.get("minimum", -1e300), schema.get("maximum", 1e300)
    return st.sampled_from([one for one in (0.0, 1.0, -1.0, 600.0, 1e9, least, most) if least <= one <= most])


_OF_TYPE: dict[str, Any] = {
    "object": _object,
    "array": _array,
    "string": _text,
    "integer": lambda *_: st.sampled_from([0, 1, -1, 2, 4, 6, 179, 64512, 5000, 1 << 40, -(10**30)]),
    "number": _number,
    "boolean": lambda *_: st.booleans(),
    "null": lambda *_: st.none(),
}
