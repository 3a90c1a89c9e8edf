"""Reports the state of a node's installation. Side effects: reads files, asks the agent for its health."""

from pathlib import Path
from typing import Any

from cni.contracts.installation import Desired, Record
from cni.contracts.reports import PendingOfAgent, StatusReport
from cni.defaults import IPAM_TYPE
from cni.installer import presence
from cni.installer.bundle import plugin_links
from cni.installer.conflist import record as records
from cni.installer.conflist.document import ConflistError
from cni.installer.conflist.folder import loaded_before
from cni.installer.conflist.plan import Plan, plan
from cni.installer.conflist.record import RecordError
from cni.installer.conflist.source import digest
from cni.installer.node import agent_health, pending
from cni.installer.node.folders import Folders


def gather(folders: Folders, releases: list[PendingOfAgent]) -> StatusReport:
    """Read the node's state and list its problems. OSError."""
    problems: list[str] = []
    record = _record(folders, problems)
    desired = record.desired if record else Desired()
    plugin = folders.name_of(folders.bin / plugin_links.PLUGIN)
    if fault := plugin_links.fault(folders.bin):
        problems.append(f"{plugin} {fault}")
    planned = _plan(folders, desired, record, problems)
    socket = agent_health.socket_path(folders, planned.settings if planned else desired.settings)
    agent_fault = agent_health.fault(socket)
    if agent_fault:
        problems.append(f"the spiderpool-agent on {folders.name_of(socket)}: {agent_fault}")
    problems += map(pending.describe, releases)
    return StatusReport(
        plugin=plugin,
        bundle=plugin_links.current_bundle(folders.bin),
        bundles=plugin_links.bundles(folders.bin),
        start=plugin_links.start(folders.bin),
        plugin_type=desired.plugin_type,
        swapped_at=record.since if record else 0,
        written_at=record.applied if record else 0,
        drift_count=record.drift_count if record else 0,
        watch_runs=presence.is_shown(folders.state),
        agent_socket=folders.name_of(socket),
        agent_fault=agent_fault,
        pending_releases=sum(agent.releases for agent in releases),
        pending=releases,
        problems=problems,
        **_conflist(planned),
    )


def _record(folders: Folders, problems: list[str]) -> Record | None:
    try:
        record = records.read(folders)
    except RecordError as error:
        problems.append(str(error))
        return None
    if record and records.is_lost(folders):
        problems.append(
            f"the record in {folders.conf_name} is missing or damaged: watch, or install, makes it again from its copy"
        )
    if record is None:
        problems.append("nothing is installed here")
    elif record.restored:
        problems.append("uninstall has restored the conflist; the plugin stays for pods that use it")
    elif not record.is_in_force:
        problems.append("the first installation did not finish: install again")
    return record


def _plan(folders: Folders, desired: Desired, record: Record | None, problems: list[str]) -> Plan | None:
    try:
        planned = plan(folders, desired, record)
    except ConflistError as error:
        problems.append(str(error))
        return None
    if planned.message:
        problems.append(f"{planned.target.name}: {planned.message}")
    if first := loaded_before(planned.files, Path(planned.target.name).name, desired.plugin_type, planned.held):
        problems.append(f"runtimes load {folders.name_of(first)} before {planned.target.name}")
    return planned


def _conflist(planned: Plan | None) -> dict[str, Any]:
    """Return the fields of the report that describe the conflist."""
    if planned is None:
        return {"conflist": "", "ipam_type": "", "conflist_modified": False}
    target, record = planned.target, planned.record
    is_copy = planned.desired.as_name and target.before is not None
    return {
        "conflist": target.name,
        "ipam_type": IPAM_TYPE if is_copy else planned.source.delegation.ipam_type,
        "conflist_modified": record is not None and digest(target.before) != record.written,
    }
