"""Sends pending releases to the agents that did not take them. Side effects: requests, and those of pending.py. Loaded
when needed, by the plugin and by the operator's program.

# DEPARTS: nothing is sent late to a real agent. For a pod name that is in use again it takes the present pod's UID,
# whatever was sent, and would free that pod's address; spiderpool-controller frees what is left there. The embedded
# agent lets go of the container that the release names and of no other; it is known by its `GET /v1/ipam/allocations`.
"""

import time

from cni.deadline import Deadline
from cni.errors import CNIError
from cni.plugin import pending
from cni.plugin._rare_validators import ALLOCATIONS_PROBE
from cni.plugin.agent_client import AgentClient
from cni.plugin.files import folder_of
from cni.plugin.validation import Invalid, validate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

EXPIRY = 24 * 3600  # seconds
_TIMEOUT = 60  # seconds for a whole replay
_REQUEST_TIMEOUT = 2.0  # seconds for one request
_EMBEDDED, _REAL, _SILENT = "embedded", "real", "silent"


class Outcome:
    """What a replay did, in numbers of releases."""

    __slots__ = ("dropped", "kept", "left_to_controller", "released")

    def __init__(self) -> None:
        self.released = 0
        self.left_to_controller = 0  # the agent is a real one
        self.dropped = 0  # too old, or damaged
        self.kept = 0  # the agent does not answer


def replay(
    folder: str,
    limit: int = 1000,
    *,
    find_socket: "Callable[[str], str]" = str,
    deadline: Deadline | None = None,
    only: str = "",
    report: "Callable[[str], None]" = lambda line: None,
) -> Outcome:
    """Send what is pending to the embedded agents on the recorded sockets; never raises OSError.

    `find_socket` says where a recorded socket is found: not at its own path where the node's files are mounted
    elsewhere. Ends after `limit` releases, or at the deadline (60 s). `only` names one file. `report` gets one line for
    each release that is given up, and for each file that cannot be read or changed. Several processes may do this at
    once.
    """
    return _Replay(folder, limit, find_socket, deadline or Deadline(_TIMEOUT), report).run(only)


class _Replay:
    """One replay: what it may still do, and what it has done."""

    def __init__(
        self,
        folder: str,
        limit: int,
        find_socket: "Callable[[str], str]",
        deadline: Deadline,
        report: "Callable[[str], None]",
    ) -> None:
        self._folder = folder
        self._limit = limit
        self._deadline = deadline
        self._agents = _Agents(find_socket, deadline)
        self._report = report
        self._outcome = Outcome()

    def run(self, only: str) -> Outcome:
        """Send the releases of file after file, or of one; return what came of it."""
        names = [name for name in pending.names(self._folder) if only in ("", name)]
        # Each replay begins at another file: otherwise those whose agent is gone would keep the others from being sent.
        first = time.monotonic_ns() // 1000 % len(names) if names else 0
        for name in names[first:] + names[:first]:
            if self._limit <= 0 or not self._deadline.left():
                break
            if name != names[first]:
                # Another process that waits for the lock, a DEL for example, gets it between two files.
                time.sleep(2 * pending.LOCK_PAUSE)
            self._send_file(f"{self._folder}/{name}")
        return self._outcome

    def _send_file(self, path: str) -> None:
        try:
            self._limit -= self._send_lines(path)
        except OSError as error:
            self._report(f"{path}: {error.strerror or error}")
            self._outcome.kept += 1
            self._limit -= 1

    def _send_lines(self, path: str) -> int:
        """Send one file's first releases, as many as the limit allows; return how many that were."""
        # An agent that hangs is found out before the lock is taken, because others need the lock to write.
        for line in pending.read_lines(path):
            record = pending.parse_record(line)
            if record:
                self._agents.kind(record["socketPath"])
        with pending.Lock(folder_of(path), Deadline(_REQUEST_TIMEOUT)):
            lines = pending.read_lines(path)
            kept = [line for line in lines[: self._limit] if not self._settle(line)] + lines[self._limit :]
            if len(kept) < len(lines):
                pending.replace_lines(path, kept)
        return min(self._limit, len(lines))

    def _settle(self, line: bytes) -> bool:
        """Send the release in a line, unless there is a reason not to; tell whether the line can go."""
        record = pending.parse_record(line)
        if record is None:
            return self._drop("a pending release that is damaged: dropped")
        if abs(time.time() - record["time"]) > EXPIRY:  # a clock may have been set back
            return self._drop(f"{_described(record)}: dropped, older than {EXPIRY // 3600} hours")
        kind = self._agents.kind(record["socketPath"])
        if kind == _REAL:
            self._outcome.left_to_controller += 1
            self._report(f"{_described(record)}: left to spiderpool-controller")
            return True
        if kind == _EMBEDDED and self._agents.release(record["socketPath"], record["release"]):
            self._outcome.released += 1
            return True
        self._outcome.kept += 1
        return False

    def _drop(self, reason: str) -> bool:
        self._outcome.dropped += 1
        self._report(reason)
        return True


class _Agents:
    """The agents behind the recorded sockets. Each is asked once what it is; at the deadline they count as silent."""

    def __init__(self, find_socket: "Callable[[str], str]", deadline: Deadline) -> None:
        self._find_socket = find_socket
        self._deadline = deadline
        self._kinds: dict[str, str] = {}

    def kind(self, socket_path: str) -> str:
        if socket_path not in self._kinds:
            self._kinds[socket_path] = self._ask_for_kind(socket_path)
        return self._kinds[socket_path]

    def _ask_for_kind(self, socket_path: str) -> str:
        status, answer = self._ask(socket_path, "GET", "/v1/ipam/allocations")
        if status in (404, 405, 501):
            return _REAL
        try:
            validate(ALLOCATIONS_PROBE, answer)
        except Invalid:
            return _SILENT
        return _EMBEDDED if status == 200 else _SILENT

    def release(self, socket_path: str, release: "dict[str, str]") -> bool:
        """Send a release and tell whether it was taken. An agent that fails is not asked again."""
        status, _ = self._ask(socket_path, "DELETE", "/v1/ipam/ip", release)
        if status != 200:
            self._kinds[socket_path] = _SILENT
        return status == 200

    def _ask(
        self, socket_path: str, method: str, target: str, body: "dict[str, Any] | None" = None
    ) -> tuple[int, bytes]:
        try:
            deadline = self._deadline.within(_REQUEST_TIMEOUT)
            return AgentClient(self._find_socket(socket_path), deadline).ask(method, target, body)
        except CNIError:
            return 0, b""


def _described(record: "dict[str, Any]") -> str:
    release = record["release"]
    pod = f"pod {release['podNamespace']}/{release['podName']}, container {release['containerID']}"
    return f"pending release of {release['ifName']} of {pod}"
