"""Releases what a failed ADD holds; writes down, removes and sends the releases that an agent did not take.

Side effects: the agent client's, and those of pending.py and replay.py. Loaded only by the calls that need it.
"""

import time

from cni import defaults
from cni.deadline import Deadline
from cni.errors import TRY_AGAIN_LATER, CNIError
from cni.plugin import interrupts, pending, replay
from cni.plugin.agent_client import GIVE_BACK_TIMEOUT, NOTHING, SOMETHING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.plugin.call import Call

# What keeps a release from being written down, by errno: EAGAIN, ENOSPC, EDQUOT, EROFS.
_OBSTACLES = {11: "another process keeps the file locked", **dict.fromkeys((28, 122), "the disk is full"),
              30: "the disk is read-only"}  # fmt: skip
_PENDING_TIMEOUT = 2  # seconds that an ADD or a DEL spends on what is pending of its pod: locks and requests together


def give_back(call: "Call") -> None:
    """Release what an ADD that failed has made the agent hold, or write that down. Code 11: neither can be done.

    Calico, for one, does not call DEL after a failed ADD. A real agent keeps a live pod's address on such a release,
    and gives it to that pod's next ADD.
    """
    agent = call.agent
    if agent is None or (agent.holds == NOTHING and not call.owes_release):
        return None
    assert call.attachment and call.netconf
    if agent.holds != SOMETHING and not agent.deadline.left():
        call.log_fields["warning"] = "not given back yet: the agent is silent"
    else:
        agent.deadline = Deadline(GIVE_BACK_TIMEOUT)
        try:
            return agent.release(call.attachment, call.netconf)
        except CNIError as error:
            call.log_fields["warning"] = f"not given back yet: {error}"
    return _write_down(call)


def release_later(call: "Call", error: BaseException) -> None:
    """Write down a DEL that the agent did not take. Code 11 if that fails; a signal is raised again."""
    interrupts.finish()
    _write_down(call)
    if not isinstance(error, CNIError):
        raise error
    call.log_fields["warning"] = f"the release is pending: {error}"


def remove_own(call: "Call") -> None:
    """Remove the pending release of an ADD's own attachment, which would take its new address. Code 11."""
    assert call.agent and call.attachment and call.netconf
    call.owes_release = True  # until it is known that there was none
    try:
        call.owes_release = _remove_line(call)
    except OSError as error:
        busy = isinstance(error, BlockingIOError)
        call.owes_release = not busy
        text = "an earlier release of this attachment is pending and "
        text += "is being sent at this moment: try again" if busy else "cannot be removed"
        raise CNIError(TRY_AGAIN_LATER, text, f"{_path(call)}: error {error.errno}") from None


def release_earlier(call: "Call") -> None:
    """Send the pending releases of a pod's earlier containers after its ADD or DEL, and forget the one that a DEL has
    done.

    Otherwise the embedded agent would keep the address for them after this container is gone. What the agent has done
    stays done: neither a failure of this nor a signal fails the call.
    """
    try:
        if call.command == "DEL":
            _remove_line(call)
        with _Timed(call):
            _replay(call, _deadline(call), only=_path(call).rpartition("/")[2])
    except (Exception, KeyboardInterrupt) as error:
        call.log_fields["warning"] = f"earlier releases of this pod stay pending: {type(error).__name__}: {error}"


def replay_pending(call: "Call") -> None:
    """Send all that is pending, in the course of a GC, in half of its time."""
    assert call.agent
    with _Timed(call):
        _replay(call, call.agent.deadline.within(call.agent.deadline.left() / 2))


def _replay(call: "Call", deadline: Deadline, only: str = "") -> None:
    """Send what is pending while the agents answer; the log line tells what is given up."""
    lines: list[str] = []
    outcome = replay.replay(defaults.PENDING_FOLDER, deadline=deadline, only=only, report=lines.append)
    if outcome.kept:
        kept = "1 release stays" if outcome.kept == 1 else f"{outcome.kept} releases stay"
        call.log_fields["warning"] = f"{kept} pending"
    if lines:
        call.log_fields["pending"] = lines


def _remove_line(call: "Call") -> bool:
    assert call.attachment and call.netconf
    with _Timed(call):
        return pending.remove(_path(call), call.attachment.identity(call.netconf.name), _deadline(call))


def _write_down(call: "Call") -> None:
    """Have the release done later. Code 11; its text must not hold "not found", which containerd takes for success.

    Nobody could send it to a socket whose name means nothing to another process. The trial of an installation has such
    a one (cni/installer/bundle/trial.py).
    """
    assert call.agent and call.attachment and call.netconf
    if call.netconf.socket_path.startswith("/proc/self/"):
        text = "the agent did not take the release, and no other process could send it"
        raise CNIError(TRY_AGAIN_LATER, text, call.netconf.socket_path)
    deadline = Deadline(max(GIVE_BACK_TIMEOUT, call.agent.deadline.left()))
    release = call.attachment.identity(call.netconf.name)
    try:
        with _Timed(call):
            pending.write_down(_path(call), call.netconf.socket_path, release, deadline)
    except OSError as error:
        text = "the agent did not take the release, and it cannot be written down: "
        text += _OBSTACLES.get(error.errno or 0, f"look at {defaults.PENDING_FOLDER}")
        raise CNIError(TRY_AGAIN_LATER, text, f"{_path(call)}: error {error.errno}") from None


def _deadline(call: "Call") -> Deadline:
    """Return until when the call may still look after what is pending of its pod."""
    assert call.agent
    return call.agent.deadline.within(_PENDING_TIMEOUT - call.pending_seconds)


class _Timed:
    """While the block lasts the call looks after what is pending; the time counts as time for the agent."""

    def __init__(self, call: "Call") -> None:
        self._call = call

    def __enter__(self) -> None:
        self._started = time.monotonic()

    def __exit__(self, *_: object) -> None:
        assert self._call.agent
        seconds = time.monotonic() - self._started
        self._call.pending_seconds += seconds
        self._call.agent.seconds += seconds


def _path(call: "Call") -> str:
    assert call.attachment and call.netconf
    return call.attachment.pending_path(call.netconf.name)
