"""A node: its namespaces and folders, the programs in it, and our installation on it.

Side effects: a process that holds the namespaces; what is run in them.
"""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import httpx

from tests.lab import network, programs
from tests.lab.processes import (
    FOLDER,
    IMAGE,
    Environ,
    LabError,
    Word,
    environment,
    run,
    start,
    stop,
    wait_for_line,
    wait_until,
)

CONFLIST = "/etc/cni/net.d/10-calico.conflist"
METRICS_PORT = 9095
_OVERLAID = ("etc", "opt", "var")
_OWN = (
    "/etc/cni/net.d", "/etc/calico", "/opt/cni/bin", "/var/lib/calico", "/var/lib/cni", "/var/lib/spiderpool-ipam",
    "/var/log/calico", "/var/log/spidernet", "/run/calico", "/run/spidernet", "/run/netns",
)  # fmt: skip
# Holds a node's namespaces. $1 is the node's folder, $2 the installer's image; the others are the folders of its own.
# The overlays only give a place to those that the machine does not have, so that nothing is made on the machine.
_HOLD = f"""
set -euo pipefail
node=$1 image=$2
shift 2
for folder in {" ".join(_OVERLAID)}; do
    mkdir -p "$node/upper-$folder" "$node/work-$folder"
    mount -t overlay lab -o "lowerdir=/$folder,upperdir=$node/upper-$folder,workdir=$node/work-$folder" "/$folder"
done
for folder; do
    mkdir -p "$folder"
    mount -t tmpfs lab "$folder"
done
mount --bind /etc/cni/net.d "$image/host/etc/cni/net.d"
mount --bind /opt/cni/bin "$image/host/opt/cni/bin"
echo ready
exec sleep infinity
"""


class Node:
    """One node. Its programs end with the sandbox."""

    def __init__(self, name: str, addresses: dict[int, str]) -> None:
        self.name, self.addresses = name, addresses
        self._holder: subprocess.Popen[bytes] | None = None
        self._watch: subprocess.Popen[bytes] | None = None

    def open(self) -> None:
        """Make its namespaces and links."""
        folder = FOLDER / self.name
        folder.mkdir()
        command = ["unshare", "--net", "--mount", "--propagation=private", "bash", "-c", _HOLD, self.name]
        log = self.log("namespaces")
        self._holder = start(*command, folder, IMAGE, *_OWN, log=log)
        wait_for_line(self._holder, log, "ready", 10)
        network.join(self.name, self.pid, self.addresses)
        self._link_locals = set(
            re.findall(r"inet6 (fe80:\S+)/", self.run("ip", "-6", "address", "show", "dev", "eth0"))
        )

    @property
    def pid(self) -> int:
        """The process that holds the node's namespaces. LabError: there is none."""
        if not self._holder:
            raise LabError(f"{self.name} is not up")
        return self._holder.pid

    @property
    def before(self) -> list[str]:
        """The command line that runs the one behind it on the node."""
        return network.inside(self.pid)

    def is_at(self, hops: set[str]) -> bool:
        """Tell whether one of some next hops is the node. In IPv6 it may be the link-local address of its eth0."""
        return bool(hops & {*self.addresses.values(), *self._link_locals})

    def path(self, path: str) -> Path:
        """Return where a path of the node is to be found from outside it."""
        return Path(f"/proc/{self.pid}/root{path}")

    def run(self, *command: Word, stdin: str = "", seconds: float = 60, environ: Environ | None = None) -> str:
        """Run a program on the node; return its output."""
        return run(*self.before, *command, stdin=stdin, seconds=seconds, environ=environ)

    def start(self, *command: Word, log: Path, environ: Environ | None = None) -> "subprocess.Popen[bytes]":
        """Start a program on the node."""
        return start(*self.before, *command, log=log, environ=environ)

    def ipam_type(self, path: str = CONFLIST) -> str:
        """Return which IPAM plugin a conflist of the node names."""
        return str(json.loads(self.path(path).read_text())["plugins"][0]["ipam"]["type"])

    def log(self, name: str) -> Path:
        """Return where a program of the node has its log."""
        return FOLDER / f"logs/{self.name}-{name}.log"

    def install_ours(self, *options: str) -> None:
        """Install our release by its own program, and keep the node so by its `watch`."""
        self.run(programs.OURS, "install", "--wait-agent=10s", *options)
        self.start_watch()

    def install_again(self) -> None:
        """Restore Calico's conflist and install our release again, as if others had never changed anything."""
        self.stop_watch()
        # The status is 3 where pods have been made with the plugin, for which it stays.
        self.run("bash", "-c", '"$0" uninstall || [ $? = 3 ]', programs.OURS)
        self.install_ours()

    def start_watch(self) -> None:
        """Run `spiderpool-ipam watch`."""
        log = self.log("watch")
        command: list[Word] = [programs.OURS, "watch", "--metrics-addr", f"{self.addresses[4]}:{METRICS_PORT}"]
        self._watch = self.start(*command, log=log)
        wait_until(lambda: self.metric("in_sync") == 1, f"watch on {self.name}; see {log}", 10)

    def stop_watch(self) -> None:
        """End `spiderpool-ipam watch`. What is on the node stays."""
        if self._watch:
            stop(self._watch)
        self._watch = None

    def metric(self, name: str) -> float:
        """Return one of watch's metrics. LabError: it does not serve them."""
        try:
            text = httpx.get(f"http://{self.addresses[4]}:{METRICS_PORT}/metrics", timeout=2).text
        except httpx.HTTPError as error:
            raise LabError(f"watch on {self.name} serves no metrics: {error}") from None
        match = re.search(rf"^spiderpool_ipam_{name}(?:_total)? (\S+)$", text, flags=re.MULTILINE)
        return float(match[1]) if match else float("nan")

    def status(self) -> dict[str, Any]:
        """Return what `spiderpool-ipam status --json` says; its exit status is 1 where there are problems."""
        report: dict[str, Any] = json.loads(self.say(programs.OURS, "status", "--json"))
        return report

    def say(self, *command: Word, environ: Environ | None = None) -> str:
        """Return what a program of ours prints on the node, whatever its exit status. LabError: it is nothing."""
        done = subprocess.run(
            [*self.before, *command], env=environment(environ), capture_output=True, text=True, timeout=60
        )
        if not done.stdout:
            raise LabError(f"`{' '.join(map(str, command[1:]))}` on {self.name} says nothing: {done.stderr[-500:]}")
        return done.stdout
