"""Pending releases on the operator's side. Side effects: those of the plugin's pending.py and replay.py."""

from collections.abc import Callable

from cni.installer.node.folders import Folders
from cni.installer.node.host_root import below
from cni.plugin import pending
from cni.plugin.replay import Outcome
from cni.plugin.replay import replay as send


def count(folders: Folders) -> int:
    """Return how many pods' interfaces wait for a release."""
    return pending.count(_folder(folders))


def replay(folders: Folders, report: Callable[[str], None]) -> Outcome:
    """Send what is pending; `report` gets a line for each release that is given up."""
    return send(_folder(folders), find_socket=lambda path: str(below(folders.root, path)), report=report)


def _folder(folders: Folders) -> str:
    return str(folders.state / "pending")
