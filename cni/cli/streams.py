"""stdout and stderr of the operator program: what cannot be written stops no work, and is told once, at the end.

Either may be closed, on a full disk, or a pipe whose reader has gone. Python would raise at a write in the middle of
the work, and once more when it exits, with "Exception ignored" and a traceback. Side effects: replaces `sys.stdout` and
`sys.stderr`, and writes to them.
"""

import errno
import io
import os
import sys
from typing import TYPE_CHECKING

import click

from cni import ready

if TYPE_CHECKING:
    from typing_extensions import Buffer


class Output(io.RawIOBase):
    """A descriptor that takes every write; `error` is the first one that failed."""

    def __init__(self, descriptor: int) -> None:
        """Write to this descriptor, which stays open."""
        self._descriptor = descriptor
        self.error: OSError | None = None

    def writable(self) -> bool:
        """Tell that it can be written to."""
        return True

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Tell whether it is a terminal."""
        return os.isatty(self._descriptor)

    def write(self, data: "Buffer") -> int:
        """Write what can be written, and drop what cannot."""
        while True:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:  # whoever shares this descriptor has made it so
                ready.to_write(self._descriptor)
            except OSError as error:
                self.error = self.error or error
                return memoryview(data).nbytes


def replace_streams() -> Output:
    """Put such outputs in the place of stdout and stderr; return that of stdout. One that is closed becomes None."""
    outputs = {"stdout": Output(1), "stderr": Output(2)}
    for name, output in outputs.items():
        stream = getattr(sys, name)
        if stream is None or _is_closed(output.fileno()):
            setattr(sys, name, None)
            continue
        # What is no text, as half a surrogate pair or a file's name that is not UTF-8, is escaped.
        text = io.TextIOWrapper(io.BufferedWriter(output), stream.encoding, "backslashreplace", line_buffering=True)
        setattr(sys, name, text)
    return outputs["stdout"]


def exit_status(status: int, stdout: Output) -> int:
    """Return the exit status of a command that ended with `status`; say so on stderr if its output was not written.

    A reader that has gone, as `head` does, has what it wanted, so nothing is said about it.
    """
    if sys.stdout is not None:
        sys.stdout.flush()
    if stdout.error is None:
        return status
    if stdout.error.errno != errno.EPIPE:
        from cni.installer.node.os_errors import one_line

        click.echo(f"Error: {one_line(stdout.error)}", err=True)
    return status or 1


def _is_closed(descriptor: int) -> bool:
    """Tell whether it was closed at the start, which Python does not see: the launcher has filled its place."""
    try:
        os.write(descriptor, b"")
    except OSError as error:
        return error.errno == errno.EBADF
    return False
