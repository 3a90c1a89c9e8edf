"""A machine of the test's own for a container runtime: network, mounts and processes that end with it.

Its /run and /var/lib are folders of the test, so that a runtime works with its default paths there and leaves nothing
on the machine that runs the tests. /etc and /sys are that one's; cgroups are made below a name of the test's own.
"""

import contextlib
import json
import os
import signal
import subprocess
import uuid
from pathlib import Path

from tests.waiting import wait_for

_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
# The first process of the machine, which reaps orphans. Before it mounts its own /proc, it reads the PID that it has
# outside, and prints it.
_INIT = """
set -euo pipefail
read -r pid _ </proc/self/stat
mount -t proc proc /proc
mount --bind "$1/run" /run
mount --bind "$1/lib" /var/lib
mount -t tmpfs shm /dev/shm
ip link set lo up
echo "$pid"
exec >/dev/null
sleep infinity &
wait
"""


class Machine:
    """Namespaces, and the processes in them."""

    def __init__(self, folder: Path) -> None:
        self.run_folder, self.var_lib = folder / "run", folder / "lib"
        self.cgroup = f"spip-{uuid.uuid4().hex[:8]}"
        for path in (self.run_folder, self.var_lib):
            path.mkdir()
        kinds = ["--net", "--mount", "--propagation=private", "--pid", "--fork", "--kill-child", "--ipc"]
        self._holder = subprocess.Popen(
            ["unshare", *kinds, "bash", "-c", _INIT, "init", folder], stdout=subprocess.PIPE, text=True
        )
        assert self._holder.stdout
        line = self._holder.stdout.readline()
        assert line, "unshare and mount failed: what they said is on stderr"
        self._init = int(line)

    def command(self, *command: str | Path) -> list[str | Path]:
        """Return the command line that runs a command in the machine."""
        return ["nsenter", f"--target={self._init}", "--net", "--mount", "--pid", "--ipc", *command]

    def run(self, *command: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*command), env={"PATH": _PATH, **environ}, capture_output=True, text=True, timeout=60
        )

    def start(self, *command: str | Path, log: Path, **environ: str) -> "subprocess.Popen[bytes]":
        """Start a program whose output goes to a file. What is returned is nsenter, which waits for it."""
        with log.open("a") as output:
            return subprocess.Popen(
                self.command(*command), env={"PATH": _PATH, **environ}, stdout=output, stderr=output
            )

    def processes(self, *names: str) -> list[int]:
        """Return the PIDs, as seen from outside, of the processes in the machine that run one of these programs."""
        ours = Path(f"/proc/{self._init}/ns/pid").readlink()
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            # A process may end meanwhile. The name of our plugin is the fourth argument of its loader.
            with contextlib.suppress(OSError):
                words = (path / "cmdline").read_text().split("\0")[:5]
                if set(names) & {Path(word).name for word in words} and (path / "ns/pid").readlink() == ours:
                    found.append(int(path.name))
        return found

    def kill(self, name: str) -> None:
        """Kill all processes of a program by SIGKILL and wait until they are gone."""
        for pid in self.processes(name):
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not self.processes(name), f"the end of {name}")

    def links(self) -> set[str]:
        """Return the names of the links but the loopback."""
        return {link["ifname"] for link in json.loads(self.run("ip", "-json", "link").stdout)} - {"lo"}

    def namespaces(self) -> list[str]:
        """Return the names of the pods' network namespaces."""
        return sorted(path.name for path in self.run_folder.glob("netns/*"))

    def close(self) -> None:
        """End every process in the machine; the kernel then removes its mounts and links."""
        self._holder.kill()
        self._holder.wait()
        if self._holder.stdout:
            self._holder.stdout.close()
        wait_for(self._remove_cgroups, "the end of the cgroups")

    def _remove_cgroups(self) -> bool:
        for folder in self._cgroups():
            for below in sorted([*folder.rglob("*/"), folder], reverse=True):
                with contextlib.suppress(OSError):  # a process that has just ended is still in it
                    below.rmdir()
        return not self._cgroups()

    def _cgroups(self) -> list[Path]:
        root = Path("/sys/fs/cgroup")
        return [path for path in [root / self.cgroup, *root.glob(f"*/{self.cgroup}")] if path.is_dir()]
