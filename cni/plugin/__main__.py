"""Where the plugin `spiderpool` starts and ends. The only writer of stdout.

Every import is counted here: a Go plugin is up in 18 ms, and `import json` alone takes 6. So nothing is loaded but
built-in modules, the leaves (cni.errors, cni.defaults, …) and this package's own modules; pydantic works through its
extension alone (validation.py). tests/plugin/test_import_budget.py keeps it so.
"""

import posix
import time

from cni.cni_versions import LATEST, WHEN_EMPTY
from cni.deadline import Deadline
from cni.errors import INTERNAL, IO_FAILURE, TRY_AGAIN_LATER, CNIError
from cni.plugin import interrupts, log
from cni.plugin.call import Call
from cni.plugin.json_text import encode
from cni.plugin.netconf import stated_version
from cni.plugin.operations import run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

STDIN_LIMIT = 16 * 1024 * 1024  # bytes
DETAILS_LIMIT = 300  # bytes: libcni joins msg and details into the pod's event
_PRINT_TIMEOUT = 2  # seconds beyond the call's deadline, for a reader of stdout that is slow


def main(environ: "Mapping[bytes, bytes]", stdin: int, stdout: int, stderr: int) -> int:
    """Run one CNI call over the given file descriptors; return the exit status: 0, or 1 with an error object."""
    started = time.monotonic()
    command = environ.get(b"CNI_COMMAND", b"").decode("utf-8", "replace")
    if not command:
        from cni.plugin import about

        _tell(stderr, about.text())
        return 0
    call = Call(command)
    document = b""
    error = output = None
    try:
        document = _read(stdin, call.deadline)
        output = run(call, environ, document)
    except CNIError as raised:
        error = raised
    except KeyboardInterrupt as raised:
        error = CNIError(TRY_AGAIN_LATER, f"{command} was stopped by a signal", str(raised))
    except BaseException as raised:
        error = CNIError(INTERNAL, "internal error: please report it", f"{type(raised).__name__}: {raised}")
    interrupts.finish()
    if error:
        _give_back(call)
        output = _error_object(error, document)
    if output is not None:
        try:
            interrupts.write(stdout, encode(output), Deadline(max(call.deadline.left(), _PRINT_TIMEOUT)))
        except (OSError, KeyboardInterrupt) as failure:
            if not error:
                from cni.plugin import stream_errors

                error = stream_errors.of_stdout(failure)
                _give_back(call)
    warning = log.write_call(call, error, time.monotonic() - started)
    if warning:
        _tell(stderr, f"spiderpool: {warning}\n")
    return 1 if error else 0


def _give_back(call: Call) -> None:
    """Leave nothing held after an ADD that failed. If that fails as well, the ADD's own error is still reported."""
    if call.command == "ADD":
        try:
            from cni.plugin import recovery

            recovery.give_back(call)
        except BaseException as failure:
            call.log_fields["warning"] = f"not given back: {failure}"


def _read(stdin: int, deadline: Deadline) -> bytes:
    pieces = []
    left = STDIN_LIMIT
    try:
        while piece := interrupts.read(stdin, 65536, deadline):
            left -= len(piece)
            if left < 0:
                raise CNIError(IO_FAILURE, f"stdin holds more than {STDIN_LIMIT} bytes")
            pieces.append(piece)
    except OSError as error:
        from cni.plugin import stream_errors

        raise stream_errors.of_stdin(error) from None
    return b"".join(pieces)


def _tell(stderr: int, text: str) -> None:
    try:
        interrupts.write(stderr, text.encode("utf-8", "replace"), Deadline(0))
    except (OSError, KeyboardInterrupt):
        pass  # nobody wants to know, or reads it now: no call waits for that


def _error_object(error: CNIError, document: bytes) -> "dict[str, Any]":
    """Return the error object (CNI specification section 5, "Error"): each text on one line, details short."""
    try:
        version = stated_version(document)
    except BaseException:
        version = None
    out = {
        "cniVersion": LATEST if version is None else version or WHEN_EMPTY,
        "code": error.code,
        "msg": _one_line(error.msg),
    }
    details = _one_line(error.details).encode("utf-8", "replace")
    if len(details) > DETAILS_LIMIT:
        details = details[: DETAILS_LIMIT - 3] + "…".encode()
    return {**out, "details": details.decode("utf-8", "ignore")} if details else out


def _one_line(text: str) -> str:
    return "".join([c if c.isprintable() else "?" for c in " ".join(text.split())])


if __name__ == "__main__":
    interrupts.take_over()
    # No interpreter shutdown, which is a quarter of an ADD's instructions: there is nothing left to flush.
    posix._exit(main(posix.environ, 0, 1, 2))
