"""How a node's installation is. Side effects: reads files, asks the agent for its health."""

from pathlib import Path
from typing import Any, NamedTuple

from cni.installer.bundle import plugin_links as bundle
from cni.installer.conflist import plan as swap
from cni.installer.conflist import record as records
from cni.installer.conflist.document import OUR_TYPE, ConflistError
from cni.installer.conflist.folder import loaded_before
from cni.installer.conflist.record import Asked, Record, RecordError
from cni.installer.node import agent_health
from cni.installer.node.folders import Folders


class Status(NamedTuple):
    """What was found; `problems` holds one line for each thing that is not well."""

    plugin: str  # the path of <bin>/spiderpool
    current: str | None  # the bundle that it leads to; None where it is not ours
    installed: list[str]
    conflist: str  # the file that should name our plugin; "" where there is none
    plugin_type: str
    ipam_type: str
    since: float  # Unix seconds; 0: not swapped
    applied: float
    reverts: int
    edited: bool  # the file has changed since we wrote it
    agent_socket: str
    agent_fault: str
    pending_releases: int
    problems: list[str]


def gather(folders: Folders, pending_releases: int) -> Status:
    """Look at everything."""
    problems: list[str] = []
    record = _record(folders, problems)
    asked = record.asked if record else Asked()
    current = bundle.state(folders.bin)
    plugin = folders.on_node(folders.bin / bundle.PLUGIN)
    if fault := bundle.fault(folders.bin):
        problems.append(f"{plugin} {fault}")
    conflist, settings = _conflist(folders, asked, record, problems)
    socket = agent_health.socket_of(folders.root, settings)
    agent_fault = agent_health.fault(socket)
    if agent_fault:
        problems.append(f"the spiderpool-agent on {folders.on_node(socket)}: {agent_fault}")
    if pending_releases:
        problems.append(f"{pending_releases} releases are pending: watch sends them when the agent answers")
    return Status(
        plugin=plugin,
        current=current,
        installed=bundle.versions(folders.bin),
        plugin_type=asked.plugin_type,
        since=record.since if record else 0,
        applied=record.applied if record else 0,
        reverts=record.reverts if record else 0,
        agent_socket=folders.on_node(socket),
        agent_fault=agent_fault,
        pending_releases=pending_releases,
        problems=problems,
        **conflist,
    )


def _record(folders: Folders, problems: list[str]) -> Record | None:
    try:
        record = records.read(folders.conf)
    except RecordError as error:
        problems.append(str(error))
        return None
    if record is None:
        problems.append("nothing is installed here")
    elif record.given_back:
        problems.append("the conflist was given back; the plugin is kept for pods that were made with it")
    elif not record.is_in_force:
        problems.append("the first swap has not come to an end: install again")
    return record


def _conflist(
    folders: Folders, asked: Asked, record: Record | None, problems: list[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what is to be told of the conflist, and what our ipam object in it says."""
    try:
        planned = swap.plan(folders, asked, record)
    except ConflistError as error:
        problems.append(str(error))
        return {"conflist": "", "ipam_type": "", "edited": False}, asked.settings
    target = planned.target
    if planned.why:
        problems.append(f"{target.name}: {planned.why}")
    if first := loaded_before(folders.conf, folders.conf / Path(target.name).name, asked.plugin_type, folders.root):
        problems.append(f"runtimes load {folders.on_node(first)} before {target.name}")
    edited = bool(record) and swap.digest_of(target.path) != (record.written if record else "")
    is_copy = asked.as_name and target.before is not None
    ipam_type = OUR_TYPE if is_copy else planned.source.delegation.ipam_type
    return {"conflist": target.name, "ipam_type": ipam_type, "edited": edited}, planned.settings
