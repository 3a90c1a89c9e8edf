"""Put the plugin on a node and hand it Calico's conflist: binary, agent, conflist; on the way back the reverse.

Side effects: the folders' files (bundle.py, swap.py), the lock, and with a first swap one question to the agent.
"""

import difflib
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from cni.installer import agent_health, bundle, lock, result_cache, swap
from cni.installer import record as records
from cni.installer.conf_folder import loadable
from cni.installer.conflist import OUR_TYPE, ConflistError, NoneFoundError, plugin_types
from cni.installer.folders import Folders
from cni.installer.host_root import follow
from cni.installer.record import Asked, Record

_PAUSE = 0.2  # seconds between two looks for the conflist
_MULTUS = {"multus", "multus-shim"}
# A node whose record is lost may be swapped all the same.
_UNRECORDED = Record(Asked(), file="", original=None, written="", since=0, applied=0, copies=[])


class InstallError(Exception):
    """Why nothing was changed; one line."""


class Installed(NamedTuple):
    """What install has come to."""

    bundle: bundle.Installed
    file: str  # the conflist that names our plugin, as the node calls it
    why: str  # "" where it said so already
    loaded_first: str  # another file that runtimes take before that one; "" where there is none


class Uninstalled(NamedTuple):
    """What uninstall has come to."""

    done: list[str]
    plugin_stays: list[str]  # the reasons; empty where everything is gone


def install(
    tree: Path, version: str, folders: Folders, asked: Asked, wait_agent: float, say: Callable[[str], None]
) -> Installed:
    """Install or upgrade; a second run changes nothing.

    InstallError, ConflistError, BundleError, AgentError, LockedError, RecordError, OSError: the conflist is as it was.
    """
    deadline = time.monotonic() + wait_agent
    _await_conflist(folders, asked, deadline, say)
    require_writable(folders)
    with lock.held(folders.state):
        planned = swap.plan(folders, asked, records.read(folders.conf))
        brought = bundle.install(tree, folders.bin, version)
        if planned.is_first and wait_agent:
            # A pod that gets no address is tried again; so the first pods after a swap must find an agent. Once a node
            # is swapped, waiting would only give pods addresses of the wrong kind.
            seconds = max(0, deadline - time.monotonic())
            agent_health.wait(agent_health.socket_of(folders.root, asked.settings), seconds, say)
        planned, _ = swap.hold(folders, asked, planned.record)
    return Installed(brought, planned.name, planned.why, loaded_before(folders, planned.name))


def _await_conflist(folders: Folders, asked: Asked, deadline: float, say: Callable[[str], None]) -> None:
    """Wait until Calico has written its conflist: on a node that joins, calico-node may start later than this."""
    said = False
    while True:
        try:
            swap.plan(folders, asked, records.read(folders.conf))
        except NoneFoundError as error:
            left = deadline - time.monotonic()
            if left <= 0:
                raise
            if not said:
                say(f"waiting up to {left:.0f} s for Calico's conflist: {error}")
                said = True
        else:
            return
        time.sleep(_PAUSE)


def difference(folders: Folders, asked: Asked) -> str:
    """Return what install would change in the conflist, as a unified diff. ConflistError, RecordError."""
    planned = swap.plan(folders, asked, records.read(folders.conf))
    before = "" if planned.before is None else planned.before
    name = planned.name
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), planned.after.splitlines(keepends=True), name, f"{name} (swapped)"
    )
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def uninstall(folders: Folders, replay: Callable[[], int], *, force: bool = False) -> Uninstalled:
    """Give the conflist back, then take the plugin away, unless something still needs it.

    `replay` sends pending releases and returns how many are left. ConflistError, LockedError, RecordError, OSError.
    """
    with lock.held(folders.state):
        record = records.read(folders.conf)
        pending = replay()
        done = swap.give_back(folders, record or _UNRECORDED, force=force)
        reasons = [*_users(folders), *([f"{pending} releases are pending"] if pending else [])]
        if reasons and not force:
            if record:
                records.write(folders.conf, record._replace(given_back=True, copies=[]))
            return Uninstalled(done, reasons)
        done += [f"{folders.on_node(folders.bin)}: {line}" for line in bundle.uninstall(folders.bin)]
        records.forget(folders.conf)
        shutil.rmtree(folders.state / "pending", ignore_errors=True)
        (folders.state / "pending.lock").unlink(missing_ok=True)
        lock.forget(folders.state)
    return Uninstalled(done, [])


def loaded_before(folders: Folders, conflist: str) -> str:
    """Return the file that runtimes load in place of this one; Multus' own leads to this one."""
    for other in loadable(folders.conf, folders.root):
        if other.name >= Path(conflist).name:
            break
        try:
            if plugin_types(follow(folders.root, other).read_bytes().decode()) & _MULTUS:
                continue
        except (ConflistError, UnicodeDecodeError):
            pass  # runtimes stop at it, or leave it out
        return folders.on_node(other)
    return ""


def require_writable(folders: Folders) -> None:
    """Raise InstallError unless the folders are there and can be written: before anything is changed."""
    for folder, flag in ((folders.bin, "--cni-bin-dir"), (folders.conf, "--cni-conf-dir")):
        if not folder.is_dir():
            raise InstallError(f"{folders.on_node(folder)} is no folder: name the node's with {flag}")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise InstallError(f"{folder} cannot be written: run as root, on a file system that is mounted writable")


def _users(folders: Folders) -> list[str]:
    """Return the configurations that name our plugin: those that runtimes load, and those they keep until DEL."""
    reasons = [
        f"{folders.on_node(path)} names it"
        for path in loadable(folders.conf, folders.root)
        if _names_us(follow(folders.root, path))
    ]
    cached = [entry for entry in result_cache.read(folders.results) if OUR_TYPE in entry.ipam_types]
    if cached:
        reasons.append(f"{len(cached)} attachments were made with it ({folders.on_node(cached[0].path)} is one)")
    return reasons


def _names_us(path: Path) -> bool:
    try:
        return OUR_TYPE in result_cache.ipam_types(json.loads(path.read_bytes()))
    except (OSError, ValueError, RecursionError):
        return False
