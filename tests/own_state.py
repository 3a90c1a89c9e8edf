"""Runs a program with a /var/lib of its own, because the plugin keeps pending releases at a fixed path below it."""

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

_MOUNT = 'mount -t tmpfs none /var/lib && mkdir /var/lib/spiderpool-ipam && mount --bind "$0" /var/lib/spiderpool-ipam'


def with_own_state(folder: Path, *command: str | Path) -> list[str]:
    """Return the command that runs `command` in a /var/lib that holds `folder` as spiderpool-ipam, and nothing else."""
    return [*_unshare(), "/bin/sh", "-c", f'{_MOUNT} && exec "$@"', str(folder), *map(str, command)]


@cache
def can_have_own_state(program: Path) -> bool:
    """Tell whether this machine allows that, to root or in a user namespace, and the program is not below /var/lib."""
    if not _unshare() or subprocess.run([*_unshare(), "/bin/true"], capture_output=True).returncode:
        return False
    return not program.resolve().is_relative_to("/var/lib")


def _unshare() -> list[str]:
    program = shutil.which("unshare")
    as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return [program, *as_root, "--mount"] if program else []
