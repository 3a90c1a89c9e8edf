"""A real systemd as the first process of namespaces of its own, with a root folder of its own (booted.sh)."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cni.installer.node.host_root import HostRoot
from tests import requirements
from tests.waiting import wait_for

SCRIPT = Path(__file__).with_name("booted.sh")
RUNNING = ("running", "degraded")  # what `systemctl is-system-running` says once all is started


class Machine:
    """A booted system. Paths are its own."""

    def __init__(self, first: int) -> None:
        self._root = HostRoot(Path(f"/proc/{first}/root"))
        self._enter = [
            "nsenter",
            f"--target={first}",
            "--all",
            f"--root={self._root.path}",
            f"--wd={self._root.path}",
            "--",
        ]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the machine to its end."""
        return subprocess.run(
            [*self._enter, *command], env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, capture_output=True, text=True,
            timeout=120,
        )  # fmt: skip

    def path(self, name: str) -> Path:
        """Return the path on this machine, with the links of the booted one followed."""
        return self._root.resolve(name)

    def write(self, name: str, text: str) -> None:
        """Write a file in place, and make the folders that it is in."""
        self.path(str(Path(name).parent)).mkdir(parents=True, exist_ok=True)
        self.path(name).write_text(text)

    def link(self, name: str, target: str) -> None:
        self.path(str(Path(name).parent)).mkdir(parents=True, exist_ok=True)
        (self.path(str(Path(name).parent)) / Path(name).name).symlink_to(target)

    def log_of(self, unit: str) -> str:
        return self.run("journalctl", "--no-pager", f"--unit={unit}").stdout

    def property_of(self, unit: str, name: str) -> str:
        return self.run("systemctl", "show", f"--property={name}", "--value", unit).stdout.strip()


@contextmanager
def booted() -> Iterator[Machine]:
    """Boot; the system is gone when the block ends."""
    requirements.need_root()
    requirements.need_program("/lib/systemd/systemd")
    tree = requirements.need_frozen("install.sh").parent
    command = [requirements.need_program("unshare"), "--mount", "--propagation=private", "sh", str(SCRIPT)]
    requirements.need_program("nsenter")
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="booted-") as root:
        environ = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "root": root, "tree": str(tree)}
        with subprocess.Popen(
            command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as holder:
            assert holder.stdout
            said = holder.stdout.readline().strip()
            if not said.isdecimal():
                requirements.missing(f"no systemd can be booted here: {said}")
            machine = Machine(int(said))
            running = ["systemctl", "is-system-running"]
            wait_for(lambda: machine.run(*running).stdout.strip() in RUNNING, "systemd to be started", 60)
            yield machine
