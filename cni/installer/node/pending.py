"""Pending releases on the operator's side. Side effects: those of the plugin's pending.py and replay.py."""

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from cni.defaults import PENDING_FOLDER
from cni.installer.node.folders import Folders
from cni.plugin import pending
from cni.plugin.replay import Outcome
from cni.plugin.replay import replay as send


def count(folders: Folders) -> int:
    """Return how many pods' interfaces wait for a release."""
    return pending.count(str(_folder(folders)))


def describe(number: int) -> str:
    """Return how many releases are pending, as a sentence."""
    return "1 release is pending" if number == 1 else f"{number} releases are pending"


def replay(folders: Folders, log: Callable[[str], None]) -> Outcome:
    """Send what is pending; `log` gets a line for each release that is given up."""
    return send(str(_folder(folders)), find_socket=lambda name: str(folders.root.resolve(name)), report=log)


def remove(folders: Folders, *, force: bool) -> None:
    """Remove the folder, if it is empty: a DEL may have written a release since they were counted."""
    folder = _folder(folders)
    if force:
        shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        folder.rmdir()
    if not folder.exists():
        folder.with_name(f"{folder.name}.lock").unlink(missing_ok=True)


def _folder(folders: Folders) -> Path:
    return folders.state / Path(PENDING_FOLDER).name
