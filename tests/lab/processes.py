"""Runs the lab's programs and waits for what they bring about. Nothing waits without a limit.

Side effects: processes, and their logs below FOLDER. All of them end with the sandbox.
"""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.waiting import SLACK

FOLDER = Path("/run/lab")  # in the sandbox's own /run
IMAGE = FOLDER / "calico-cni"  # the root of Calico's installer, as in its image
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_POLL = 0.1  # seconds

Word = str | Path
Environ = dict[str, str]


class LabError(Exception):
    """Something was not seen that had to be, or a program failed. The text is for people."""


def environment(more: Environ | None = None) -> dict[str, str]:
    """Return what every program of the lab gets, so that it writes to no folder of the machine."""
    return {"PATH": PATH, "HOME": str(FOLDER), "TMPDIR": str(FOLDER / "tmp"), "LC_ALL": "C.UTF-8", **(more or {})}


def run(*command: Word, stdin: str = "", seconds: float = 30, environ: Environ | None = None) -> str:
    """Run a program and return its output. LabError has what it said."""
    try:
        done = subprocess.run(
            command, input=stdin, env=environment(environ), capture_output=True, text=True, timeout=seconds + SLACK
        )
    except subprocess.TimeoutExpired:
        raise LabError(f"`{_line(command)}` has not ended within {seconds + SLACK:.0f} s") from None
    except OSError as error:
        raise LabError(f"`{_line(command)}`: {error}") from None
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())
        raise LabError(f"`{_line(command)}` ended with {done.returncode}: {said[-500:]}")
    return done.stdout


def start(*command: Word, log: Path, environ: Environ | None = None) -> "subprocess.Popen[bytes]":
    """Start a program whose output goes to a log."""
    with log.open("a") as output:
        return subprocess.Popen(
            command, env=environment(environ), stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )


def stop(process: "subprocess.Popen[bytes]", seconds: float = 5) -> None:
    """End a program by SIGTERM, and by SIGKILL if that is not enough."""
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_until(condition: Callable[[], bool], what: str, seconds: float) -> float:
    """Wait until a condition holds; return the seconds it took. A machine that is slow has SLACK on top.

    LabError says what did not come, and what the condition itself has failed with, if it did.
    """
    started, reason = time.monotonic(), ""
    while True:
        try:
            if condition():
                return time.monotonic() - started
            reason = ""
        except LabError as failure:
            reason = f": {failure}"
        if time.monotonic() - started > seconds + SLACK:
            raise LabError(f"waited {seconds + SLACK:.0f} s for {what}{reason}")
        time.sleep(_POLL)


def wait_for_line(process: "subprocess.Popen[bytes]", log: Path, text: str, seconds: float) -> None:
    """Wait until a program has written a text to its log."""

    def said() -> bool:
        if text in log.read_text():
            return True
        if process.poll() is not None:
            raise SystemExit(f"it ended with {process.returncode}; {log}: {log.read_text()[-500:]}")
        return False

    try:
        wait_until(said, f"{text!r} in {log}", seconds)
    except SystemExit as ended:
        raise LabError(str(ended)) from None


def _line(command: tuple[Word, ...]) -> str:
    """Return a command as people type it, without the namespaces that it is run in."""
    words = [str(word) for word in command]
    if words[0] == "nsenter":
        words = [word for word in words if not word.startswith("-")][1:]
    line = " ".join([Path(words[0]).name, *words[1:]])
    return line if len(line) < 160 else f"{line[:160]} …"
