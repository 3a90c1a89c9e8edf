"""Asks a plugin for the CNI versions that it speaks, as a runtime does. Side effect: runs it."""

import json
import subprocess
from contextlib import suppress
from pathlib import Path

from cni.deadline import Deadline
from cni.installer.bundle.sums import Stop
from cni.installer.node.os_errors import one_line

_STEP = 0.1  # seconds between two looks whether to stop
_END = 1.0  # seconds in which a killed process is gone, unless it hangs in the kernel: on a dead disk, say


def ask(plugin: Path, seconds: float, stop: Stop) -> str:
    """Run VERSION; return what is wrong with the answer on one line, "" for nothing.

    The plugin is killed after `seconds`, or when `stop` returns True; then nothing is found to be wrong.
    """
    pipe = subprocess.PIPE
    try:
        # S603: it is a file of our own bundle.
        process = subprocess.Popen(  # noqa: S603
            [plugin], env={"CNI_COMMAND": "VERSION"}, stdin=pipe, stdout=pipe, stderr=pipe
        )  # an empty stdin without /dev/null, which a bare root folder lacks
    except OSError as error:
        return one_line(error)
    deadline = Deadline(seconds)
    while deadline.left() and not stop():
        with suppress(subprocess.TimeoutExpired):
            said = process.communicate(timeout=min(_STEP, deadline.left()))
            return _fault(process.returncode, *said)
    process.kill()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_END)
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            stream.close()
    return "" if stop() else f"no answer within {seconds:g} s"


def _fault(status: int, output: bytes, errors: bytes) -> str:
    try:
        if status == 0 and json.loads(output)["supportedVersions"]:
            return ""
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    said = (output + errors).decode(errors="backslashreplace")
    return f"exit status {status}: {' '.join(said.split())[:200]}"
