"""Has addresses probed where the agent asks for it. Side effects: a question to the kernel, a child process, and the
agent client's. Loaded by the calls that need it only.

The probing (cni/detection/probe.py) needs what would make every call slower, so it is `spiderpool-ipam detect`, beside
the plugin. Starting that takes longer than a whole ADD; so whether there is a link to probe on is asked first, here.
"""

import posix
import sys
import time
from _signal import SIGKILL
from _socket import AF_NETLINK, AF_UNIX, SHUT_WR, SOCK_CLOEXEC, SOCK_RAW, SOCK_STREAM, socket, socketpair

from cni.errors import ADDRESS_CONFLICT, GATEWAY_UNREACHABLE, INTERNAL, TRY_AGAIN_LATER, CNIError
from cni.plugin import ip_address
from cni.plugin.interrupts import Waiting
from cni.plugin.json_text import encode
from cni.plugin.validation import Invalid, validate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cni.plugin.operations import Call
    from cni.plugin.parameters import Attachment
    from cni.plugin.result import Address

_ANSWER_LIMIT = 65536  # bytes
_NOT_RUN = "the address could not be probed, as the agent asks for: install the release again, or report the details"

# linux/rtnetlink.h, linux/net_namespace.h, linux/if_link.h
_NLMSG_ERROR, _RTM_GETLINK, _RTM_NEWNSID, _RTM_GETNSID = 2, 18, 88, 90
_REQUEST, _REQUEST_ACK = 1, 5
_NETNSA_NSID, _NETNSA_FD, _IFLA_IFNAME, _IFLA_TARGET_NETNSID = 1, 3, 3, 46
_SOL_NETLINK, _NETLINK_GET_STRICT_CHK = 270, 12
_NO_SUCH_DEVICE = (-19).to_bytes(4, sys.byteorder, signed=True)


def probe(call: "Call", addresses: "list[Address]") -> None:
    """Have an ADD's addresses probed as the agent asks; the log tells of it. Codes 5, 8, 11, 102, 103, 999.

    An interface that is not there yet is no error: Calico calls before it makes one. A probe that was asked for and
    could not be made is one: a warning would be read when the pod runs already, under an address that is taken.
    """
    try:
        call.notes["detection"] = run(call.attachment, addresses, call.agent.deadline)
    except CNIError as error:
        if error.code in (ADDRESS_CONFLICT, GATEWAY_UNREACHABLE):
            # Of a live pod only this frees an address. What it refuses stays with the pod.
            failure = call.agent.release_conflicting(call.attachment, call.netconf)
            call.agent.may_hold = failure != ""
            if failure:
                call.notes["conflict"] = failure
        raise


def run(attachment: "Attachment", addresses: "list[Address]", deadline: float) -> str:
    """Have the addresses probed; return one line about it. Codes as `probe`."""
    if _lacks_link(attachment.netns, attachment.ifname):
        return f"skipped: {attachment.ifname} is not in {attachment.netns} yet"
    request = {
        "netns": attachment.netns,
        "ifname": attachment.ifname,
        "addresses": [
            {
                "address": ip_address.text(address.packed),
                "gateway": address.gateway,
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


def _lacks_link(netns: str, ifname: str) -> bool:
    """Tell whether the kernel says that the namespace lacks the link; False where it cannot say (before Linux 4.20).

    Over netlink nobody needs to enter the namespace. It gets an ID in ours, as with the first veth between the two.
    """
    namespace = -1
    netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0)
    try:
        # Without this an older kernel would overlook the ID and answer about our own namespace.
        netlink.setsockopt(_SOL_NETLINK, _NETLINK_GET_STRICT_CHK, 1)
        namespace = posix.open(netns, posix.O_RDONLY | posix.O_NONBLOCK | posix.O_CLOEXEC)
        by_fd = bytes(4) + _attribute(_NETNSA_FD, _bytes(namespace, 4))
        # Whatever comes back: it may have an ID already.
        _ask_kernel(netlink, _RTM_NEWNSID, by_fd + _attribute(_NETNSA_NSID, b"\xff\xff\xff\xff"))
        kind, nsid = _ask_kernel(netlink, _RTM_GETNSID, by_fd)
        if kind != _RTM_NEWNSID:
            return False
        by_name = _attribute(_IFLA_TARGET_NETNSID, nsid[8:12]) + _attribute(_IFLA_IFNAME, ifname.encode() + b"\0")
        kind, answer = _ask_kernel(netlink, _RTM_GETLINK, bytes(16) + by_name)
        return kind == _NLMSG_ERROR and answer[:4] == _NO_SUCH_DEVICE
    except FileNotFoundError:
        return True  # not even the namespace: whoever is to use it says so better
    except OSError:
        return False
    finally:
        netlink.close()
        if namespace >= 0:
            posix.close(namespace)


def _ask_kernel(netlink: socket, kind: int, body: bytes) -> tuple[int, bytes]:
    """Return type and body of the kernel's answer; to RTM_NEWNSID that is its error number, 0 for none."""
    flags = _REQUEST_ACK if kind == _RTM_NEWNSID else _REQUEST
    netlink.send(_bytes(16 + len(body), 4) + _bytes(kind, 2) + _bytes(flags, 2) + bytes(8) + body)
    answer = netlink.recv(_ANSWER_LIMIT)
    return int.from_bytes(answer[4:6], sys.byteorder), answer[16:]


def _attribute(kind: int, value: bytes) -> bytes:
    return _bytes(4 + len(value), 2) + _bytes(kind, 2) + value + bytes(-len(value) % 4)


def _bytes(number: int, size: int) -> bytes:
    return number.to_bytes(size, sys.byteorder)


def _ask_child(request: bytes, deadline: float) -> bytes:
    """Run `spiderpool-ipam detect`; return what it printed. Codes 11, 999."""
    pid = 0
    ours, its = socketpair(AF_UNIX, SOCK_STREAM)
    try:
        try:
            pid = _start(its.fileno())
        finally:
            its.close()
        with Waiting():
            return _exchange(ours, request, deadline)
    except TimeoutError:
        text = "the probing of the address, which the agent asks for, did not end in time: is the node overloaded?"
        raise CNIError(TRY_AGAIN_LATER, text) from None
    except OSError as error:
        raise CNIError(INTERNAL, _NOT_RUN, str(error)) from None
    finally:
        ours.close()
        if pid:
            _end(pid)


def _exchange(child: socket, request: bytes, deadline: float) -> bytes:
    _limit(child, deadline)
    output = b""
    try:
        child.sendall(request)
        child.shutdown(SHUT_WR)
    except (BrokenPipeError, ConnectionResetError):
        pass  # it has ended already; what it said is still to be heard
    try:
        while len(output) < _ANSWER_LIMIT and (piece := child.recv(_ANSWER_LIMIT)):
            output += piece
            _limit(child, deadline)
    except ConnectionResetError:
        pass  # it ended before it had read all
    return output


def _limit(child: socket, deadline: float) -> None:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    child.settimeout(left)


def _start(its: int) -> int:
    """Start the child with a socket for stdin, stdout and stderr: what it says when it crashes is wanted, too."""
    bundle = getattr(sys, "_MEIPASS", None)
    program = [bundle + "/../spiderpool-ipam"] if bundle else [sys.executable, "-m", "cni.cli"]
    actions = [(posix.POSIX_SPAWN_DUP2, its, descriptor) for descriptor in (0, 1, 2)]
    return posix.posix_spawn(program[0], [*program, "detect"], {}, file_actions=actions, setsigmask=())


def _end(pid: int) -> None:
    """Reap the child, which has said all or is out of time."""
    try:
        posix.kill(pid, SIGKILL)
        posix.waitpid(pid, 0)
    except OSError:
        pass  # whoever called us has children reaped by the kernel


def _parsed(output: bytes) -> "dict[str, Any]":
    """Return the answer: the last line, as a warning may stand before it. Code 999."""
    last = output.rstrip().rpartition(b"\n")[2]
    field = "typed-dict-field"
    fields = {"code": {"type": "int"}, "msg": {"type": "str"}, "details": {"type": "str"}}
    schema = {"type": "typed-dict", "fields": {key: {"type": field, "schema": fields[key]} for key in fields}}
    try:
        return validate(schema, last)  # type: ignore[no-any-return]
    except Invalid:
        raise CNIError(INTERNAL, _NOT_RUN, last.decode("utf-8", "replace") or "no answer") from None
