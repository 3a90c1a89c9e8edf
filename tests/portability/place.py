"""Places to run the bundle in: each a folder to chroot to, with its mounts in a mount namespace of its own.

A shell makes the mounts (place.sh) and holds the namespace until its stdin ends. That happens when the test process
dies as well, so nothing stays mounted on the host. `nsenter` runs each program inside.
"""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests import requirements
from tests.vectors import TIME_LIMIT

SCRIPT = Path(__file__).with_name("place.sh")
# The vectors are all about one pod and run at the same time, so each gets a folder of its own for pending releases.
OWN_STATE = """
mkdir -p "$0/var/lib/spiderpool-ipam"
mount -t tmpfs -o mode=777 tmpfs "$0/var/lib/spiderpool-ipam"
exec "$@"
"""
BIN = "/opt/cni/bin"


class Place:
    """A root folder in which programs run as `uid`, with the variables of `surroundings` in addition to their own."""

    def __init__(self, holder: int, root: str, folder: str) -> None:
        self.root = Path(f"/proc/{holder}/root{root}")  # as seen from outside, with its mounts
        self.bin = folder
        self.plugin, self.operator = f"{folder}/spiderpool", f"{folder}/spiderpool-ipam"
        self.uid = 0
        self.surroundings: dict[str, str] = {}
        self._working_folder = f"/proc/{holder}/cwd"
        self._enter = [requirements.need_program("nsenter"), f"--target={holder}", "--mount"]
        unshare = ["unshare", "--mount", "--propagation=private", "sh", "-euc", OWN_STATE, root, "nsenter"]
        self._with_own_state = [*self._enter, *unshare, f"--root={root}"]

    def command(self, *program: str, folder: str = "", has_own_state: bool = False) -> list[str]:
        """Return the command that runs a program of the place, in one of its folders."""
        enter = self._with_own_state if has_own_state else [*self._enter, f"--root={self.root}"]
        working_folder = f"{self.root}{folder}" if folder else self._working_folder
        user = [f"--setgid={self.uid}", f"--setuid={self.uid}"] if self.uid else []
        # The variables would break nsenter itself, so a static program adds them afterwards.
        variables = [f"{name}={value}" for name, value in self.surroundings.items()]
        adding = ["/bin/busybox", "env", *variables] if variables else []
        return [*enter, f"--wd={working_folder}", *user, "--", *adding, *program]

    def run(
        self, *program: str, environ: Mapping[str, str] | None = None, folder: str = "", stdin: bytes = b""
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end."""
        done = subprocess.run(
            self.command(*program, folder=folder),
            env=environ or {}, input=stdin, capture_output=True, timeout=TIME_LIMIT,
        )  # fmt: skip
        return subprocess.CompletedProcess(program, done.returncode, done.stdout.decode(), done.stderr.decode())

    def call_plugin(self, environ: Mapping[bytes, bytes], stdin: int, stdout: int, stderr: int) -> int:
        """Call the plugin as `tests.vectors.run` wants it."""
        document = b"".join(iter(lambda: os.read(stdin, 65536), b""))
        if self.uid:
            self._hand_over(document)
        command = self.command(self.plugin, has_own_state=True)
        return subprocess.run(
            command, env=environ, input=document, stdout=stdout, stderr=stderr, timeout=TIME_LIMIT
        ).returncode

    def _hand_over(self, document: bytes) -> None:
        """Give the vector's folder, which only its owner can open, to the user of the place."""
        for folder in map(os.fsdecode, set(re.findall(rb"/tmp/[^/\"]+(?=/agent\.sock|/log)", document))):
            for path in [folder, *[entry.path for entry in os.scandir(folder)]]:
                os.chown(path, self.uid, self.uid)


@contextmanager
def opened(*steps: str, folder: str = BIN, **variables: str | Path) -> Iterator[Place]:
    """Make a place by place.sh's steps, with the bundle in `folder`; it is gone when the block ends."""
    requirements.need_root()
    tree = requirements.need_frozen("spiderpool").parent
    command = [requirements.need_program("unshare"), "--mount", "--propagation=private", "sh", str(SCRIPT), *steps]
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="place-") as root:
        environ = {"PATH": os.environ["PATH"], "root": root, "tree": tree, "bin": folder, **variables}
        with subprocess.Popen(
            command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as holder:
            assert holder.stdout
            said = holder.stdout.readline()
            if said != "ready\n":
                requirements.missing(f"a place cannot be made: {said.strip()}")
            yield Place(holder.pid, root, folder)
