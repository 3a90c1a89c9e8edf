"""Ask the agent for its health, and send it what is pending. Side effects: those of node/{agent_health,pending}.py."""

import threading
from collections.abc import Callable

from cni.installer.log_line import ERROR, WARN
from cni.installer.node import agent_health, pending
from cni.installer.reconciler import Reconciler

AGENT_EVERY = 10.0  # seconds between two looks at the agent
_WHILE_FAULTY = 2.0  # seconds, while it is not well: a conflist may wait for it


class AgentWatch:
    """Looks after the agent, in a thread of its own: one that hangs must hold up neither the checks nor SIGTERM."""

    def __init__(self, reconciler: Reconciler, log: Callable[[str], None]) -> None:
        self.fault = agent_health.NOT_ASKED
        self.pending = 0
        self._reconciler = reconciler
        self._log = log

    def run(self, stop: threading.Event) -> None:
        """Ask for its health, and send it what is pending, until `stop` is set."""
        while True:
            try:
                self._ask()
                self._replay()
            except Exception as error:
                # Whatever it is, the next round may succeed; if the thread ended, all that is pending would stay.
                self.fault = f"cannot be asked: {type(error).__name__}: {error}"
                self._log(f"{ERROR}the spiderpool-agent {self.fault}")
            self._reconciler.agent_fault = self.fault
            if stop.wait(_WHILE_FAULTY if self.fault else AGENT_EVERY):
                return

    def _ask(self) -> None:
        socket = self._reconciler.agent_socket
        fault = agent_health.fault(socket)
        if fault != self.fault and (
            fault or self.fault != agent_health.NOT_ASKED
        ):  # a first answer that is well is no news
            name = self._reconciler.folders.name_of(socket)
            self._log(f"{WARN if fault else ''}the spiderpool-agent on {name}: {fault or 'healthy again'}")
        self.fault = fault

    def _replay(self) -> None:
        folders = self._reconciler.folders
        outcome = pending.replay(folders, lambda line: self._log(WARN + line))
        if outcome.released:
            number = "1 pending release" if outcome.released == 1 else f"{outcome.released} pending releases"
            self._log(f"sent {number} to the spiderpool-agent")
        self.pending = pending.count(folders)
