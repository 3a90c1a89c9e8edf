"""Give Calico's conflist its ipam back and take the plugin away: conflist first, then the bundle, then the record.

Side effects: those of conflist/restore.py and bundle/plugin_links.py; removes all that install keeps on the node.
"""

import time
from collections.abc import Callable
from dataclasses import replace

from cni.contracts.installation import Record
from cni.contracts.reports import PendingOfAgent, UninstallReport
from cni.defaults import IPAM_TYPE
from cni.installer import discovery
from cni.installer.bundle import plugin_links
from cni.installer.conflist import record as records
from cni.installer.conflist import result_cache
from cni.installer.conflist.folder import ConfFile, read_folder
from cni.installer.conflist.record import RecordError
from cni.installer.conflist.restore import restore
from cni.installer.conflist.result_cache import CachedAttachment
from cni.installer.discovery import FoldersError
from cni.installer.node import durations, installed, lock, pending
from cni.installer.node.folders import Folders

_SHOWN = 5  # attachments that a reason names
SETTLE = 1.0  # seconds until an ADD that began before the conflist was restored is in libcni's cache


def uninstall(
    folders: Folders, send_pending: Callable[[], list[PendingOfAgent]], *, force: bool = False
) -> UninstallReport:
    """Restore the conflist, then take the plugin away, unless something still needs it.

    `send_pending` sends pending releases and returns what is left. What is left for an agent that is not there is
    dropped: nobody would send it any more.
    FoldersError, ConflistError: the plugin stays. LockedError, RecordError, OSError.
    """
    with lock.held(folders.state):
        discovery.require_not_moved(folders)
        if not force:
            discovery.require_not_elsewhere(folders)
            _require_known(folders)
        is_installed = discovery.is_installed(folders)
        left = send_pending()
        discovery.require_not_moved(folders)
        done = _restore_conflist(folders, force=force) if is_installed else []
        reasons = _users(folders) if is_installed else []
        reasons += [pending.describe(agent) for agent in left if pending.holds(agent)]
        if reasons and not force:
            return UninstallReport(done=done, plugin_stays=reasons)
        if is_installed:
            done += [f"{folders.bin_name}: {line}" for line in plugin_links.uninstall(folders.bin)]
            records.remove(folders)
        done += _drop(folders, left)
        pending.remove(folders, force=force)
        installed.remove(folders.state)
        lock.remove(folders.state)
    return UninstallReport(done=done, plugin_stays=[])


def _drop(folders: Folders, left: list[PendingOfAgent]) -> list[str]:
    gone = [agent for agent in left if not pending.holds(agent)]
    dropped = {agent.agent_socket: pending.drop(folders, agent.agent_socket) for agent in gone}
    return [f"dropped what was pending for the agent on {socket}: {number}" for socket, number in dropped.items()]


def _require_known(folders: Folders) -> None:
    """Raise FoldersError where the plugin is there and nothing tells which conflist names it.

    A first installation that ended before the swap, for want of an agent, has left a bundle and no record.
    """
    if not plugin_links.is_there(folders.bin) or _record(folders, force=False):
        return
    if installed.read(folders.state) is None or any(_use(file) for file in read_folder(folders)):
        raise FoldersError(
            f"{folders.bin_name} has the plugin, but nothing is recorded in {folders.conf_name}: name the folder that"
            " was installed with --cni-conf-dir, or take the plugin away with --force"
        )


def _restore_conflist(folders: Folders, *, force: bool) -> list[str]:
    record = _record(folders, force=force)
    has_successor = plugin_links.successor(folders.bin, folders.root) is not None
    done = restore(folders, record, force=force and not (record and has_successor))
    if record:
        # Before anything else, so that a watch that runs does not take it for drift.
        records.write(folders, replace(record, original=None, values=[], copies=[], restored=True))
    if record and record.is_in_force and not has_successor:
        time.sleep(SETTLE)
        discovery.require_not_moved(folders)
    return done


def _record(folders: Folders, *, force: bool) -> Record | None:
    """Return the record; with `force`, none for one that is damaged and has no copy. RecordError."""
    try:
        return records.read(folders)
    except RecordError:
        if not force:
            raise
        return None


def _users(folders: Folders) -> list[str]:
    """Return what will still call our plugin, one line each; nothing where its name leads to another plugin then."""
    if plugin_links.successor(folders.bin, folders.root):
        return []
    used = {file.path: _use(file) for file in read_folder(folders)}
    reasons = [f"{folders.name_of(path)} {use}" for path, use in used.items() if use]
    served = [attachment for attachment in result_cache.read(folders.results) if IPAM_TYPE in attachment.ipam_types]
    if served:
        number = "1 attachment was" if len(served) == 1 else f"{len(served)} attachments were"
        shown = "; ".join(_described(folders, one) for one in sorted(served, key=lambda one: one.made)[:_SHOWN])
        more = f"; and {len(served) - _SHOWN} more" if len(served) > _SHOWN else ""
        reasons.append(f"{number} made with it: {shown}{more}; the file of a pod that is gone can be removed")
    unreadable = result_cache.unreadable(folders.results)
    if unreadable:
        name = folders.name_of(unreadable[0])
        several = f" and {len(unreadable) - 1} more" if len(unreadable) > 1 else ""
        reasons.append(f"{name}{several} cannot be read, and may be of an attachment that was made with it")
    return reasons


def _described(folders: Folders, attachment: CachedAttachment) -> str:
    made = durations.since(attachment.made)
    return f"{attachment.pod or attachment.container_id}, {made} ago ({folders.name_of(attachment.path)})"


def _use(file: ConfFile) -> str:
    """Say how a file that runtimes load uses our plugin; "" where it does not."""
    if file.document is None:
        return f"may name it ({file.fault})"
    return "names it" if IPAM_TYPE in file.document.ipam_types() else ""
