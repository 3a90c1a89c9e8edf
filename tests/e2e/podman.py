"""Debian's podman with its CNI back end in a machine of the test's own."""

import json
import shutil
import subprocess
from pathlib import Path

from tests import requirements
from tests.e2e.machine import Machine

# default_ulimits: podman's own limits may be higher than this machine allows.
# log_driver: the default is systemd's journal, which a machine without systemd does not have.
# ipcns: podman 4.3, when it is killed, forgets the mount of a container's own /dev/shm and then fails to remove it.
_CONTAINERS = """
[containers]
default_ulimits = []
ipcns = "host"
log_driver = "k8s-file"
apparmor_profile = "unconfined"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "cni"
cni_plugin_dirs = ["{bin}"]
network_config_dir = "{conf}"
default_network = "e2e"
"""
_STORAGE = """
[storage]
driver = "vfs"
graphroot = "/var/lib/containers/storage"
runroot = "/run/containers/storage"
"""


class Podman:
    """podman with a configuration of its own. It has no daemon."""

    # `rm` calls no DEL, because `stop` did; and no DEL follows an ADD during which podman was killed.
    calls_del_again = False
    adds_at_once = 1

    def __init__(self, machine: Machine, folder: Path, bin_folder: Path, conf_folder: Path) -> None:
        for program in ("podman", "runc", "conmon"):
            requirements.need_program(program)
        self._machine, self._log = machine, folder / "podman.log"
        self._rootfs = folder / "rootfs"
        (self._rootfs / "bin").mkdir(parents=True)
        shutil.copy(requirements.need_program("busybox"), self._rootfs / "bin/sleep")
        files = {"CONTAINERS_CONF": folder / "containers.conf", "CONTAINERS_STORAGE_CONF": folder / "storage.conf"}
        texts = [_CONTAINERS.format(bin=bin_folder, conf=conf_folder), _STORAGE]
        for path, text in zip(files.values(), texts, strict=True):
            path.write_text(text)
        self._environ = {name: str(path) for name, path in files.items()}
        self._begun: list[subprocess.Popen[bytes]] = []

    def run_pod(self, name: str) -> str:
        """Start a container; return its ID."""
        return self._do(*self._run_options(name)).strip()

    def begin_pod(self, name: str) -> None:
        """Begin to start a container, and do not wait for it."""
        options = self._run_options(name)
        self._begun.append(self._machine.start("podman", *options, log=self._log, **self._environ))

    def _run_options(self, name: str) -> list[str | Path]:
        options = ["--detach", f"--name={name}", f"--cgroup-parent=/{self._machine.cgroup}"]
        return ["run", *options, "--rootfs", self._rootfs, "/bin/sleep", "infinity"]

    def addresses(self, pod: str) -> set[str]:
        """Return a container's addresses."""
        (network,) = json.loads(self._do("inspect", pod))[0]["NetworkSettings"]["Networks"].values()
        return {network["IPAddress"], network["GlobalIPv6Address"]} - {""}

    def stop_pod(self, pod: str) -> str:
        """Stop a container; return why that failed, or nothing."""
        return self._failure("stop", "--time=0", pod)

    def remove_pod(self, pod: str) -> str:
        """Remove a container; return why that failed, or nothing."""
        return self._failure("rm", "--force", "--time=0", pod)

    def kill(self) -> None:
        """Kill every podman by SIGKILL; what it has started keeps running."""
        self._machine.kill("podman")
        for process in self._begun:
            process.wait()

    def start(self) -> None:
        """Do nothing: podman has no daemon that could be started again."""

    def clean_up(self) -> None:
        """Remove the containers that podman knows, and the namespaces that it has forgotten.

        When podman 4.3 is killed while it starts a container, it forgets the container's network: it neither calls DEL
        nor removes the namespace. An administrator has to delete the namespace; GC releases the address.
        """
        self._do("rm", "--all", "--force", "--time=0")
        for name in self._machine.namespaces():
            done = self._machine.run("ip", "netns", "delete", name)
            assert done.returncode == 0, done.stderr

    def close(self) -> None:
        """Do nothing: podman has no daemon that could be stopped."""

    def _do(self, *options: str | Path) -> str:
        done = self._podman(*options)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _failure(self, *options: str) -> str:
        done = self._podman(*options)
        return done.stderr if done.returncode else ""

    def _podman(self, *options: str | Path) -> subprocess.CompletedProcess[str]:
        return self._machine.run("podman", *options, **self._environ)
