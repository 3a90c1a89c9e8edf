"""Other Debians, made by debootstrap from the mirror that apt uses, and kept in the user's cache for later runs."""

import fcntl
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from tests import requirements

FOLDER = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spiderpool-ipam/debians"
SUITES = ("bullseye", "trixie")


def root_of(suite: str) -> Path:
    """Return the root folder of a Debian release; the first call makes all of them at the same time."""
    requirements.need_root()
    complaint = _made()[suite]
    if complaint:
        requirements.missing(f"no mirror of apt's has {suite}: {complaint}")
    return FOLDER / suite


@cache
def _made() -> dict[str, str]:
    """Make those that do not exist yet; return for each suite what went wrong, if anything."""
    for program in ("debootstrap", "apt-get", "unshare"):
        requirements.need_program(program)
    with ThreadPoolExecutor() as pool:
        return dict(zip(SUITES, pool.map(_bootstrap, SUITES), strict=True))


def _bootstrap(suite: str) -> str:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / f"{suite}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (FOLDER / suite).exists():
            return ""
        complaint = "apt names no mirror"
        for site in _sites():
            partial = FOLDER / f"{suite}.partial"
            if partial.exists():
                shutil.rmtree(partial)
            # debootstrap mounts /proc, so it gets a mount namespace. It keeps the lock if this process is killed.
            command = ["unshare", "--mount", "debootstrap", "--variant=minbase", suite, str(partial), site]
            done = subprocess.run(command, capture_output=True, text=True, pass_fds=[lock.fileno()])
            if done.returncode == 0:
                partial.rename(FOLDER / suite)
                return ""
            complaint = (done.stdout + done.stderr).strip().rpartition("\n")[2]
        return complaint


def _sites() -> list[str]:
    done = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages"], capture_output=True, text=True
    )
    return list(dict.fromkeys(done.stdout.split()))
