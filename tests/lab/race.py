"""A race under Calico: pods come and go, eight at a time, with each of three IPAM plugins behind it, by turns.

Each pod is added by Calico, pinged by its node, and removed by Calico twice, as containerd does: with its network
namespace and without. Calico's plugin is run directly, as libcni does it, so that the times are those of its whole call
alone. Side effects: the pods, of which none is left.
"""

import json
import math
import statistics
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import ip_address
from typing import Any, NamedTuple

from tests.lab import guide, network, objects, pods, programs
from tests.lab.node import CONFLIST, Node
from tests.lab.pods import Pod
from tests.lab.processes import LabError, wait_until
from tests.lab.topology import Lab

# What has to stand before it. The router has no part in it.
STEPS = [step for step in guide.STEPS if step.do in (guide.stand, guide.start_agent, guide.swap)]
_ROUNDS, _EACH = 3, 20  # pods of each plugin in each round; all pods of a round are there at the same time
_AT_A_TIME = 8
# Each plugin is found in one of them only. spiderpool and the Go plugin ask the same agent.
_FOLDERS = f"/opt/cni/bin:{programs.SPIDERPOOL_GO.parent.resolve()}"


class Plugin(NamedTuple):
    """An IPAM plugin, and what Calico's configuration has of it."""

    title: str
    ipam: dict[str, str]
    took: dict[str, list[float]]  # by command: the seconds of each of Calico's calls


def run(lab: Lab) -> str:
    """Race; return the figures. LabError: an address was given twice, a pod did not answer, or something is left."""
    plugins = [
        Plugin("spiderpool", {"type": "spiderpool"}, {"ADD": [], "DEL": []}),
        Plugin("Go plugin", {"type": programs.SPIDERPOOL_GO.name}, {"ADD": [], "DEL": []}),
        Plugin("calico-ipam", _configuration(lab.nodes[0])["ipam"], {"ADD": [], "DEL": []}),
    ]
    addresses, traces = _addresses_held(lab), _traces(lab)
    for number in range(_ROUNDS):
        with ThreadPoolExecutor(_AT_A_TIME) as workers:
            everyone = _run_round(lab, plugins[number:] + plugins[:number], workers)
            # Before the objects go: for a pod that is gone, spiderpool-controller frees what no DEL has released.
            _wait_for(partial(_addresses_held, lab), addresses)
            list(workers.map(pods.forget, everyone))
        _wait_for(partial(_traces, lab), traces)
    return "\n".join(["0 addresses given twice, 0 left, all pods answered", *_table(plugins)])


def _run_round(lab: Lab, plugins: list[Plugin], workers: ThreadPoolExecutor) -> list[Pod]:
    """Have pods of all plugins come, answer and go. One plugin's calls are made at a time. Their objects stay."""
    running: dict[str, list[Pod]] = {}
    for plugin in plugins:
        places = [(lab.nodes[n % len(lab.nodes)], f"race-{plugin.ipam['type']}-{n}") for n in range(_EACH)]
        declared = list(workers.map(lambda place: pods.declare(*place), places))
        running[plugin.title] = list(workers.map(partial(_add, plugin), declared))
    everyone = [pod for found in running.values() for pod in found]
    given = Counter(address for pod in everyone for address in pod.addresses.values())
    if twice := [address for address, count in given.items() if count > 1]:
        raise LabError(f"given twice: {twice}")
    pings = [network.Ping(pod.name, pod.node.before, text) for pod in everyone for text in pod.addresses.values()]
    if lost := network.lost(pings):
        raise LabError(f"no answer: {[(ping.name, ping.address) for ping in lost]}")
    for plugin in plugins:
        for do in (pods.terminate, partial(_delete, plugin), partial(_delete_again, plugin)):
            list(workers.map(do, running[plugin.title]))
    return everyone


def _add(plugin: Plugin, pod: Pod) -> Pod:
    started = time.monotonic()
    printed = _call("ADD", plugin, pod, f"/run/netns/{pod.name}")
    plugin.took["ADD"].append(time.monotonic() - started)
    added = pods.with_addresses(pod, printed)
    is_spiderpools = {family: ip_address(text) in guide.SUBNETS[family] for family, text in added.addresses.items()}
    if is_spiderpools != dict.fromkeys((4, 6), plugin.ipam["type"] != "calico-ipam"):
        raise LabError(f"{plugin.title} gave {pod.name} {added.addresses}")
    return added


def _delete(plugin: Plugin, pod: Pod) -> None:
    started = time.monotonic()
    _call("DEL", plugin, pod, f"/run/netns/{pod.name}")
    plugin.took["DEL"].append(time.monotonic() - started)


def _delete_again(plugin: Plugin, pod: Pod) -> None:
    _call("DEL", plugin, pod, "")


def _call(command: str, plugin: Plugin, pod: Pod, netns: str) -> str:
    environ = {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": pod.container,
        "CNI_NETNS": netns,
        "CNI_IFNAME": "eth0",
        "CNI_PATH": _FOLDERS,
        "CNI_ARGS": pods.cni_args(pod),
    }
    stdin = json.dumps(_configuration(pod.node) | {"ipam": plugin.ipam})
    return pod.node.run("/opt/cni/bin/calico", stdin=stdin, environ=environ)


def _configuration(node: Node) -> dict[str, Any]:
    """Return what libcni gives Calico's plugin out of the conflist, which Calico's installer has written."""
    conflist = json.loads(node.path(CONFLIST).read_text())
    return {**conflist["plugins"][0], "name": conflist["name"], "cniVersion": conflist["cniVersion"]}


def _wait_for(look: Callable[[], dict[str, Any]], wanted: dict[str, Any]) -> None:
    """Wait until there is again what there was before the race."""

    def is_as_before() -> bool:
        if (now := look()) != wanted:
            raise LabError(f"{now}, and before the race {wanted}")
        return True

    wait_until(is_as_before, "nothing to be left", 5)


def _addresses_held(lab: Lab) -> dict[str, Any]:
    """Return how many addresses SpiderPool and calico-ipam hold."""
    blocks = objects.listed(f"{objects.CALICO}/ipamblocks")
    return {
        "SpiderIPPools": lab.agent.counts(),
        "IPAMBlocks": sum(one is not None for block in blocks for one in block["spec"]["allocations"]),
        "IPAMHandles": len(objects.listed(f"{objects.CALICO}/ipamhandles")),
    }


def _traces(lab: Lab) -> dict[str, Any]:
    """Return what else there is of pods, in the API and on the nodes."""
    # Kubernetes' garbage collector removes those of pods that are gone; a real API server alone does not have it.
    endpoints = [] if lab.has_real_api else objects.listed(f"{objects.SPIDERPOOL}/spiderendpoints")
    return {"SpiderEndpoints": len(endpoints), **{node.name: _lines_of_pods(node) for node in lab.nodes}}


def _lines_of_pods(node: Node) -> list[str]:
    """Return the network namespaces of a node, and its links and routes that lead to pods."""
    shown = [node.run("ip", *words) for words in (["-br", "link"], ["-4", "route"], ["-6", "route"])]
    lines = [line for text in shown for line in text.splitlines() if "cali" in line]
    return [*lines, *node.run("ip", "netns", "list").splitlines()]


def _table(plugins: list[Plugin]) -> list[str]:
    rows = ["Calico's whole call, ms    ADD: median  99 %   DEL: median  99 %"]
    for plugin in plugins:
        figures = [round(figure * 1000) for found in plugin.took.values() for figure in _median_and_p99(found)]
        rows.append("{:>22}    {:11} {:5}   {:11} {:5}".format(f"with {plugin.title}", *figures))
    return rows


def _median_and_p99(seconds: list[float]) -> tuple[float, float]:
    return statistics.median(seconds), sorted(seconds)[math.ceil(0.99 * len(seconds)) - 1]
