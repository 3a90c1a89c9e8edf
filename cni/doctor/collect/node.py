"""Reads the facts of the node that this runs on: its files and sockets. Side effects: reads them, runs VERSION.

Where nothing is installed, nothing else is read, so that this is said at once; before an install, everything is.
"""

import hashlib
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cni import input_file
from cni.contracts.facts import Agent, Installation, LocalAddress, Plugin, Start
from cni.contracts.installation import Desired, Record
from cni.contracts.log import LogLine
from cni.defaults import IPAM_TYPE, LOG_PATH
from cni.doctor.collect import agent, bird, calico_token, conflist, log_tail, netconf, network, pod_routes, watch_log
from cni.doctor.facts import unknown
from cni.installer import presence
from cni.installer.bundle import plugin_links, self_test, sums
from cni.installer.conflist import record as records
from cni.installer.conflist import result_cache
from cni.installer.errors import InstallerError
from cni.installer.node import agent_health
from cni.installer.node.folders import Folders
from cni.installer.node.os_errors import one_line

NODENAME = "/var/lib/calico/nodename"
_NOTHING = "nothing is installed here"
_ANSWER = 2.0  # seconds for VERSION; a runtime waits longer, but a plugin that takes this long is of no use
_LARGEST_NAME = 253  # bytes of a node's name


@dataclass(frozen=True)
class Node:
    """What several facts are taken from, read once."""

    folders: Folders

    @cached_property
    def record(self) -> Record | None:
        """The record of install. RecordError, OSError."""
        return records.read(self.folders)

    @cached_property
    def desired(self) -> Desired:
        """What install was asked for."""
        return self.record.desired if self.record else Desired()

    @cached_property
    def conf_folder(self) -> conflist.ConfFolder:
        """The folder of network configurations."""
        return conflist.read(self.folders, self.desired, self.record)


def collect(find_folders: Callable[[], Folders], names: set[str], *, before_install: bool) -> Mapping[str, Any]:
    """Return these facts. Each that cannot be had says why."""
    try:
        node = Node(find_folders())
    except (InstallerError, OSError) as error:
        return {name: unknown(_words(error)) for name in names}
    if _is_bare(node) and not before_install:
        return {name: unknown(_NOTHING) for name in names} | {"installation": None, "record_fault": ""}
    return {name: _fact(_READERS[name], node) for name in names}


def _is_bare(node: Node) -> bool:
    """Tell whether nothing is installed. A record that cannot be read is one."""
    try:
        return node.record is None
    except (records.RecordError, OSError):
        return False


def _fact(read: Callable[[Node], Any], node: Node) -> Any:
    try:
        return read(node)
    except (InstallerError, OSError) as error:
        return unknown(_words(error))
    except Exception as error:  # the others are to be read. Its text may quote a file, and so a secret.
        return unknown(f"to read it has failed, report it: {type(error).__name__}")


def _words(error: Exception) -> str:
    return one_line(error) if isinstance(error, OSError) else str(error)


def _name(node: Node) -> str:
    with suppress(InstallerError):
        if name := _nodename(node):
            return name
    path = node.folders.root.resolve("/etc/hostname")
    return input_file.read(path).decode(errors="backslashreplace").strip().lower()


def _require_mounted(node: Node, name: str) -> None:
    """Raise InstallerError where this container has not mounted the folder of a file: it may be there all the same."""
    root, folder = node.folders.root, str(Path(name).parent)
    if root.is_partial and not root.resolve(folder).exists():
        raise InstallerError(f"{folder} is not there below {root.path}: the node may have it, and it is not mounted")


def _nodename(node: Node) -> str | None:
    _require_mounted(node, NODENAME)
    try:
        data = input_file.read(node.folders.root.resolve(NODENAME))
    except FileNotFoundError:
        return None
    return data[:_LARGEST_NAME].decode(errors="backslashreplace").strip()


def _installation(node: Node) -> Installation | None:
    record = node.record
    if record is None:
        return None
    return {
        "state": "restored" if record.restored else "in force" if record.is_in_force else "unfinished",
        "conflist": record.file,
        "plugin_type": record.desired.plugin_type,
        "as_name": record.desired.as_name,
        "swapped_at": record.since,
        "drift_count": record.drift_count,
        "drifts": record.drifts,
        "left": record.left,
    }


def _record_fault(node: Node) -> str:
    try:
        records.read(node.folders)
    except records.RecordError as error:
        return str(error)
    return ""


def _plugin(node: Node) -> Plugin:
    folder = node.folders.bin
    path = folder / plugin_links.PLUGIN
    bundle = plugin_links.current_bundle(folder)
    return {
        "path": node.folders.name_of(path),
        "bundle": bundle,
        "bundle_fault": plugin_links.verify(folder) if bundle else "",
        "answer_fault": self_test.ask(path, _ANSWER, sums.never),
        "drift": plugin_links.drift(folder),
        "sha256": _digest(path),
        "watch_runs": presence.is_shown(node.folders.state),
    }


def _start(node: Node) -> Start:
    return {
        "path": node.folders.name_of(node.folders.bin / plugin_links.PLUGIN),
        "how": plugin_links.start(node.folders.bin),
    }


def _digest(path: Path) -> str | None:
    try:
        return hashlib.sha256(b"").hexdigest() if not path.stat().st_size else sums.sha256(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _agent(node: Node) -> Agent:
    socket = agent_health.socket_path(node.folders, node.conf_folder.settings)
    _require_mounted(node, node.folders.name_of(socket))
    started = time.monotonic()
    fault = agent_health.fault(socket)
    return {
        "socket": node.folders.name_of(socket),
        "fault": fault,
        "seconds": round(time.monotonic() - started, 3),
    }


def _log(node: Node) -> list[LogLine]:
    told = node.conf_folder.settings.get("log_file_path")
    name = told if told and isinstance(told, str) else LOG_PATH
    _require_mounted(node, name)
    return log_tail.read(node.folders.root.resolve(name))


def _local_addresses(node: Node) -> list[LocalAddress]:
    found: list[LocalAddress] = []
    for attachment in result_cache.read(node.folders.results):
        if IPAM_TYPE in attachment.ipam_types:
            with suppress(OSError):
                found += network.cached_addresses(attachment)
    return found


_READERS: Mapping[str, Callable[[Node], Any]] = {
    "name": _name,
    "installation": _installation,
    "record_fault": _record_fault,
    "plugin": _plugin,
    "start": _start,
    "conflist": lambda node: node.conf_folder.fact(),
    "netconf": lambda node: netconf.read(node.folders, node.conf_folder.files),
    "chain": lambda node: node.conf_folder.chain(),
    "agent": _agent,
    "agent_operations": lambda node: agent.operations(
        node.folders, agent_health.socket_path(node.folders, node.conf_folder.settings)
    ),
    "pending": lambda node: agent.pending_releases(node.folders),
    "multus_network": lambda node: node.conf_folder.multus_network(),
    "calico_nodename": _nodename,
    "route_to_gateway": lambda _: network.has_route(network.GATEWAY),
    "forwarding": lambda _: network.forwarding(),
    "local_addresses": _local_addresses,
    "bird": lambda node: bird.read(node.folders.root, "bird.ctl"),
    "bird6": lambda node: bird.read(node.folders.root, "bird6.ctl"),
    "log": _log,
    "watch_log": lambda node: watch_log.read(node.folders.root.path),
    "routes": lambda _: pod_routes.routes(),
    "pod_interfaces": lambda node: pod_routes.pod_interfaces(_local_addresses(node)),
    "calico_token": lambda node: calico_token.read(node.folders.conf, f"{node.folders.conf_name}/{calico_token.NAME}"),
}
