"""Has addresses probed where the agent asks for it. Side effects: a child process, and the agent client's. Loaded only
where detection is on.

What probes (cni/detection/probe.py) needs libraries that would make every call slower. So it is a program of its own,
`spiderpool-ipam detect`, beside the plugin. Its start takes longer than a whole ADD; so the plugin first asks the
kernel whether there is an interface to probe on.
"""

import posix
import sys
from _signal import SIGKILL
from _socket import AF_UNIX, SHUT_WR, SOCK_STREAM, socket, socketpair

from cni.errors import ADDRESS_CONFLICT, GATEWAY_UNREACHABLE, INTERNAL, TRY_AGAIN_LATER, CNIError
from cni.plugin import interrupts, ip_address
from cni.plugin._rare_validators import DETECTION_ANSWER
from cni.plugin.json_text import encode
from cni.plugin.netlink import lacks_link
from cni.plugin.validation import Invalid, validate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cni.deadline import Deadline
    from cni.plugin.attachment import Attachment
    from cni.plugin.call import Call
    from cni.plugin.result import Address

_ANSWER_LIMIT = 65536  # bytes
NOT_PROBED = "the address could not be probed, as the agent asks for: install the release again, or report the details"


def probe(call: "Call", addresses: "list[Address]") -> None:
    """Have an ADD's addresses probed as the agent asks; the log line tells the outcome. Codes 5, 8, 11, 102, 103, 999.

    An interface that is not there yet is no error: Calico calls before it makes one. But a probe that was asked for and
    could not be made is an error: a warning would be read when the pod runs already, under an address that is taken.
    """
    assert call.agent and call.attachment and call.netconf
    try:
        call.log_fields["detection"] = run(call.attachment, addresses, call.agent.deadline)
    except CNIError as error:
        if error.code in (ADDRESS_CONFLICT, GATEWAY_UNREACHABLE):
            # Only this operation frees an address of a live pod. If the agent refuses it, the address stays with the
            # pod.
            failure = call.agent.release_conflicting(call.attachment, call.netconf)
            if failure:
                call.log_fields["conflict"] = failure
        raise


def run(attachment: "Attachment", addresses: "list[Address]", deadline: "Deadline") -> str:
    """Have the addresses probed; return one line about it. Codes as `probe`."""
    if lacks_link(attachment.netns, attachment.ifname):
        return f"skipped: {attachment.ifname} is not in {attachment.netns} yet"
    request = {
        "netns": attachment.netns,
        "ifname": attachment.ifname,
        "addresses": [
            {
                "address": ip_address.text(address.packed),
                "gateway": ip_address.text(address.gateway) if address.gateway else "",
                "detectConflict": address.detect_conflict,
                "detectGateway": address.detect_gateway,
            }
            for address in addresses
        ],
    }
    answer = _parsed(_ask_child(encode(request), deadline))
    if answer["code"]:
        raise CNIError(answer["code"], answer["msg"], answer["details"])
    return answer["msg"]  # type: ignore[no-any-return]


def _ask_child(request: bytes, deadline: "Deadline") -> bytes:
    """Run `spiderpool-ipam detect`; return what it printed. Codes 11, 999."""
    pid = 0
    our_end, childs_end = socketpair(AF_UNIX, SOCK_STREAM)
    try:
        try:
            pid = _start(childs_end.fileno())
        finally:
            childs_end.close()
        our_end.setblocking(False)
        _send(our_end, request, deadline)
        return _receive(our_end, deadline)
    except TimeoutError:
        text = "the probing of the address, which the agent asks for, did not end in time: is the node overloaded?"
        raise CNIError(TRY_AGAIN_LATER, text) from None
    except OSError as error:
        raise CNIError(INTERNAL, NOT_PROBED, str(error)) from None
    finally:
        our_end.close()
        if pid:
            _end(pid)


def _send(child: socket, request: bytes, deadline: "Deadline") -> None:
    try:
        interrupts.send(child, request, deadline)
        child.shutdown(SHUT_WR)
    except (BrokenPipeError, ConnectionResetError):
        pass  # it has ended already; what it printed can still be read


def _receive(child: socket, deadline: "Deadline") -> bytes:
    output = b""
    try:
        while len(output) < _ANSWER_LIMIT and (piece := interrupts.receive(child, _ANSWER_LIMIT, deadline)):
            output += piece
    except ConnectionResetError:
        pass  # it ended before it had read the whole request
    return output


def _start(descriptor: int) -> int:
    """Start the child with a socket for stdin, stdout and stderr; what it says when it crashes is wanted, too."""
    bundle = getattr(sys, "_MEIPASS", None)
    program = [bundle + "/../spiderpool-ipam"] if bundle else [sys.executable, "-m", "cni.cli"]
    actions = [(posix.POSIX_SPAWN_DUP2, descriptor, standard) for standard in (0, 1, 2)]
    return posix.posix_spawn(program[0], [*program, "detect"], {}, file_actions=actions, setsigmask=())


def _end(pid: int) -> None:
    """Kill and reap the child, which has said all or is out of time."""
    try:
        posix.kill(pid, SIGKILL)
        posix.waitpid(pid, 0)
    except OSError:
        pass  # the plugin's caller ignores SIGCHLD, so the kernel has reaped it


def _parsed(output: bytes) -> "dict[str, Any]":
    """Return the answer: the last line, as a warning may stand before it. Code 999."""
    last = output.rstrip().rpartition(b"\n")[2]
    try:
        return validate(DETECTION_ANSWER, last)  # type: ignore[no-any-return]
    except Invalid:
        raise CNIError(INTERNAL, NOT_PROBED, last.decode("utf-8", "replace") or "no answer") from None
