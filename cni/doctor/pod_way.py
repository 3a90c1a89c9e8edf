"""The way of a pod's addresses from its annotation to the router, link by link: --pod. Pure.

The first broken link is the one to mend: what comes after it mostly follows from it. What is not known of a link says
why. How to mend a link is what the checks say that have found the same.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Literal, NamedTuple

from cni.contracts.api_objects import Pod
from cni.contracts.doctor import CheckReport, DoctorReport, FindingReport, LinkReport
from cni.doctor import calico_addresses, pool_filters, sessions
from cni.doctor.address_links import OF_ADDRESS
from cni.doctor.check import command
from cni.doctor.facts import FactReader, NotKnown
from cni.doctor.pod_links import OF_POD, Seen, addresses_of, name_of, node_of

State = Literal["ok", "warning", "broken", "not-known"]

USES = {
    "node.name",
    "node.bird",
    "node.bird6",
    "node.local_addresses",
    "node.pod_interfaces",
    "cluster.pods",
    "cluster.spider_ip_pools",
    "cluster.spider_endpoints",
    "cluster.cluster_informations",
    "cluster.router",
    *pool_filters.USES,
    *sessions.NEEDS,
    *sessions.USES,
}
_ENDED = ("Succeeded", "Failed")
# What these checks find, they find of each pod; what others find has to be of this one.
_OF_ALL = {
    "sp-multus-network",
    "sp-controller",
    "node-agent",
    "node-installed",
    "node-conflist",
    "node-plugin-ours",
    "node-plugin-answers",
    "node-chain-binaries",
    "node-calico-nodename",
    "node-calico-token",
}


class Link(NamedTuple):
    """One link of the way."""

    name: str
    state: State
    text: str
    checks: Sequence[str] = ()  # that may have found what broke it, the most likely first
    about: Sequence[str] = ()  # the objects that they have found it of


class Cause(NamedTuple):
    """What has broken a link."""

    check: CheckReport
    finding: FindingReport


def find_pod(facts: FactReader, name: str) -> Pod | None:
    """Return the pod NAMESPACE/NAME; None if there is none. NotKnown."""
    pods: list[Pod] = facts.value("cluster.pods")
    return next((pod for pod in pods if name_of(pod) == name), None)


def way(facts: FactReader, pod: Pod) -> Iterator[Link]:
    """Yield the links of a pod's way, in their order."""
    if text := _why_none(pod):
        yield Link("pod", "broken", text)
        return
    for name, look in OF_POD.items():
        for link in _made(facts, pod, name, look):
            yield _as_warning(link, pod) if name == "pools" else link
    for address in addresses_of(pod):
        if reason := calico_addresses.why_not(facts, address):
            yield Link(f"{address}: export", "not-known", reason)
            continue
        for name, look_from in OF_ADDRESS.items():
            yield from _made(facts, pod, f"{address}: {name}", partial(look_from, address))


def _why_none(pod: Pod) -> str:
    """Say why a pod has no way at all; "" if it has one."""
    phase = pod.get("status", {}).get("phase", "")
    if pod.get("spec", {}).get("hostNetwork"):
        return "it is in the node's own network, so SpiderPool gives it no address"
    if phase in _ENDED:
        return f"it has ended ({phase}), so it has no address any more"
    return "" if node_of(pod) else "the scheduler has found no node for it yet"


def _as_warning(link: Link, pod: Pod) -> Link:
    """Return a link to pools that are gone as no more than a warning, if the pod has its addresses."""
    if link.state != "broken" or not addresses_of(pod):
        return link
    return link._replace(state="warning", text=f"{link.text}; so it keeps its address, and could not be started anew")


def _made(facts: FactReader, pod: Pod, name: str, look: Callable[[FactReader, Pod], Iterator[Seen]]) -> Iterator[Link]:
    is_here = facts.value_or("node.name", "") == node_of(pod)
    try:
        for seen in look(facts, pod):
            checks = [check for check in seen.checks if is_here or not check.startswith("node-")]
            yield Link(name, "ok" if seen.is_ok else "broken", seen.text, checks, seen.about)
    except NotKnown as reason:
        yield Link(name, "not-known", str(reason))


def cause(link: Link, report: DoctorReport) -> Cause | None:
    """Return what the checks say of a broken link, if it is the worst that they can say; None where they do not."""
    made = {check["id"]: check for check in report["checks"]}
    for name in link.checks:
        for finding in made[name]["findings"] if name in made else []:
            if finding["severity"] == made[name]["severity"] and _fits(name, finding, link):
                return _first_cause(Cause(made[name], finding), link, made)
    return None


def reported(link: Link, report: DoctorReport) -> LinkReport:
    """Return a link as --json prints it."""
    one: LinkReport = {"name": link.name, "state": link.state, "seen": link.text}
    found = cause(link, report) if link.state == "broken" else None
    return {**one, "cause": found.check["id"]} if found else one


def _fits(name: str, finding: FindingReport, link: Link) -> bool:
    text = f"{finding['object']} {finding['seen']}"
    return name in _OF_ALL or any(
        re.search(rf"(?<![\w.:-]){re.escape(one)}(?![\w:-]|\.\w)", text) for one in link.about
    )


def _first_cause(found: Cause, link: Link, made: dict[str, CheckReport]) -> Cause:
    """Return what a finding comes from, where another check has found that of the same objects."""
    name = found.finding.get("cause", "")
    others = made[name]["findings"] if name in made else []
    return next((Cause(made[name], one) for one in others if _fits(name, one, link)), found)


def look_at(pod: Pod) -> str:
    """Return the command that shows what Kubernetes says of a pod: its events have the plugin's own words."""
    namespace, _, name = name_of(pod).partition("/")
    return command("kubectl -n {} describe pod {}", namespace, name).text
