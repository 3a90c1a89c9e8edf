"""Pending releases on the operator's side. Side effects: those of the plugin's pending.py and replay.py.

The releases of an agent that answers, or hangs, are waited for. Those of one where nobody listens may wait for ever:
they are kept as well, but they hold up nothing, and an operator may drop them.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from cni.contracts.reports import PendingOfAgent
from cni.deadline import Deadline
from cni.defaults import PENDING_FOLDER
from cni.installer.node import durations
from cni.installer.node.folders import Folders
from cni.plugin import pending
from cni.plugin.replay import ABSENT, REAL, Agents, Outcome
from cni.plugin.replay import replay as send

_PATIENCE = 3.0  # seconds for an agent that restarts
_PAUSE = 0.5  # seconds between two looks for it
_TIMEOUT = 10.0  # seconds for asking all agents what they are
_LOCK_TIMEOUT = 10.0  # seconds; whoever holds a file's lock sends its releases
_FATES = {
    "embedded": "it answers, and takes them within 10 s",
    "real": "spiderpool-controller frees what they are about; watch drops them",
    "absent": "nobody listens there; they are kept until it is back, or drop them: spiderpool-ipam pending --drop {}",
    "silent": "it does not answer; they are sent as soon as it does",
}


def count(folders: Folders) -> int:
    """Return how many pods' interfaces wait for a release."""
    return pending.count(str(_folder(folders)))


def by_agent(folders: Folders) -> list[PendingOfAgent]:
    """Return what is pending for each agent, by its socket. It asks the agents what they are."""
    times: dict[str, list[int]] = {}
    for _, record in _records(folders):
        times.setdefault(record["socketPath"], []).append(record["time"])
    agents = Agents(_find_socket(folders), Deadline(_TIMEOUT))
    return [
        PendingOfAgent.model_validate(
            {"agentSocket": socket, "agent": agents.kind(socket), "releases": len(found), "oldest": min(found)}
        )
        for socket, found in sorted(times.items())
    ]


def holds(agent: PendingOfAgent) -> bool:
    """Tell whether uninstall waits for this agent."""
    return agent.agent not in (ABSENT, REAL)


def describe(agent: PendingOfAgent) -> str:
    """Return what is pending for an agent, since when, and what becomes of it, as a sentence."""
    number = "1 release is" if agent.releases == 1 else f"{agent.releases} releases are"
    since = durations.since(agent.oldest)
    fate = _FATES[agent.agent].format(agent.agent_socket)
    return f"{number} pending for the agent on {agent.agent_socket}, the oldest for {since}: {fate}"


def replay(folders: Folders, log: Callable[[str], None]) -> Outcome:
    """Send what is pending; `log` gets a line for each release that is given up."""
    return send(str(_folder(folders)), find_socket=_find_socket(folders), report=log)


def replay_patiently(folders: Folders, log: Callable[[str], None]) -> list[PendingOfAgent]:
    """Send what is pending, also to agents that are just restarting; return what is left."""
    deadline = Deadline(_PATIENCE)
    while True:
        is_last = not deadline.left()
        replay(folders, log)
        left = by_agent(folders)
        if is_last or not any(agent.agent == ABSENT for agent in left):
            return left
        deadline.sleep(_PAUSE)


def drop(folders: Folders, socket: str) -> int:
    """Forget the releases of the agent on a socket, whichever of its names is given; return how many. OSError."""
    find_socket, dropped = _find_socket(folders), 0

    def is_its(record: dict[str, Any] | None) -> bool:
        return record is not None and find_socket(record["socketPath"]) == find_socket(socket)

    for path in {path for path, record in _records(folders) if is_its(record)}:
        with pending.Lock(path, Deadline(_LOCK_TIMEOUT)):
            lines = pending.read_lines(path)
            kept = [line for line in lines if not is_its(pending.parse_record(line))]
            if len(kept) < len(lines):
                pending.replace_lines(path, kept)
        dropped += len(lines) - len(kept)
    return dropped


def remove(folders: Folders, *, force: bool) -> None:
    """Remove the folder, if it is empty: a DEL may have written a release since they were counted."""
    folder = _folder(folders)
    if force:
        shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        folder.rmdir()
    if not folder.exists():
        folder.with_name(f"{folder.name}.lock").unlink(missing_ok=True)


def _records(folders: Folders) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each file's path with each record in it; what cannot be read or is damaged is left to a replay."""
    folder = str(_folder(folders))
    for name in pending.names(folder):
        path = f"{folder}/{name}"
        with suppress(OSError):
            for line in pending.read_lines(path):
                if record := pending.parse_record(line):
                    yield path, record


def _find_socket(folders: Folders) -> Callable[[str], str]:
    return lambda name: str(folders.root.resolve(name))


def _folder(folders: Folders) -> Path:
    return folders.state / Path(PENDING_FOLDER).name
