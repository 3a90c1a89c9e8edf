"""Where a process begins that continues from the image: everything is imported, every validator is built, and what an
ADD, a DEL and a VERSION compute was computed a few times.

When the bundle is built, build/image runs this module in the place of `__main__`, up to the first system call of
`interrupts.take_over`. What the process is then is the image. On the node the launcher maps it, fills `_room` with what
its caller gave it, and goes on with that call. So nothing that is imported here may remember anything of the process:
what is the same at every call is above that line, and what is not is below. docs/design/image.md lists both.
"""

import posix
import sys

from cni.plugin import (
    _rare_validators,
    _validators,
    interrupts,
    log,
    netconf,
    operations,
    parameters,
    validation,
)
from cni.plugin.__main__ import main
from cni.plugin.agent_client import AgentClient
from cni.plugin.call import Call
from cni.plugin.http1 import decode_response
from cni.plugin.json_text import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ROOM = 256 << 10  # bytes for the caller's environment; one that is larger is no matter for the image
# The launcher writes here: two numbers of eight bytes, how many bytes there are in all and how many arguments; then,
# each with a zero byte behind it, its own path, the arguments, the environment. The tracer is told where this is by a
# read from a descriptor that is none.
_room = bytearray(ROOM)

# CPython 3.11 gives a function that has run eight times instructions for what it has met there, and remembers where it
# has found an attribute. A call that has it from the image takes a tenth less, and copies fewer pages to write it down.
_REHEARSALS = 20
_ENVIRONMENT = (
    b"CNI_CONTAINERID=" + b"0" * 64,
    b"CNI_NETNS=/var/run/netns/rehearsal",
    b"CNI_IFNAME=eth0",
    b"CNI_PATH=/opt/cni/bin",
    b"CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=rehearsal;K8S_POD_UID=0",
)
_HANDED_OVER = b"\0".join((bytes(8) + (1).to_bytes(8, "little") + b"/spiderpool", b"spiderpool", *_ENVIRONMENT, b""))
# Nothing is logged at this level, because nothing fails.
_DOCUMENT = b"""{"cniVersion": "1.0.0", "name": "k8s-pod-network", "type": "calico",
    "ipam": {"type": "spiderpool", "ipam_unix_socket_path": "/s", "log_level": "error"}}"""
_BODY = b"""{"ips": [{"version": 4, "address": "10.0.0.1/24", "nic": "eth0", "ipPool": "p", "gateway": "10.0.0.254",
    "vlan": 0}], "routes": [{"ifName": "eth0", "dst": "0.0.0.0/0", "gw": "10.0.0.254"}]}"""
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


class _Rehearsed(AgentClient):
    """An agent that is not there, and has answered."""

    def _exchange(self, request: bytes) -> tuple[int, bytes]:
        pieces = [_HEAD % len(_BODY) + _BODY]
        return decode_response(pieces.pop)


def start() -> None:
    """Run one call. It does not return."""
    for schemas in (_validators, _rare_validators):
        for name, schema in vars(schemas).items():
            if name.isupper():
                validation.build(schema)
    for _ in range(_REHEARSALS):
        rehearse()
    try:
        posix.readv(-1, [_room])
    except OSError:
        pass
    interrupts.take_over()  # the image ends before its first system call
    posix._exit(main(_take_up(), 0, 1, 2))


def rehearse() -> None:
    """Make the calls that a node makes most, but for all that waits, writes or asks the kernel what is true there.

    It leaves every global as it was (tests/image/test_rehearsal.py).
    """
    for command in ("ADD", "DEL", "VERSION"):
        _, _, environment = _handed_over(_HANDED_OVER)
        call = Call(command)
        call.attachment = parameters.read(command, environment)
        if command == "VERSION":
            encode(operations.cmd_version(_DOCUMENT))
            continue
        call.netconf = netconf.read_netconf(_DOCUMENT)
        call.agent = _Rehearsed(call.netconf.socket_path, call.deadline)
        encode(operations.COMMANDS[command](call))
        log.write_call(call, None, 0)


def _handed_over(room: bytes) -> "tuple[bytes, list[bytes], dict[bytes, bytes]]":
    """Return the program's path, the arguments and the environment that the launcher has written."""
    program, *rest = room[16:].split(b"\0")[:-1]
    count = int.from_bytes(room[8:16], "little")
    environment: dict[bytes, bytes] = {}
    for pair in rest[count:]:
        name, equals, value = pair.partition(b"=")
        if equals:
            environment.setdefault(name, value)
    return program, rest[:count], environment


def _take_up() -> "dict[bytes, bytes]":
    """Make this process its caller's; return the environment."""
    program, arguments, environment = _handed_over(bytes(_room[: int.from_bytes(_room[:8], "little")]))
    posix.environ.clear()
    posix.environ.update(environment)
    system: Any = sys
    system.executable = _text(program)
    system.argv, system.orig_argv = [_text(one) for one in arguments], [_text(one) for one in arguments]
    system._MEIPASS = system.executable.rpartition("/")[0] + "/_internal"
    system.path[:] = [system._MEIPASS]
    return environment


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


if __name__ == "__main__":
    start()
