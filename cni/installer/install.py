"""Put the plugin on a node and swap Calico's conflist, in this order: bundle, agent, conflist.

Side effects: the lock, the names of the folders (discovery.py), the bundle (bundle/plugin_links.py), before a first
swap a question to the agent, the conflist and its record (conflist/apply.py).
"""

import difflib
import os
from collections.abc import Callable
from pathlib import Path

from cni.contracts.installation import Request
from cni.contracts.reports import DryRunReport, InstallReport
from cni.deadline import Deadline
from cni.installer import discovery
from cni.installer.bundle import plugin_links
from cni.installer.conflist import record as records
from cni.installer.conflist.apply import reconcile
from cni.installer.conflist.copies import Change
from cni.installer.conflist.document import NoneFoundError, UnfinishedError
from cni.installer.conflist.folder import loaded_before
from cni.installer.conflist.plan import Plan, plan
from cni.installer.discovery import FoldersError
from cni.installer.node import agent_health, lock
from cni.installer.node.folders import Folders

_PAUSE = 0.2  # seconds between two looks for the conflist


def install(
    tree: Path,
    version: str,
    find_folders: Callable[[], Folders],
    request: Request,
    wait_agent: float,
    log: Callable[[str], None],
) -> InstallReport:
    """Install or upgrade; a second run changes nothing. What was asked for before stays, unless the request says else.

    `log` gets a line when something is waited for. InstallerError, OSError: the conflist is as it was.
    """
    plugin_links.require_whole(tree)
    deadline = Deadline(wait_agent)
    folders = _await_conflist(find_folders, request, deadline, log)
    _require_writable(folders)
    with lock.held(folders.state):
        discovery.require_not_moved(folders)
        discovery.require_not_elsewhere(folders)
        planned = look(folders, request)
        kept = request.kept(planned.record)
        discovery.write_installed_folders(folders)
        bundle = plugin_links.install(tree, folders.bin, version, image=not planned.desired.no_image)
        was_emptied = planned.record is not None and planned.record.emptied
        if (planned.is_first or was_emptied) and wait_agent:
            # The runtime tries a pod again that gets no address, so the first pods after a swap must find an agent.
            # Once a node is swapped, waiting would only give pods addresses of the other IPAM.
            socket = agent_health.socket_path(folders, planned.settings)
            agent_health.wait(socket, folders.name_of(socket), deadline, log)
            discovery.require_not_moved(folders)
        return _install_report(reconcile(planned, wait=True), bundle, kept)


def dry_run(folders: Folders, request: Request) -> DryRunReport:
    """Return what install would change in the folder of network configurations. InstallerError, OSError."""
    planned = look(folders, request)
    diffs = [_diff(change) for change in (planned.target, *planned.also, *planned.leftovers)]
    kept = request.kept(planned.record)
    return DryRunReport(diff="".join(diffs), bin_dir=folders.bin_name, conf_dir=folders.conf_name, options_kept=kept)


def look(folders: Folders, request: Request) -> Plan:
    """Read the record and the folder, and plan. ConflistError, RecordError, OSError."""
    record = records.read(folders)
    return plan(folders, request.desired(record), record)


def _await_conflist(
    find_folders: Callable[[], Folders], request: Request, deadline: Deadline, log: Callable[[str], None]
) -> Folders:
    """Wait until Calico has written its conflist, to the end; return the folders, which are found by it.

    On a node that joins the cluster, calico-node may start later than this.
    """
    reported = False
    while True:
        try:
            folders = find_folders()
            look(folders, request)
        except (NoneFoundError, UnfinishedError) as error:
            if not deadline.left():
                raise
            if not reported:
                log(f"waiting up to {deadline.left():.0f} s for Calico's conflist: {error}")
                reported = True
        else:
            return folders
        deadline.sleep(_PAUSE)


def _require_writable(folders: Folders) -> None:
    """Raise FoldersError, before anything is changed, unless the folders are there and can be written."""
    for folder, flag in ((folders.bin, "--cni-bin-dir"), (folders.conf, "--cni-conf-dir")):
        name = folders.name_of(folder)
        if not folder.is_dir():
            fault = folders.root.dead_end(name) or "is no folder"
            raise FoldersError(f"{name} {fault}: name the node's with {flag}")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise FoldersError(f"{name} cannot be written: run as root, on a file system that is mounted writable")


def _install_report(planned: Plan, bundle: plugin_links.Installed, kept: list[str]) -> InstallReport:
    folders = planned.folders
    removed = {change.path for change in planned.leftovers if change.after is None}
    files = [file for file in planned.files if file.path not in removed]
    first = loaded_before(files, Path(planned.target.name).name, planned.desired.plugin_type, planned.held)
    return InstallReport(
        bin_dir=folders.bin_name,
        conf_dir=folders.conf_name,
        bundle=bundle.name,
        bundle_changed=bundle.changed,
        foreign_kept=bundle.kept_foreign,
        start=plugin_links.start(folders.bin),
        conflist=planned.target.name,
        conflist_changed=bool(planned.message),
        message=planned.message,
        loaded_first=folders.name_of(first) if first else None,
        options=planned.desired.options(),
        options_kept=kept,
    )


def _diff(change: Change) -> str:
    before, after = (
        (data or b"").decode(errors="replace").splitlines(keepends=True) for data in (change.before, change.after)
    )
    name = "/dev/null" if change.after is None else f"{change.name} (new)"
    lines = difflib.unified_diff(before, after, change.name, name)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
