"""The check of what the network configurations of this node say to our plugin. Pure."""

import json
from collections.abc import Iterator
from difflib import get_close_matches

from cni.contracts.facts import Conflist, OwnSettings
from cni.contracts.netconf import Ipam
from cni.defaults import REQUEST_TIMEOUT
from cni.doctor.check import Check, Finding, Mend, command
from cni.doctor.facts import FactReader
from cni.doctor.pool_filters import settings

_SHORTEST = 5  # seconds


def _find(facts: FactReader) -> Iterator[Finding]:
    conflist: Conflist | None = facts.value_or("node.conflist", None)
    target, agents = conflist["target"] if conflist else "", _agents_socket(facts)
    own: list[OwnSettings] = facts.value("node.netconf")
    for one in own:
        yield from _wrong(one, target)
        yield from _unwise(one, target)
        if agents and resolved(one["socket"]) != resolved(agents):
            seen = f"ipam_unix_socket_path is {one['socket']}, and SpiderPool's agents listen on {agents}"
            yield Finding(one["file"], seen, _mend(one, target, "ipam_unix_socket_path", agents))


def _agents_socket(facts: FactReader) -> str:
    """Return where SpiderPool's agents listen, by their ConfigMap; "" where that is not known."""
    return str(settings(facts).get("ipamUnixSocketPath", ""))


def resolved(path: str) -> str:
    """Return the one name of a socket that has two."""
    return path.removeprefix("/var") if path.startswith("/var/run/") else path  # a link on each distribution


def _wrong(one: OwnSettings, target: str) -> Iterator[Finding]:
    """Find what the plugin refuses, with code 7 at each call, and what no main plugin can use."""
    for key, text in one["faults"].items():
        yield Finding(one["file"], f"ipam.{key}: {text}")
    if one["shape"] == "subnet" and one["main_plugin"] == "calico":
        why = "Calico programs the address alone, and refuses a result with a subnet."
        seen = "result_shape is subnet, and the main plugin is calico"
        yield Finding(one["file"], seen, _mend(one, target, "result_shape", "calico"), why)


def _unwise(one: OwnSettings, target: str) -> Iterator[Finding]:
    """Find what the plugin takes, and hardly anybody wants."""
    for key in one["unknown"]:
        meant = get_close_matches(key.lower(), Ipam.__annotations__, n=1)
        better = f"; {meant[0]} is one" if meant else ""
        why = "The plugin ignores a key that it does not know."
        yield Finding(one["file"], f"ipam.{key} is no key of ours{better}", why=why, severity="warning")
    if one["timeout"] < _SHORTEST:
        why = "An agent that is busy takes some seconds, and the pod's ADD then fails."
        seen, mend = f"request_timeout is {one['timeout']} s", _mend(one, target, "request_timeout", REQUEST_TIMEOUT)
        yield Finding(one["file"], seen, mend, why, "warning")


def _mend(one: OwnSettings, target: str, key: str, value: object) -> Mend | None:
    """Return the command that sets a key; None for a file that install does not write."""
    text = value if isinstance(value, str) else json.dumps(value)
    return command("spiderpool-ipam install --set {}", f"{key}={text}") if one["file"] == target else None


CHECKS = (
    Check(
        id="node-netconf",
        part="node",
        severity="failure",
        looks_at="what the network configurations of this node say to our plugin",
        why="The plugin refuses a configuration with a wrong value, with code 7 at each call.",
        to_do=(
            "Change the key that it names: in Calico's conflist with `spiderpool-ipam install --set KEY=VALUE`, and in"
            " a file of your own there. spec/netconf lists the keys."
        ),
        needs=("node.netconf",),
        uses=("node.conflist", "cluster.spider_configs", "cluster.daemon_sets"),
        find=_find,
    ),
)
