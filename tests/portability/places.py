"""Places to run the bundle in: each a folder to chroot to, with its mounts in a mount namespace of its own.

A shell makes the mounts and then holds the namespace; it ends, and they with it, when its stdin is closed. That happens
when the test process dies as well, so nothing stays mounted. `nsenter` runs each program inside.
"""

import contextlib
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from tests import requirements

BIN = "/opt/cni/bin"
VERSIONS = ("0.1.0-aaaaaaaa", "0.1.0-bbbbbbbb")
NOBODY = 65534
# Where pytest's and the vectors' agent have their sockets: the same path inside, as the plugin gets it on stdin.
SHARED = "/tmp"

# The steps are shell, run with -eu; $root is the folder to be, the other variables are the step's arguments.
EMPTY_ROOT = """
mount -t tmpfs -o mode=755 tmpfs "$root"
mkdir "$root/bin" "$root/tmp" "$root/opt"
cp "$busybox" "$root/bin/busybox"
"""
PROC = """
mkdir -p "$root/proc"
mount -t proc proc "$root/proc"
"""
DEBIAN_ROOT = """
mount --bind "$debian" "$root"
mount -o remount,bind,ro "$root"
"""
HOST_ROOT = """
for path in /bin /sbin /lib* /usr; do
    if [ -L "$path" ]; then
        cp -P "$path" "$root$path"
    else
        mkdir -p "$root$path"
        mount --bind -o ro "$path" "$root$path"
    fi
done
"""
TRAPS = """
cp -r "$traps" "$root/traps"
mkdir "$root/etc"
echo /traps/preload.so >"$root/etc/ld.so.preload"
"""
BUNDLE = """
mount -t tmpfs -o mode=755 tmpfs "$root/opt"
mkdir -p "$root$bin"
mount --bind "$tree" "$root$bin"
mount -o remount,bind,ro "$root$bin"
"""
TWO_VERSIONS = """
mkdir -p "$root$bin/.spiderpool"
for version in $versions; do
    mkdir "$root$bin/.spiderpool/$version"
    mount --bind "$tree" "$root$bin/.spiderpool/$version"
    mount -o remount,bind,ro "$root$bin/.spiderpool/$version"
done
ln -s "$version" "$root$bin/.spiderpool/current"
ln -s .spiderpool/current/spiderpool "$root$bin/spiderpool"
"""
HOLD = """
mount --bind /tmp "$root/tmp"
echo ready
exec cat
"""


class Place:
    """Where programs are run: chrooted, as `uid`, with the variables of `surroundings` on top of their own."""

    def __init__(self, holder: int, root: str) -> None:
        self.root = Path(f"/proc/{holder}/root{root}")
        self.plugin = f"{BIN}/spiderpool"
        self.operator = f"{BIN}/spiderpool-ipam"
        self.uid = 0
        self.working_folder = "/"
        self.surroundings: dict[str, str] = {}
        self._enter = [requirements.need_program("nsenter"), f"--target={holder}", "--mount", f"--root={self.root}"]

    def command(self, *program: str | Path, folder: str = "") -> list[str]:
        """Return the command that runs a program of the place, in one of its folders."""
        user = [f"--setgid={self.uid}", f"--setuid={self.uid}"] if self.uid else []
        # A static program sets the variables, as nsenter itself would fall for them.
        variables = [f"{name}={value}" for name, value in self.surroundings.items()]
        setting = ["/bin/busybox", "env", *variables] if variables else []
        working_folder = f"--wd={self.root}{folder or self.working_folder}"
        return [*self._enter, working_folder, *user, "--", *setting, *map(str, program)]

    def run(
        self, *program: str | Path, environ: Mapping[Any, Any] | None = None, folder: str = "", stdin: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a program of the place to its end."""
        command = self.command(*program, folder=folder)
        return subprocess.run(command, env=environ or {}, input=stdin, capture_output=True, timeout=60)

    def call(self, environ: Mapping[bytes, bytes], stdin: int, stdout: int, stderr: int) -> int:
        """Run the plugin for a vector (tests.vectors.Main)."""
        document = b"".join(iter(lambda: os.read(stdin, 65536), b""))
        if self.uid:
            self._give_away(document)
        command = self.command(self.plugin)
        return subprocess.run(
            command, env=environ, input=document, stdout=stdout, stderr=stderr, timeout=60
        ).returncode
