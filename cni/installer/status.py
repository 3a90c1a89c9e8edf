"""How a node's installation is. Side effects: reads files, asks the agent for its health."""

from typing import Any, NamedTuple

from cni.installer import agent_health, bundle, swap
from cni.installer import record as records
from cni.installer.conflist import OUR_TYPE, ConflistError
from cni.installer.folders import Folders
from cni.installer.install import loaded_before
from cni.installer.record import Asked, Record, RecordError


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
    if current is None:
        problems.append(f"{plugin} is not ours: install again, and run watch")
    conflist = _conflist(folders, asked, record, problems)
    socket = agent_health.socket_of(folders.root, asked.settings)
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
    return record


def _conflist(folders: Folders, asked: Asked, record: Record | None, problems: list[str]) -> dict[str, Any]:
    try:
        planned = swap.plan(folders, asked, record)
    except ConflistError as error:
        problems.append(str(error))
        return {"conflist": "", "ipam_type": "", "edited": False}
    name = planned.name
    if planned.why:
        problems.append(f"{name}: {planned.why}")
    if first := loaded_before(folders, name):
        problems.append(f"runtimes load {first} before {name}")
    edited = bool(record) and swap.digest_of(planned.target) != (record.written if record else "")
    ipam_type = planned.found if planned.target == planned.source or planned.before is None else OUR_TYPE
    return {"conflist": name, "ipam_type": ipam_type, "edited": edited}
