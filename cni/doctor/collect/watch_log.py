"""Reads the last lines of watch's log out of the journal. Side effect: runs journalctl.

In a container there is no journal: there, `kubectl logs` has them.
"""

import subprocess
from pathlib import Path

from cni.installer.errors import InstallerError

_UNIT = "spiderpool-ipam-watch.service"  # of build/install.sh
_LINES = 200
_LONGEST = 1000  # characters of a line
_TIMEOUT = 5.0  # seconds


def read(root: Path) -> list[str]:
    """Return the lines, each with its time. InstallerError says why there are none to be had."""
    command = ["journalctl", f"--root={root}", f"--unit={_UNIT}", f"--lines={_LINES}", "--output=short-iso", "--quiet"]
    try:
        done = subprocess.run(  # noqa: S603
            [*command, "--no-pager"], stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT, check=False
        )
    except FileNotFoundError:
        raise InstallerError("there is no journalctl here: kubectl logs shows watch's log in a cluster") from None
    except subprocess.TimeoutExpired:
        raise InstallerError(f"journalctl has not answered within {_TIMEOUT:.0f} s") from None
    if done.returncode:
        raise InstallerError(f"journalctl ended with exit status {done.returncode}")
    return [line[:_LONGEST] for line in done.stdout.decode(errors="backslashreplace").splitlines()]
