"""Where the plugin `spiderpool` starts and ends. The only writer of stdout.

Every import is counted here: a Go plugin is up in 18 ms, and `import json` alone takes 6. So nothing but built-in
modules, cni.errors, cni.cni_versions, cni.syntax and this package's own are loaded; pydantic works through its
extension alone (validation.py). tests/plugin/test_import_budget.py keeps it so.
"""

import posix
import time

from cni.cni_versions import LATEST, SUPPORTED, WHEN_EMPTY
from cni.errors import INTERNAL, IO_FAILURE, TRY_AGAIN_LATER, CNIError
from cni.plugin import interrupts, log
from cni.plugin.json_text import encode
from cni.plugin.netconf import stated_version
from cni.plugin.operations import Call, run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

STDIN_LIMIT = 16 * 1024 * 1024  # bytes
DETAILS_LIMIT = 300  # bytes: libcni joins msg and details into the pod's event
LOGGED_LIMIT = 65536  # characters of details

_ABOUT = f"""spiderpool: the CNI IPAM plugin for Calico with SpiderPool, run by a container runtime or a CNI plugin
CNI protocol versions supported: {", ".join(SUPPORTED)}
"""


def main(environ: "Mapping[bytes, bytes]", stdin: int, stdout: int, stderr: int) -> int:
    """Run one CNI call over the given file descriptors; return the exit status: 0, or 1 with an error object."""
    started = time.monotonic()
    command = environ.get(b"CNI_COMMAND", b"").decode("utf-8", "replace")
    if not command:
        _write(stderr, _ABOUT.encode())
        return 0
    call = Call(command)
    document = b""
    error = output = None
    try:
        document = _read(stdin)
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
            _write(stdout, encode(output))
        except OSError as failure:
            if not error:
                error = CNIError(IO_FAILURE, "cannot write the result to stdout", str(failure))
                _give_back(call)
    _log(call, error, started)
    return 1 if error else 0


def _give_back(call: Call) -> None:
    """Leave nothing held after an ADD that failed; whatever becomes of that, the first error stands."""
    if call.command == "ADD":
        try:
            from cni.plugin import recovery

            recovery.give_back(call)
        except BaseException as failure:
            call.notes["warning"] = f"not given back: {failure}"


def _read(stdin: int) -> bytes:
    pieces = []
    left = STDIN_LIMIT
    try:
        with interrupts.Waiting():
            while piece := posix.read(stdin, 65536):
                left -= len(piece)
                if left < 0:
                    raise CNIError(IO_FAILURE, f"stdin holds more than {STDIN_LIMIT} bytes")
                pieces.append(piece)
    except OSError as error:
        raise CNIError(IO_FAILURE, "cannot read the network configuration from stdin", str(error)) from None
    return b"".join(pieces)


def _write(descriptor: int, data: bytes) -> None:
    with interrupts.Waiting():
        while data:
            data = data[posix.write(descriptor, data) :]


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
    details = _one_line(error.details)
    if len(details.encode("utf-8", "replace")) > DETAILS_LIMIT:
        details = details.encode("utf-8", "replace")[: DETAILS_LIMIT - 3].decode("utf-8", "ignore") + "…"
    return {**out, "details": details} if details else out


def _one_line(text: str) -> str:
    return "".join([c if c.isprintable() else "?" for c in " ".join(text.split())])


def _log(call: Call, error: CNIError | None, started: float) -> None:
    """Log the call, all but VERSION: that one has no configuration and touches nothing."""
    if call.command == "VERSION":
        return
    record: dict[str, Any] = {"command": call.command}
    netconf, attachment, agent = [getattr(call, name, None) for name in ("netconf", "attachment", "agent")]
    if netconf:
        record["network"] = netconf.name
    if attachment:
        record.update(
            containerID=attachment.container_id,
            ifname=attachment.ifname,
            podNamespace=attachment.pod_namespace,
            podName=attachment.pod_name,
            podUID=attachment.pod_uid,
        )
    record["outcome"] = "error" if error else "ok"
    record["code"] = error.code if error else 0
    if error:
        record.update(msg=error.msg, details=error.details[:LOGGED_LIMIT])
    record.update(call.notes)
    record["ms"] = int((time.monotonic() - started) * 1000)
    record["agent_ms"] = int(agent.seconds * 1000) if agent else 0
    level = "error" if error else "warn" if "warning" in record or "pending" in record else "info"
    log.write(netconf.ipam if netconf else {}, level, record)


if __name__ == "__main__":
    interrupts.take_over()
    # No interpreter shutdown, which is a quarter of an ADD's instructions: there is nothing left to flush.
    posix._exit(main(posix.environ, 0, 1, 2))
