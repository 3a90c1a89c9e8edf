"""Checks of SpiderPool's pools: that there is one for a pod that names none, and that none is full. Pure."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

from cni.contracts.api_objects import Pod
from cni.contracts.doctor import Severity
from cni.contracts.spiderpool_objects import SpiderIPPool
from cni.doctor import node_pods, pool_filters, subjects
from cni.doctor.allocations import allocations, reserved_ranges, usable_ranges
from cni.doctor.check import Check, Finding, Mend, command
from cni.doctor.facts import FactReader
from cni.doctor.pool_filters import DEFAULT_NETWORK, DISABLED, OF_APPLICATION, Surroundings, family_of, surroundings
from cni.doctor.pool_selection import Candidate, choice, told_by
from cni.doctor.ranges import Range, address_of, network, pool_ranges, ranges_of, without

_AFFINITIES = {"podAffinity", "nodeAffinity", "namespaceAffinity", "nodeName", "namespaceName", "multusName"}
_MOST_RECORDS = 5000  # of a pool; an agent's SPIDERPOOL_IPPOOL_MAX_ALLOCATED_IPS may say otherwise
_LIMIT = f"; SpiderPool keeps at most {_MOST_RECORDS} records in a pool: more pods need another pool"
_NEARLY = 0.9
_LARGEST_ADDITION = 256


def patch(name: str, spec: Mapping[str, object]) -> Mend:
    """Return the command that changes members of a SpiderIPPool's spec."""
    text = json.dumps({"spec": spec})
    return command("kubectl patch spiderippools.spiderpool.spidernet.io {} --type=merge -p {}", name, text)


def _find_default_pool(facts: FactReader) -> Iterator[Finding]:
    around = surroundings(facts)
    pods = list(_without_pools(facts, around))
    if not pods:
        return
    defaults = [pool for pool in around.pools if pool["spec"].get("default")]
    if not any(family_of(pool) in around.families for pool in defaults):
        seen = f"no pool is the default, and {_told(pods)} no pool"
        yield Finding("SpiderIPPools", seen, _make_default(around, around.families), severity=_severity(pods))
        return
    for family in around.families:
        of_family = [pool for pool in defaults if family_of(pool) == family]
        if of_family:
            yield from _refused(of_family, family, pods, around)
        elif mend := _make_default(around, (family,)):
            seen = f"no IPv{family} pool is the default, and {_told(pods)} no pool: they get no IPv{family} address"
            yield Finding("SpiderIPPools", seen, mend, severity="warning")


def _without_pools(facts: FactReader, around: Surroundings) -> Iterator[Pod]:
    """Yield the pods on our nodes that name neither a pool nor a network, and whose namespace names no pool."""
    pods: list[Pod] = facts.value("cluster.pods")
    ours = node_pods.our_nodes(facts)
    for pod in pods:
        subject = subjects.of_pod(pod)
        if not subject.node or (ours and subject.node not in ours) or not subjects.has_network(pod):
            continue
        if DEFAULT_NETWORK not in subject.annotations and not told_by(subject, around):
            yield pod


def _told(pods: Sequence[Pod]) -> str:
    example = subjects.of_pod(pods[0]).object
    return f"{len(pods)} pods, as {example}, name" if len(pods) > 1 else f"{example} names"


def _severity(pods: Iterable[Pod]) -> Severity:
    """Return how much it matters: pods that have an address could only not be started again."""
    return "failure" if any(not pod.get("status", {}).get("podIPs") for pod in pods) else "warning"


def _refused(
    pools: Sequence[SpiderIPPool], family: int, pods: Sequence[Pod], around: Surroundings
) -> Iterator[Finding]:
    """Find the pods whom all default pools of a family refuse: SpiderPool then refuses the other family, too."""
    refused: dict[tuple[Candidate, ...], list[Pod]] = {}
    names = [pool["metadata"]["name"] for pool in pools]
    for pod in pods:
        found = choice("", family, names, subjects.of_pod(pod), around)
        if not found.taken:
            refused.setdefault(tuple(found.candidates), []).append(pod)
    for candidates, whom in refused.items():
        words = "; ".join(f"SpiderIPPool/{one.name}: {one.reason}" for one in candidates)
        seen = f"{_told(whom)} no pool, and the default takes none of them: {words}"
        yield Finding(f"SpiderIPPool/{candidates[0].name}", seen, enabled(candidates), severity=_severity(whom))


def enabled(candidates: Iterable[Candidate]) -> Mend | None:
    """Return the command that enables the first of these pools that is disabled; None if none is."""
    names = [one.name for one in candidates if one.reason == DISABLED]
    return patch(names[0], {"disable": False}) if names else None


def _make_default(around: Surroundings, families: Iterable[int]) -> Mend | None:
    """Return how a pool that is for everybody becomes the default; None if there is no such pool."""
    for pool in around.pools:
        spec = pool["spec"]
        is_usable = not spec.get("disable") and not pool["metadata"].get("deletionTimestamp")
        affinities = _AFFINITIES & spec.keys()
        if is_usable and not affinities and family_of(pool) in families:
            return patch(pool["metadata"]["name"], {"default": True})
    return None


def _find_full(facts: FactReader) -> Iterator[Finding]:
    pools: list[SpiderIPPool] = facts.value("cluster.spider_ip_pools")
    reserved = reserved_ranges(facts.value_or("cluster.spider_reserved_ips", []))
    for pool in filter(_is_to_give, pools):
        usable = usable_ranges(pool, reserved)
        taken = _taken(pool, usable)
        size = sum(one.size for one in usable)
        is_limited = taken <= _MOST_RECORDS <= size
        most = _MOST_RECORDS if is_limited else size
        limit = _LIMIT if is_limited else ""
        name = f"SpiderIPPool/{pool['metadata']['name']}"
        mend = None if is_limited else _more(pool, pools, reserved)
        if taken >= most:
            seen = f"all of its {most} addresses are taken{limit}" if most else "it has no address to give"
            yield Finding(name, seen, mend, severity="warning" if _is_of_application(pool) else None)
        elif taken >= most * _NEARLY and not _is_of_application(pool):
            yield Finding(name, f"{taken} of its {most} addresses are taken{limit}", mend, severity="warning")


def _is_to_give(pool: SpiderIPPool) -> bool:
    """Tell whether a pool is there to give addresses. SpiderPool itself has some of an application without any."""
    if pool["spec"].get("disable") or pool["metadata"].get("deletionTimestamp"):
        return False
    return bool(pool["spec"].get("ips")) or not _is_of_application(pool)


def _is_of_application(pool: SpiderIPPool) -> bool:
    """Tell whether SpiderPool has made a pool, with about as many addresses as an application has pods."""
    return OF_APPLICATION in pool["metadata"].get("labels", {})


def _taken(pool: SpiderIPPool, usable: Sequence[Range]) -> int:
    """Return how many of the usable addresses are taken."""
    status = pool.get("status", {})
    if "allocatedIPs" not in status:
        return status.get("allocatedIPCount", 0)
    return sum(any(part.has(one.address) for part in usable) for one in allocations([pool]))


def _more(pool: SpiderIPPool, pools: Iterable[SpiderIPPool], reserved: Sequence[Range]) -> Mend | None:
    """Return how to give a pool the addresses of its subnet that come next; None if that is not for us to say."""
    if any(key.startswith("ipam.spidernet.io/owner-") for key in pool["metadata"].get("labels", {})):
        return None  # its addresses come out of a SpiderSubnet
    own = pool_ranges(pool)
    if not own or pool["spec"].get("multusName"):
        return None  # nothing tells which addresses are free: those of another network may be anybody's
    subnet = network(pool["spec"]["subnet"])
    whole = Range(subnet.network_address + 1, subnet.broadcast_address - 1) if subnet.num_addresses > 2 else None
    gateway = address_of(pool["spec"].get("gateway", ""))
    holes = [*(one for other in pools for one in pool_ranges(other)), *reserved]
    holes += ranges_of(pool["spec"].get("excludeIPs", []))
    holes += [Range(gateway, gateway)] if gateway else []
    free = without([whole], holes) if whole else []
    last = max(int(one.last) for one in own)
    after = [one for one in free if int(one.first) > last] or free
    if not after:
        return None
    first = after[0].first
    count = min(after[0].size, _LARGEST_ADDITION, max(1, sum(one.size for one in own)))
    added = Range(first, first + (count - 1))
    return patch(pool["metadata"]["name"], {"ips": [*pool["spec"].get("ips", []), str(added)]})


CHECKS = (
    Check(
        id="sp-default-pool",
        part="spiderpool",
        severity="failure",
        looks_at="a usable pool for pods that name none, if there are such pods on nodes with our plugin",
        why="A pod that names no pool does not start without one: “no pool selection rules of any type are specified”.",
        to_do=(
            "Have one pool of each family be the default, name pools in the namespace's annotations, or in the pods'."
            " Our `default_ipv4_ippool` and `default_ipv6_ippool` in the conflist do as well; `--cluster-only` does not"
            " see them."
        ),
        needs=("cluster.spider_ip_pools", "cluster.pods", "cluster.namespaces"),
        uses=(*pool_filters.USES, *node_pods.USES),
        find=_find_default_pool,
        waits=True,
    ),
    Check(
        id="sp-pool-full",
        part="spiderpool",
        severity="failure",
        looks_at="how many addresses of each pool are taken, without excludeIPs and SpiderReservedIPs",
        why=(
            "A pool that has no address left gives none: new pods do not start. From nine of ten on it is a warning. A"
            " pool that SpiderPool makes for an application has as many as its pods need: if it is full, that is a"
            " warning."
        ),
        to_do=(
            "First see `sp-leaked`: addresses of pods that are gone may be among them. Then add ranges to the pool's"
            " `ips`, inside its subnet, of its SpiderSubnet if it has one, and of Calico's IPPool that covers it. A"
            " pool that has as many records as SpiderPool keeps needs another pool beside it."
        ),
        needs=("cluster.spider_ip_pools",),
        uses=("cluster.spider_reserved_ips",),
        find=_find_full,
        waits=True,
    ),
)
