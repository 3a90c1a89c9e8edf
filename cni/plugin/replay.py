"""Sends pending releases to the agents that did not take them. Side effects: requests, and those of pending.py. Loaded
when needed, by the plugin and by the operator's program.

# DEPARTS: nothing is sent late to a real agent. For a pod name that is in use again it takes the present pod's UID,
# whatever was sent, and would free that pod's address; spiderpool-controller frees what is left there. The embedded
# agent lets go of the container that the release names and of no other, so its releases are kept until it takes them;
# it is known by its `GET /v1/ipam/allocations`.
"""

import time

from cni.deadline import Deadline
from cni.errors import CNIError
from cni.plugin import pending
from cni.plugin._rare_validators import ALLOCATIONS_PROBE
from cni.plugin.agent_client import AgentClient
from cni.plugin.validation import Invalid, validate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_TIMEOUT = 60  # seconds for a whole replay
_REQUEST_TIMEOUT = 2.0  # seconds for one request

# What is behind a recorded socket. ABSENT: nobody listens there. SILENT: somebody does, and gives no proper answer.
EMBEDDED, REAL, ABSENT, SILENT = "embedded", "real", "absent", "silent"


class Outcome:
    """What a replay did, in numbers of releases."""

    __slots__ = ("dropped", "kept", "left_to_controller", "released")

    def __init__(self) -> None:
        self.released = 0
        self.left_to_controller = 0  # the agent is a real one
        self.dropped = 0  # damaged
        self.kept = 0  # the agent does not answer, or another process is at it


def replay(
    folder: str,
    *,
    find_socket: "Callable[[str], str]" = str,
    deadline: Deadline | None = None,
    only: str = "",
    report: "Callable[[str], None]" = lambda line: None,
) -> Outcome:
    """Send what is pending to the embedded agents on the recorded sockets; never raises OSError.

    `find_socket` says where a recorded socket is found: not at its own path where the node's files are mounted
    elsewhere, and "" for one that is not to be asked. Ends at the deadline (60 s). `only` names one file. `report` gets
    one line for each release that is given up, and for each file that cannot be read or changed. Several processes may
    do this at once; none waits for another.
    """
    return _Replay(folder, find_socket, deadline or Deadline(_TIMEOUT), report).run(only)


class _Replay:
    """One replay: what it may still do, and what it has done."""

    def __init__(
        self,
        folder: str,
        find_socket: "Callable[[str], str]",
        deadline: Deadline,
        report: "Callable[[str], None]",
    ) -> None:
        self._folder = folder
        self._deadline = deadline
        self._agents = Agents(find_socket, deadline)
        self._report = report
        self._outcome = Outcome()

    def run(self, only: str) -> Outcome:
        """Send the releases of file after file, or of one; return what came of it."""
        names = [only] if only else pending.names(self._folder)
        # Each replay begins at another file: otherwise those whose agent is gone would keep the others from being sent.
        first = time.monotonic_ns() // 1000 % len(names) if names else 0
        for name in names[first:] + names[:first]:
            if self._deadline.left():
                self._send_file(f"{self._folder}/{name}")
            else:
                self._outcome.kept += 1
        if not only:
            pending.remove_leftovers(self._folder)
        return self._outcome

    def _send_file(self, path: str) -> None:
        try:
            # Not waited for: whoever has the lock is sending these releases, or takes one of them back.
            with pending.Lock(path, Deadline(0)):
                lines = pending.read_lines(path)
                kept = [line for line in lines if not self._settle(line)]
                if len(kept) < len(lines):
                    pending.replace_lines(path, kept)
        except BlockingIOError:
            self._outcome.kept += 1
        except OSError as error:
            self._report(f"{path}: {error.strerror or error}")
            self._outcome.kept += 1

    def _settle(self, line: bytes) -> bool:
        """Send the release in a line, unless there is a reason not to; tell whether the line can go."""
        record = pending.parse_record(line)
        if record is None:
            self._outcome.dropped += 1
            self._report("a pending release that is damaged: dropped")
            return True
        kind = self._agents.kind(record["socketPath"])
        if kind == REAL:
            self._outcome.left_to_controller += 1
            self._report(f"{_described(record)}: left to spiderpool-controller")
            return True
        if kind == EMBEDDED and self._agents.release(record["socketPath"], record["release"]):
            self._outcome.released += 1
            return True
        self._outcome.kept += 1
        return False


class Agents:
    """The agents behind the recorded sockets. Each is asked once what it is; at the deadline they count as silent."""

    def __init__(self, find_socket: "Callable[[str], str]", deadline: Deadline) -> None:
        self._find_socket = find_socket
        self._deadline = deadline
        self._kinds: dict[str, str] = {}

    def kind(self, socket_path: str) -> str:
        """Return EMBEDDED, REAL, ABSENT or SILENT."""
        if socket_path not in self._kinds:
            self._kinds[socket_path] = self._ask_for_kind(socket_path)
        return self._kinds[socket_path]

    def _ask_for_kind(self, socket_path: str) -> str:
        if not self._find_socket(socket_path):
            return SILENT
        try:
            status, answer = self._ask(socket_path, "GET", "/v1/ipam/allocations")
        except CNIError as error:
            return ABSENT if isinstance(error.__cause__, FileNotFoundError | ConnectionRefusedError) else SILENT
        if status in (404, 405, 501):
            return REAL
        try:
            validate(ALLOCATIONS_PROBE, answer)
        except Invalid:
            return SILENT
        return EMBEDDED if status == 200 else SILENT

    def release(self, socket_path: str, release: "dict[str, str]") -> bool:
        """Send a release and tell whether it was taken. An agent that fails is not asked again."""
        try:
            status, _ = self._ask(socket_path, "DELETE", "/v1/ipam/ip", release)
        except CNIError:
            status = 0
        if status != 200:
            self._kinds[socket_path] = SILENT
        return status == 200

    def _ask(
        self, socket_path: str, method: str, target: str, body: "dict[str, Any] | None" = None
    ) -> tuple[int, bytes]:
        deadline = self._deadline.within(_REQUEST_TIMEOUT)
        return AgentClient(self._find_socket(socket_path), deadline).ask(method, target, body)


def _described(record: "dict[str, Any]") -> str:
    release = record["release"]
    pod = f"pod {release['podNamespace']}/{release['podName']}, container {release['containerID']}"
    return f"pending release of {release['ifName']} of {pod}"
