"""Releases that the agent did not take, kept until it does. Side effects: the files in FOLDER, and requests to agents.

One file per network, pod and interface, one line per container: when it was written, the agent's socket, and the body
of the DELETE. Written so that a file is there whole or not at all, whenever the process is killed. A lock beside the
folder (`FOLDER.lock`) is held while a file changes and while a release is sent, so an ADD that has to remove its own
line first waits for a release of it that is under way. Loaded when needed, by the plugin and by the operator program.

# DEPARTS: upstream forgets a release that failed. And nothing is sent late to a real agent: for a pod name that is in
# use again it takes the present pod's UID, whatever was sent, and would free that one's address.
# spiderpool-controller frees what is left there. The embedded agent lets go the container that the release names and
# no other; it is known by its `GET /v1/ipam/allocations`.
"""

import posix
import time

from cni.errors import CNIError
from cni.plugin.agent_client import AgentClient
from cni.plugin.json_text import encode
from cni.plugin.parameters import PENDING_FOLDER
from cni.plugin.validation import Invalid, validate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

FOLDER = PENDING_FOLDER
EXPIRY = 24 * 3600  # seconds
LOCK_TIMEOUT = 10.0  # seconds
_REQUEST_TIMEOUT = 2.0  # seconds for one request of a replay
_LOCK_PAUSE = 0.002  # seconds
_SIZE_LIMIT = 16 * 1024 * 1024  # bytes of a file
_TEMPORARY = "/.new"  # one name will do: it is written under the lock
_NO_FILE_OF_OURS = (6, 40)  # ENXIO, ELOOP: a socket, a symbolic link

_TEXT = {"type": "typed-dict-field", "schema": {"type": "str"}, "required": True}
_RELEASE_FIELDS = ("containerID", "ifName", "podNamespace", "podName", "podUID", "network")
_RECORD = {
    "type": "typed-dict",
    "fields": {
        "time": {"type": "typed-dict-field", "schema": {"type": "int", "ge": 0, "le": 2**40}, "required": True},
        "socketPath": _TEXT,
        "release": {
            "type": "typed-dict-field",
            "schema": {"type": "typed-dict", "fields": dict.fromkeys(_RELEASE_FIELDS, _TEXT)},
            "required": True,
        },
    },
    "config": {"strict": True},
}
_ALLOCATIONS = {
    "type": "typed-dict",
    "fields": {"allocations": {"type": "typed-dict-field", "schema": {"type": "list"}, "required": True}},
}

_EMBEDDED, _REAL, _SILENT = "embedded", "real", "silent"


class Outcome:
    """What a replay did, in numbers of releases."""

    __slots__ = ("dropped", "kept", "left_to_controller", "released")

    def __init__(self) -> None:
        self.released = 0
        self.left_to_controller = 0  # the agent is a real one
        self.dropped = 0  # too old, or damaged
        self.kept = 0  # the agent does not answer


def count(folder: str = FOLDER) -> int:
    """Return how many files are pending: pods' interfaces."""
    return len(_names(folder))


def write(path: str, socket_path: str, release: "dict[str, str]", timeout: float = LOCK_TIMEOUT) -> None:
    """Write a release down, durably; once, however often it is asked for.

    Raises OSError: BlockingIOError where others hold the lock for more than `timeout` seconds.
    """
    folder = _folder(path)
    _make_folders(folder)
    record = encode({"time": int(time.time()), "socketPath": socket_path, "release": release})
    with _Lock(folder, timeout):
        others = [line for line in _read(path) if not _is_of(line, release)]
        _replace(path, [*others, record])


def forget(path: str, release: "dict[str, str]", timeout: float = LOCK_TIMEOUT) -> bool:
    """Remove the line of one attachment, and say whether there was one. Raises OSError, also after `timeout` seconds.

    Lines of other containers stay: releasing those takes nothing away from this one.
    """
    with _Lock(_folder(path), timeout):
        lines = _read(path)
        others = [line for line in lines if not _is_of(line, release)]
        if len(others) < len(lines):
            _replace(path, others)
        return len(others) < len(lines)


def replay(
    folder: str = FOLDER,
    limit: int = 1000,
    *,
    place: "Callable[[str], str]" = str,
    seconds: float = 60,
    only: str = "",
    report: "Callable[[str], None]" = lambda line: None,
) -> Outcome:
    """Send what is pending to the embedded agents on the recorded sockets; never raises OSError.

    `place` says where a socket is to be found: not at its own path where the node is mounted elsewhere. Ends after
    `limit` releases, or when `seconds` are over. `only` names one file. `report` gets one line for each release that is
    given up, and for each file that cannot be read or changed. Several processes may do this at once.
    """
    outcome = Outcome()
    give_up = time.monotonic() + seconds
    agents = _Agents(place, give_up)
    names = [name for name in _names(folder) if only in ("", name)]
    # Each time from another place on, so that files whose agent is gone do not stand before the others.
    turn = time.monotonic_ns() // 1000 % len(names) if names else 0
    for name in names[turn:] + names[:turn]:
        if limit <= 0 or time.monotonic() >= give_up:
            break
        try:
            limit -= _replay_file(f"{folder}/{name}", limit, agents, outcome, report)
        except OSError as error:
            report(f"{folder}/{name}: {error.strerror or error}")
            outcome.kept += 1
            limit -= 1
        # Whoever waits for the lock, a DEL, say, gets it between two files.
        time.sleep(2 * _LOCK_PAUSE)
    return outcome


def _replay_file(path: str, limit: int, agents: "_Agents", outcome: Outcome, report: "Callable[[str], None]") -> int:
    """Replay one file's first `limit` releases; return how many that were."""
    # An agent that hangs is found out before the lock is taken: others need that to write.
    for line in _read(path):
        record = _parsed(line)
        if record:
            agents.kind(record["socketPath"])
    with _Lock(_folder(path), _REQUEST_TIMEOUT):
        lines = _read(path)
        kept = [line for line in lines[:limit] if not _is_settled(line, agents, outcome, report)] + lines[limit:]
        if len(kept) < len(lines):
            _replace(path, kept)
    return min(limit, len(lines))


def _is_settled(line: bytes, agents: "_Agents", outcome: Outcome, report: "Callable[[str], None]") -> bool:
    record = _parsed(line)
    if record is None:
        outcome.dropped += 1
        report("a pending release that is damaged: dropped")
        return True
    if abs(time.time() - record["time"]) > EXPIRY:  # clocks are set back, too
        outcome.dropped += 1
        report(f"{_described(record)}: dropped, older than {EXPIRY // 3600} hours")
        return True
    kind = agents.kind(record["socketPath"])
    if kind == _REAL:
        outcome.left_to_controller += 1
        report(f"{_described(record)}: left to spiderpool-controller")
        return True
    if kind == _EMBEDDED and agents.release(record["socketPath"], record["release"]):
        outcome.released += 1
        return True
    outcome.kept += 1
    return False


class _Agents:
    """The agents behind the recorded sockets, each asked once what it is; silent when it is time to give up."""

    def __init__(self, place: "Callable[[str], str]", give_up: float) -> None:
        self._place = place
        self._give_up = give_up
        self._kinds: dict[str, str] = {}

    def kind(self, socket_path: str) -> str:
        if socket_path not in self._kinds:
            self._kinds[socket_path] = self._found_out(socket_path)
        return self._kinds[socket_path]

    def _found_out(self, socket_path: str) -> str:
        status, answer = self._ask(socket_path, "GET", "/v1/ipam/allocations")
        if status in (404, 405, 501):
            return _REAL
        try:
            validate(_ALLOCATIONS, answer)
        except Invalid:
            return _SILENT
        return _EMBEDDED if status == 200 else _SILENT

    def release(self, socket_path: str, release: "dict[str, str]") -> bool:
        """Send a release. An agent that fails is not asked again."""
        status, _ = self._ask(socket_path, "DELETE", "/v1/ipam/ip", release)
        if status != 200:
            self._kinds[socket_path] = _SILENT
        return status == 200

    def _ask(
        self, socket_path: str, method: str, target: str, body: "dict[str, Any] | None" = None
    ) -> tuple[int, bytes]:
        try:
            timeout = min(_REQUEST_TIMEOUT, self._give_up - time.monotonic())
            return AgentClient(self._place(socket_path), timeout).ask(method, target, body)
        except CNIError:
            return 0, b""


class _Lock:
    """The lock beside the folder, while the block lasts; raises OSError, also after `timeout` seconds."""

    def __init__(self, folder: str, timeout: float) -> None:
        self._path = folder + ".lock"
        self._timeout = timeout

    def __enter__(self) -> None:
        give_up = time.monotonic() + self._timeout
        flags = posix.O_RDWR | posix.O_CREAT | posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_CLOEXEC
        self._descriptor = posix.open(self._path, flags, 0o600)
        while True:
            try:
                return posix.lockf(self._descriptor, posix.F_TLOCK, 0)
            except BaseException as error:
                taken = isinstance(error, BlockingIOError | PermissionError)
                if not taken or time.monotonic() >= give_up:
                    posix.close(self._descriptor)
                    raise
            time.sleep(_LOCK_PAUSE)

    def __exit__(self, *_: object) -> None:
        posix.close(self._descriptor)


def _names(folder: str) -> list[str]:
    try:
        return sorted([name for name in posix.listdir(folder) if name.endswith(".release")])
    except OSError:
        return []


def _read(path: str) -> list[bytes]:
    """Return a file's lines: none where it is missing, and one empty one where it is no file of ours.

    Raises OSError where it cannot be read at present: what it holds is not to be forgotten.
    """
    try:
        descriptor = posix.open(path, posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_CLOEXEC)
    except FileNotFoundError:
        return []
    except OSError as error:
        if error.errno in _NO_FILE_OF_OURS:
            return [b""]
        raise
    try:
        pieces = []
        left = _SIZE_LIMIT
        while left > 0 and (piece := posix.read(descriptor, left)):
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces).splitlines() or [b""]
    except IsADirectoryError:
        return [b""]
    finally:
        posix.close(descriptor)


def _parsed(line: bytes) -> "dict[str, Any] | None":
    try:
        return validate(_RECORD, line)  # type: ignore[no-any-return]
    except Invalid:
        return None


def _is_of(line: bytes, release: "dict[str, str]") -> bool:
    """Tell whether a line is of this attachment."""
    record = _parsed(line)
    if record is None:
        return False
    return all(record["release"][key] == release[key] for key in ("containerID", "ifName", "network"))


def _described(record: "dict[str, Any]") -> str:
    release = record["release"]
    pod = f"pod {release['podNamespace']}/{release['podName']}, container {release['containerID']}"
    return f"pending release of {release['ifName']} of {pod}"


def _replace(path: str, lines: "Iterable[bytes]") -> None:
    """Put a file with these lines in the place of the old one, on disk when this returns; none: remove it."""
    data = b"".join([line + b"\n" for line in lines])
    if not data:
        return posix.unlink(path)
    temporary = _folder(path) + _TEMPORARY
    flags = posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC | posix.O_NOFOLLOW | posix.O_CLOEXEC
    descriptor = posix.open(temporary, flags, 0o600)
    try:
        while data:
            data = data[posix.write(descriptor, data) :]
        posix.fsync(descriptor)
    finally:
        posix.close(descriptor)
    posix.rename(temporary, path)
    return _sync_folder(_folder(path))


def _folder(path: str) -> str:
    return path.rpartition("/")[0] or "/"


def _sync_folder(folder: str) -> None:
    descriptor = posix.open(folder, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
    try:
        posix.fsync(descriptor)
    finally:
        posix.close(descriptor)


def _make_folders(folder: str) -> None:
    """Make the folder and those above it, durably: a record is no safer than its folder."""
    slash = folder.find("/", 1)
    while slash > 0:
        try:
            posix.mkdir(folder[:slash], 0o700)
        except FileExistsError:
            pass
        else:
            _sync_folder(_folder(folder[:slash]))
        slash = folder.find("/", slash + 1)
    try:
        posix.mkdir(folder, 0o700)
    except FileExistsError:
        pass
    # In any case: who has made it may have been killed before.
    _sync_folder(_folder(folder))
