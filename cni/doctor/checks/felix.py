"""Checks of Felix' settings: where it learns the routes to other nodes' pods, and whether it does IPv6. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from cni.doctor import calico_addresses, calico_node, suggest
from cni.doctor.calico_node import ROUTE_SOURCE, WORKLOAD_IPS
from cni.doctor.check import Check, Finding, Mend
from cni.doctor.checks.calico_pool_settings import encapsulation, overlapping
from cni.doctor.facts import FactReader

# A switch of FelixConfiguration, and the variable that is stronger.
_SWITCHES = {
    "bpfEnabled": "FELIX_BPFENABLED",
    "wireguardEnabled": "FELIX_WIREGUARDENABLED",
    "wireguardEnabledV6": "FELIX_WIREGUARDENABLEDV6",
}
_FELIX_PROGRAMS = ("Enabled", "EnabledNoEncapOnly")
_BIRD_LEAVES = ("Disabled", "EnabledIPIPOnly")


def _find_route_source(facts: FactReader) -> Iterator[Finding]:
    pools = list(overlapping(facts))
    if not calico_addresses.pools(facts):
        return
    tunnels = [f"IPPool/{pool['metadata']['name']}: {seen}" for pool, _ in pools if (seen := encapsulation(pool))]
    by_bird = _bird_leaves_it(facts)
    said = calico_node.variable(facts, ROUTE_SOURCE)
    for name, settings in calico_node.felix_settings(facts):
        source = calico_node.route_source(facts, settings)
        reasons = [*_felix_reasons(facts, settings), *by_bird, *tunnels]
        if calico_node.knows_pods(source) or not reasons or (name != "default" and said):
            continue
        if said:
            mend = calico_node.set_variable(facts, f"{ROUTE_SOURCE}={WORKLOAD_IPS}")
        elif name == "default":
            mend = calico_node.set_default(facts, "FelixConfiguration", "routeSource", WORKLOAD_IPS)
        else:
            mend = suggest.patch(facts, "felixconfiguration", name, {"routeSource": WORKLOAD_IPS})
        cause = "calico-pool-encap" if reasons == tunnels else ""
        seen = f"its routeSource is {source}, and it needs {WORKLOAD_IPS}: {'; '.join(reasons)}"
        yield Finding(f"FelixConfiguration/{name}", seen, mend, cause=cause)
        if name == "default":
            return


def _felix_reasons(facts: FactReader, settings: Mapping[str, Any]) -> Iterator[str]:
    for key, name in _SWITCHES.items():
        said = calico_node.variable(facts, name)
        if calico_node.is_true(said) if said else settings.get(key):
            yield f"{key} is true"
    programs = calico_node.variable(facts, "FELIX_PROGRAMCLUSTERROUTES") or settings.get("programClusterRoutes", "")
    if programs.lower() in map(str.lower, _FELIX_PROGRAMS):  # Felix takes them in any case
        yield f"its programClusterRoutes is {programs}"


def _bird_leaves_it(facts: FactReader) -> list[str]:
    configurations = facts.value_or("cluster.bgp_configurations", [])
    specs = [one.get("spec", {}) for one in configurations if one["metadata"]["name"] == "default"]
    said = [spec.get("programClusterRoutes", "") for spec in specs]
    return [f"BGPConfiguration/default: programClusterRoutes is {one}" for one in said if one in _BIRD_LEAVES]


def _find_ipv6(facts: FactReader) -> Iterator[Finding]:
    if 6 not in calico_addresses.families(calico_addresses.pools(facts)):
        return
    name = "FELIX_IPV6SUPPORT"
    if said := calico_node.variable(facts, name):
        if not calico_node.is_true(said):
            seen = f"its {name} is {said}, and there are IPv6 pools"
            yield Finding(f"DaemonSet/{calico_node.NAME}", seen, _support_ipv6(facts, name))
        return
    for configuration, settings in calico_node.felix_settings(facts):
        if settings.get("ipv6Support") is False:
            mend = calico_node.set_default(facts, "FelixConfiguration", "ipv6Support", True)
            yield Finding(
                f"FelixConfiguration/{configuration}", "its ipv6Support is false, and there are IPv6 pools", mend
            )
            return


def _support_ipv6(facts: FactReader, name: str) -> Mend | None:
    """Return how the variable becomes true: the operator makes it so where it has IPv6 addresses looked for."""
    if installation := calico_node.installation(facts):
        return calico_node.detect_addresses(installation, 6)
    return calico_node.set_variable(facts, f"{name}=true")


CHECKS = (
    Check(
        id="felix-route-source",
        part="calico",
        severity="failure",
        looks_at="routeSource of Felix, where Felix itself has to know the way to other nodes' pods",
        why=(
            "With eBPF, WireGuard, a tunnel or routes that Felix programs, Felix has to know which node each pod is on."
            " By its default it learns that from the blocks of Calico's own IPAM, and SpiderPool's addresses are in"
            " none."
        ),
        to_do=(
            "Set routeSource to WorkloadIPs. Every Felix then reads every WorkloadEndpoint of the cluster, which takes"
            " memory in large ones; so do it only where it is needed."
        ),
        needs=("cluster.spider_ip_pools", "cluster.ip_pools", "cluster.felix_configurations", "cluster.daemon_sets"),
        uses=(*calico_addresses.USES, "cluster.api", "cluster.bgp_configurations", "cluster.installations"),
        find=_find_route_source,
        before_install=True,
    ),
    Check(
        id="felix-ipv6",
        part="calico",
        severity="failure",
        looks_at="ipv6Support of Felix, where there are IPv6 pools",
        why="Without it, Felix does not program IPv6 for pods. Calico's own manifest turns it off.",
        to_do=(
            "Set FELIX_IPV6SUPPORT of calico-node to true. Where the operator made calico-node, it sets the variable by"
            " itself once the Installation has nodeAddressAutodetectionV6, or an IPv6 pool."
        ),
        needs=("cluster.spider_ip_pools", "cluster.felix_configurations", "cluster.daemon_sets"),
        uses=(*calico_addresses.USES, "cluster.api", "cluster.installations"),
        find=_find_ipv6,
        before_install=True,
    ),
)
