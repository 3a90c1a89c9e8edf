"""What doctor finds on this node, for whoever asks watch. Side effect: runs doctor, in a process of its own.

A process of its own needs no memory while nobody asks, and can be killed when it hangs. However many ask, there is one
at a time, and what it has said is kept for a while. So asking costs the node no more than KEPT lets it.
"""

import json
import subprocess
import sys
import threading
import time
from contextlib import suppress
from http import HTTPStatus

from cni.contracts.doctor import NodeReport
from cni.installer.bundle import own
from cni.installer.node.folders import Folders
from cni.installer.node.os_errors import one_line

KEPT = 30.0  # seconds: one report takes some 0.4 s of a core
TIME_LIMIT = 20.0  # seconds for doctor
_PATIENCE = 1.5  # seconds for one who asks: who serves has three for all
_END = 1.0  # seconds in which a killed process is gone, unless it hangs in the kernel
_MOST_BYTES = 1 << 20


class Reports:
    """The latest report."""

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self._changed = threading.Condition()
        self._is_being_made = False
        self._made_at = -KEPT  # by the monotonic clock
        self._process: subprocess.Popen[bytes] | None = None  # the latest doctor
        self._answer: tuple[HTTPStatus, bytes] = HTTPStatus.SERVICE_UNAVAILABLE, b""

    def answer(self) -> tuple[HTTPStatus, bytes]:
        """Return an HTTP status and the report as JSON, or why there is none."""
        with self._changed:
            if not self._is_being_made and time.monotonic() - self._made_at >= KEPT:
                self._is_being_made = True
                threading.Thread(target=self._make, daemon=True).start()
            if self._changed.wait_for(lambda: not self._is_being_made, _PATIENCE):
                return self._answer
            return HTTPStatus.SERVICE_UNAVAILABLE, _because("the report is being made: ask again in a second")

    def _make(self) -> None:
        answer = self._ask()
        with self._changed:
            self._answer, self._made_at, self._is_being_made = answer, time.monotonic(), False
            self._changed.notify_all()

    def _ask(self) -> tuple[HTTPStatus, bytes]:
        if self._process and self._process.poll() is None:  # another would hang as well, and they would add up
            return _failed("doctor was killed, and has not ended yet: it hangs in the kernel")
        made_at = time.time()
        try:
            report: NodeReport = {"made_at": made_at, "report": json.loads(self._output())}
        except TimeoutError:
            return _failed(f"doctor has not ended within {TIME_LIMIT:g} s")
        except OSError as error:
            return _failed(one_line(error))
        except ValueError:
            return _failed("doctor has printed no report")
        return HTTPStatus.OK, json.dumps(report).encode()

    def _output(self) -> bytes:
        """Return what doctor prints. OSError; TimeoutError: it does not end."""
        pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
        # S603: it is this program itself. There is no `with`, which would wait without a limit.
        process = self._process = subprocess.Popen(self._command, stdin=nowhere, stdout=pipe, stderr=nowhere)  # noqa: S603
        try:
            output, _ = process.communicate(timeout=TIME_LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_END)
            raise TimeoutError from None
        finally:
            if process.stdout:
                process.stdout.close()
        return output if len(output) <= _MOST_BYTES else b""


def command(folders: Folders, *, with_pods: bool) -> list[str]:
    """Return the command line of doctor for this node; with or without what tells of pods."""
    tree = own.tree()
    program = [str(tree / "spiderpool-ipam")] if tree else [sys.executable, "-m", "cni.cli"]
    names = [f"--cni-bin-dir={folders.bin_name}", f"--cni-conf-dir={folders.conf_name}"]
    options = ["--node-only", "--json", f"--host-root={folders.root.path}", *names]
    return [*program, "doctor", *options, *([] if with_pods else ["--no-pods"])]


def _failed(text: str) -> tuple[HTTPStatus, bytes]:
    return HTTPStatus.INTERNAL_SERVER_ERROR, _because(text)


def _because(text: str) -> bytes:
    """Return a reason in the form of the API server's, by which it comes through its proxy."""
    return json.dumps({"message": text}).encode()
