"""The namespaces that the lab lives in: network, mounts, processes, IPC and host name of its own.

Whatever the lab starts, mounts or links is in them. When the process that was started first ends, in whatever way, the
kernel ends the first process in the sandbox, with it all others, and then removes mounts and links. So nothing has to
be cleaned up, and nothing can be left.
"""

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.processes import FOLDER
from tests.lab.programs import ROOT

INSIDE = "--inside"
_KINDS = ["--net", "--mount", "--propagation=private", "--pid", "--fork", "--kill-child", "--ipc", "--uts"]


class OccupiedError(Exception):
    """Another lab is running out of this checkout."""


@contextmanager
def alone() -> Iterator[int]:
    """Have no other lab run out of this checkout until the block ends; give the lock. OccupiedError."""
    # The lock is on the folder of the lab, so that there is no file to be left. It ends with this process.
    lock = os.open(Path(__file__).parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OccupiedError from None
        yield lock
    finally:
        os.close(lock)


def enter(arguments: list[str], stdin: int | None = None) -> int:
    """Run the lab with these arguments in a sandbox; return its exit status."""
    # A terminal sends SIGINT to this process only; SIGTERM and SIGKILL end it, and setpriv's signal ends the rest.
    command = ["setpriv", "--pdeathsig=KILL", "unshare", *_KINDS, sys.executable, "-m", "tests.lab", INSIDE, *arguments]
    try:
        return subprocess.run(command, cwd=ROOT, stdin=stdin, start_new_session=True).returncode
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def furnish() -> int:
    """Mount what the sandbox has of its own, and make the lab's folder. To be called inside.

    Return the PID that this process has outside, which only the /proc from there tells.
    """
    pid = int(Path("/proc/self/stat").read_text().split()[0])
    for kind, target in (("proc", "/proc"), *(("tmpfs", path) for path in ("/run", "/dev/shm", "/var/tmp"))):
        subprocess.run(["mount", "-t", kind, "lab", target], check=True)
    subprocess.run(["hostname", "router"], check=True)
    # The nodes mount folders of their own over those of the first line.
    for path in ("/run/calico", "/run/spidernet", "/run/netns", FOLDER / "tmp", FOLDER / "logs"):
        Path(path).mkdir(parents=True)
    return pid
