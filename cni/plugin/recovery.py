"""Releases what a failed ADD holds; writes down, removes and sends the releases that an agent did not take.

Side effects: the agent client's, and those of pending.py and replay.py. Loaded only by the calls that need it.
"""

import posix

from cni import defaults
from cni.deadline import Deadline
from cni.errors import TRY_AGAIN_LATER, CNIError
from cni.plugin import pending, replay
from cni.plugin.agent_client import GIVE_BACK_TIMEOUT, NOTHING, SOMETHING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.plugin.call import Call

_REPLAY_TIMEOUT = 2  # seconds, for sending pending releases in the course of a pod's own ADD or DEL


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
    _write_down(call)
    if not isinstance(error, CNIError):
        raise error
    call.log_fields["warning"] = f"the release is pending: {error}"


def after_release(call: "Call") -> None:
    """Remove the pending release that this DEL has done, then send another one. No failure of this fails the DEL."""
    try:
        if posix.access(_path(call), posix.F_OK):
            remove_own(call)
        replay_pending(call, limit=1)
    except Exception as error:
        call.log_fields["warning"] = f"other releases stay pending: {error}"


def remove_own(call: "Call") -> None:
    """Remove this attachment's pending release. Code 11.

    An ADD must do this first, because the release would take its new address; a DEL has done the release by now.
    """
    assert call.agent and call.attachment and call.netconf
    deadline = call.agent.deadline.within(pending.LOCK_TIMEOUT)
    release = call.attachment.identity(call.netconf.name)
    call.owes_release = True  # until it is known that there was none
    try:
        call.owes_release = pending.remove(_path(call), release, deadline)
    except OSError as error:
        text = "an earlier release of this attachment is pending and cannot be removed"
        raise CNIError(TRY_AGAIN_LATER, text, f"{_path(call)}: error {error.errno}") from None


def replay_own(call: "Call") -> None:
    """Send the pending releases of the earlier containers of an ADD's pod.

    Otherwise the embedded agent would keep the address for them after this container is gone.
    """
    replay_pending(call, only=_path(call).rpartition("/")[2])


def replay_pending(call: "Call", limit: int = 1000, only: str = "") -> None:
    """Send what is pending while the agents answer; the log line tells what is given up."""
    assert call.agent
    lines: list[str] = []
    seconds = call.agent.deadline.left() / 2 if call.command == "GC" else _REPLAY_TIMEOUT
    deadline = call.agent.deadline.within(seconds)
    replay.replay(defaults.PENDING_FOLDER, limit, deadline=deadline, only=only, report=lines.append)
    if lines:
        call.log_fields["pending"] = lines


def _write_down(call: "Call") -> None:
    """Have the release done later. Code 11; its text must not hold "not found", which containerd takes for success."""
    assert call.agent and call.attachment and call.netconf
    deadline = Deadline(max(pending.LOCK_TIMEOUT, call.agent.deadline.left()))
    release = call.attachment.identity(call.netconf.name)
    try:
        pending.write_down(_path(call), call.netconf.socket_path, release, deadline)
    except OSError as error:
        text = "the agent did not take the release, and it cannot be written down: "
        busy = isinstance(error, BlockingIOError)
        text += "others are writing there all the time" if busy else "is the disk full or read-only?"
        raise CNIError(TRY_AGAIN_LATER, text, f"{_path(call)}: error {error.errno}") from None


def _path(call: "Call") -> str:
    assert call.attachment and call.netconf
    return call.attachment.pending_path(call.netconf.name)
