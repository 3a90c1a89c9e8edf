"""What a call does about releases: after an ADD that failed, and where one is pending or has to be. Side effects: the
agent client's and pending.py's. Loaded by the calls that need it only.
"""

import posix
import time

from cni.errors import TRY_AGAIN_LATER, CNIError
from cni.plugin import parameters, pending
from cni.plugin.agent_client import UNDO_TIMEOUT, identity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.plugin.operations import Call

_REPLAY_TIMEOUT = 2  # seconds, for a pending release beside a pod's own ADD or DEL


def give_back(call: "Call") -> None:
    """Release what an ADD may hold that nobody will hear of, or write that down. Code 11: neither.

    Calico, for one, does not call DEL after a failed ADD. A real agent keeps a live pod's address on such a release,
    and gives it to that pod's next ADD.
    """
    agent = getattr(call, "agent", None)
    if not agent or not (agent.may_hold or call.owes):
        return
    try:
        if agent.heard or time.monotonic() < agent.deadline:
            agent.deadline = time.monotonic() + UNDO_TIMEOUT
            agent.release(call.attachment, call.netconf)
            return
        call.notes["warning"] = "not given back yet: the agent is silent"
    except CNIError as error:
        call.notes["warning"] = f"not given back yet: {error}"
    _write_down(call)


def release_later(call: "Call", error: BaseException) -> None:
    """Write down a DEL that the agent did not take. Code 11 if it cannot be; a signal is raised anew."""
    _write_down(call)
    if not isinstance(error, CNIError):
        raise error
    call.notes["warning"] = f"the release is pending: {error}"


def after_release(call: "Call") -> None:
    """Forget what the DEL has done, then do one of the others: the agent is there. Nothing of it fails the DEL."""
    try:
        if posix.access(_path(call), posix.F_OK):
            forget(call)
        replay(call, limit=1)
    except Exception as error:
        call.notes["warning"] = f"other releases stay pending: {error}"


def forget(call: "Call") -> None:
    """Remove this attachment's pending release: an ADD would lose its address to it, a DEL has done it. Code 11."""
    timeout = min(call.agent.deadline - time.monotonic(), pending.LOCK_TIMEOUT)
    call.owes = True
    try:
        call.owes = pending.forget(_path(call), identity(call.attachment, call.netconf), timeout)
    except OSError as error:
        text = "an earlier release of this attachment is pending and cannot be removed"
        raise CNIError(TRY_AGAIN_LATER, text, f"{_path(call)}: error {error.errno}") from None


def replay_own(call: "Call") -> None:
    """Release what earlier containers of an ADD's pod hold: together with this one they would keep its address."""
    replay(call, only=_path(call).rpartition("/")[2])


def replay(call: "Call", limit: int = 1000, only: str = "") -> None:
    """Do what is pending while the agents answer; the log tells of what is given up."""
    lines: list[str] = []
    left = call.agent.deadline - time.monotonic()
    seconds = left / 2 if call.command == "GC" else min(left, _REPLAY_TIMEOUT)
    pending.replay(parameters.PENDING_FOLDER, limit, seconds=seconds, only=only, report=lines.append)
    if lines:
        call.notes["pending"] = lines


def _write_down(call: "Call") -> None:
    """Have the release done later. Code 11, in words that containerd does not take for a DEL that has succeeded."""
    timeout = max(pending.LOCK_TIMEOUT, call.agent.deadline - time.monotonic())
    try:
        pending.write(_path(call), call.netconf.socket_path, identity(call.attachment, call.netconf), timeout)
    except OSError as error:
        text = "the agent did not take the release, and it cannot be written down: "
        busy = isinstance(error, BlockingIOError)
        text += "others are writing there all the time" if busy else "is the disk full or read-only?"
        raise CNIError(TRY_AGAIN_LATER, text, f"{_path(call)}: error {error.errno}") from None


def _path(call: "Call") -> str:
    return call.attachment.pending_path(call.netconf.name)
