"""Put the plugin on a node and hand it Calico's conflist: binary, agent, conflist; on the way back the reverse.

Side effects: the folders' files (bundle.py, swap.py, folders.py), the lock, and with a first swap one question to the
agent.
"""

import difflib
import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from cni.installer.bundle import plugin_links as bundle
from cni.installer.conflist import plan as swap
from cni.installer.conflist import record as records
from cni.installer.conflist import result_cache
from cni.installer.conflist.document import OUR_TYPE, ConflistError, NoneFoundError, UnfinishedError, ipam_types
from cni.installer.conflist.folder import loadable, loaded_before
from cni.installer.conflist.record import Asked
from cni.installer.node import agent_health, lock
from cni.installer.node import folders as places
from cni.installer.node.folders import Folders
from cni.installer.node.host_root import follow

_PAUSE = 0.2  # seconds between two looks for the conflist
SETTLE = 1.0  # seconds that an ADD which has begun before has to get into libcni's cache


class InstallError(Exception):
    """Why nothing was changed; one line."""


class Installed(NamedTuple):
    """What install has come to."""

    folders: Folders
    bundle: bundle.Installed
    file: str  # the conflist that names our plugin, as the node calls it
    why: str  # "" where it said so already
    loaded_first: str  # another file that runtimes take before that one; "" where there is none


class Uninstalled(NamedTuple):
    """What uninstall has come to."""

    done: list[str]
    plugin_stays: list[str]  # the reasons; empty where everything is gone


def install(
    tree: Path, version: str, find: Callable[[], Folders], asked: Asked, wait_agent: float, say: Callable[[str], None]
) -> Installed:
    """Install or upgrade; a second run changes nothing.

    InstallError, ConflistError, BundleError, AgentError, LockedError, RecordError, OSError: the conflist is as it was.
    """
    deadline = time.monotonic() + wait_agent
    folders = _await_conflist(find, asked, deadline, say)
    _require_writable(folders)
    with lock.held(folders.state):
        _require_not_elsewhere(folders)
        planned = swap.plan(folders, asked, records.read(folders.conf))
        places.remember(folders)
        brought = bundle.install(tree, folders.bin, version)
        if planned.is_first and wait_agent:
            # A pod that gets no address is tried again; so the first pods after a swap must find an agent. Once a node
            # is swapped, waiting would only give pods addresses of the wrong kind.
            seconds = max(0, deadline - time.monotonic())
            socket = agent_health.socket_of(folders.root, planned.settings)
            agent_health.wait(socket, folders.on_node(socket), seconds, say)
        planned = swap.hold(folders, asked, planned.record)
    first = loaded_before(folders.conf, folders.conf / Path(planned.target.name).name, asked.plugin_type, folders.root)
    return Installed(folders, brought, planned.target.name, planned.why, folders.on_node(first) if first else "")


def _await_conflist(find: Callable[[], Folders], asked: Asked, deadline: float, say: Callable[[str], None]) -> Folders:
    """Wait until Calico has written its conflist, and to its end; return the folders, found by where it is.

    On a node that joins, calico-node may start later than this.
    """
    said = False
    while True:
        try:
            folders = find()
            swap.plan(folders, asked, records.read(folders.conf))
        except (NoneFoundError, UnfinishedError) as error:
            left = deadline - time.monotonic()
            if left <= 0:
                raise
            if not said:
                say(f"waiting up to {left:.0f} s for Calico's conflist: {error}")
                said = True
        else:
            return folders
        time.sleep(_PAUSE)


def difference(folders: Folders, asked: Asked) -> str:
    """Return what install would change in the folder of conflists, as unified diffs. ConflistError, RecordError."""
    planned = swap.plan(folders, asked, records.read(folders.conf))
    return "".join(_difference(change) for change in (planned.target, *planned.rest))


def _difference(change: swap.Change) -> str:
    before, after = (
        (text or "").encode(errors="replace").decode().splitlines(keepends=True)
        for text in (change.before, change.after)
    )
    name = "/dev/null" if change.after is None else f"{change.name} (new)"
    lines = difflib.unified_diff(before, after, change.name, name)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def uninstall(folders: Folders, replay: Callable[[], int], *, force: bool = False) -> Uninstalled:
    """Give the conflist back, then take the plugin away, unless something still needs it.

    `replay` sends pending releases and returns how many are left.
    InstallError, ConflistError: nothing was done. LockedError, RecordError, OSError.
    """
    with lock.held(folders.state):
        if not force:
            _require_not_elsewhere(folders)
            _require_known(folders)
        is_installed = folders.is_installed
        pending = replay()
        done = _give_back(folders, force=force) if is_installed else []
        reasons = _users(folders) if is_installed else []
        reasons += [f"{pending} releases are pending"] if pending else []
        if reasons and not force:
            return Uninstalled(done, reasons)
        if is_installed:
            done += [f"{folders.bin_name}: {line}" for line in bundle.uninstall(folders.bin)]
            records.forget(folders.conf)
        _forget_pending(folders, force=force)
        places.forget(folders)
        lock.forget(folders.state)
    return Uninstalled(done, [])


def _forget_pending(folders: Folders, *, force: bool) -> None:
    """Remove the empty folder of pending releases; a DEL may have written one since they were counted."""
    folder = folders.state / "pending"
    if force:
        shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        folder.rmdir()
    if not folder.exists():
        (folders.state / "pending.lock").unlink(missing_ok=True)


def _give_back(folders: Folders, *, force: bool) -> list[str]:
    record = records.read(folders.conf)
    has_successor = bundle.successor(folders.bin) is not None
    done = swap.give_back(folders, record, force=force and not (record and has_successor))
    if record:
        # Before anything else: a watch that runs must not take it for undone.
        records.write(folders.conf, record._replace(original=None, values=[], copies=[], given_back=True))
    if record and record.is_in_force and not has_successor:
        time.sleep(SETTLE)
    return done


def _require_writable(folders: Folders) -> None:
    """Raise InstallError unless the folders are there and can be written: before anything is changed."""
    for folder, flag in ((folders.bin, "--cni-bin-dir"), (folders.conf, "--cni-conf-dir")):
        if not folder.is_dir():
            raise InstallError(f"{folders.on_node(folder)} is no folder: name the node's with {flag}")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise InstallError(
                f"{folders.on_node(folder)} cannot be written: run as root, on a file system that is mounted writable"
            )


def _require_not_elsewhere(folders: Folders) -> None:
    """Raise InstallError where another folder's conflist may need what is here, or the reverse."""
    there = places.installed(folders.root)
    if there and (there.bin, there.conf) != (folders.bin, folders.conf):
        flags = f"--cni-bin-dir {there.bin_name} --cni-conf-dir {there.conf_name}"
        raise InstallError(f"this node is installed elsewhere: uninstall there first, with {flags}")


def _require_known(folders: Folders) -> None:
    """Raise InstallError where the plugin is there and nothing tells which conflist names it."""
    known = places.installed(folders.root) or records.read(folders.conf)
    if bundle.is_there(folders.bin) and not known:
        raise InstallError(
            f"{folders.bin_name} has the plugin, but nothing is recorded in {folders.conf_name}: name the folder that"
            " was installed with --cni-conf-dir, or take the plugin away with --force"
        )


def _users(folders: Folders) -> list[str]:
    """Return what will call our plugin once the conflist is back: nothing, if the name then leads to another's."""
    if bundle.successor(folders.bin):
        return []
    used = {path: _use(follow(folders.root, path)) for path in loadable(folders.conf, folders.root)}
    reasons = [f"{folders.on_node(path)} {use}" for path, use in used.items() if use]
    cached = [entry for entry in result_cache.read(folders.results) if OUR_TYPE in entry.ipam_types]
    if cached:
        reasons.append(f"{len(cached)} attachments were made with it ({folders.on_node(cached[0].path)} is one)")
    return reasons


def _use(path: Path) -> str:
    """Say how a file that runtimes load uses our plugin; "" where it does not."""
    try:
        return "names it" if OUR_TYPE in ipam_types(path.read_bytes().decode()) else ""
    except FileNotFoundError:
        return ""  # removed since the folder was listed
    except (OSError, ConflistError, UnicodeDecodeError) as error:
        return f"may name it ({error})"
