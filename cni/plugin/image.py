"""Where a process begins that continues from the image: everything is imported, and every validator is built.

When the bundle is built, build/image runs this module in the place of `__main__`, up to the first system call of
`interrupts.take_over`. What the process is then is the image. On the node the launcher maps it, fills `_ROOM` with what
its caller gave it, and goes on with that call. So nothing that is imported here may remember anything of the process:
what is the same at every call is above that line, and what is not is below. cni/README.md lists both.
"""

import posix
import sys

from cni.plugin import (
    _rare_validators,
    _validators,
    interrupts,
    validation,
)
from cni.plugin.__main__ import main

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ROOM = 256 << 10  # bytes for the caller's environment; one that is larger is no matter for the image
# The launcher writes here: two numbers of eight bytes, how many bytes there are in all and how many arguments; then,
# each with a zero byte behind it, its own path, the arguments, the environment. The tracer is told where this is by a
# read from a descriptor that is none.
_room = bytearray(ROOM)


def start() -> None:
    """Run one call. It does not return."""
    for schemas in (_validators, _rare_validators):
        for name, schema in vars(schemas).items():
            if name.isupper():
                validation.build(schema)
    try:
        posix.readv(-1, [_room])
    except OSError:
        pass
    interrupts.take_over()  # the image ends before its first system call
    posix._exit(main(_take_up(), 0, 1, 2))


def _take_up() -> "dict[bytes, bytes]":
    """Make this process its caller's; return the environment."""
    size, count = [int.from_bytes(_room[start : start + 8], "little") for start in (0, 8)]
    program, *rest = bytes(_room[16:size]).split(b"\0")[:-1]
    environment: dict[bytes, bytes] = {}
    for pair in rest[count:]:
        name, equals, value = pair.partition(b"=")
        if equals:
            environment.setdefault(name, value)
    posix.environ.clear()
    posix.environ.update(environment)
    system: Any = sys
    system.executable = _text(program)
    system.argv, system.orig_argv = [_text(one) for one in rest[:count]], [_text(one) for one in rest[:count]]
    system._MEIPASS = system.executable.rpartition("/")[0] + "/_internal"
    system.path[:] = [system._MEIPASS]
    return environment


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


if __name__ == "__main__":
    start()
