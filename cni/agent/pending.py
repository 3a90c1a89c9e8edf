"""Takes the releases that this agent has missed. Side effects: those of the plugin's replay.py.

A plugin that finds the agent away writes its release down (cni/plugin/pending.py). Nobody but GC would free the address
if nobody sent that release; so the agent asks for it itself, when it starts and from time to time.
"""

import threading
from pathlib import Path

from cni import defaults
from cni.agent.change_log import log
from cni.plugin import replay

_EVERY = 10.0  # seconds


def take_for_ever(socket_path: Path, stop: threading.Event) -> None:
    """Have the pending releases of the agent on this socket sent to it, until `stop` is set."""
    while True:
        try:
            _take(socket_path)
        except Exception as error:
            # Whatever it is, the next round may succeed; if the thread ended, all that is pending would stay.
            log(f"pending releases cannot be taken: {type(error).__name__}: {error}")
        if stop.wait(_EVERY):
            return


def _take(socket_path: Path) -> None:
    done = replay.replay(defaults.PENDING_FOLDER, find_socket=lambda path: path if _is_ours(path, socket_path) else "")
    if done.released:
        log(f"took {done.released} release{'s' * (done.released != 1)} that were pending")


def _is_ours(path: str, socket_path: Path) -> bool:
    try:
        return socket_path.samefile(path)
    except OSError:
        return False
