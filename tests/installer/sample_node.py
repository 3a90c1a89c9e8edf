"""A node's file system in a folder: Calico's conflist, the folder of plugins, and a bundle to install."""

import base64
import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cni.contracts.installation import Desired, Record, Request
from cni.contracts.reports import InstallReport, PendingOfAgent, UninstallReport
from cni.installer.conflist import record
from cni.installer.discovery import find_folders
from cni.installer.install import install
from cni.installer.node.folders import Folders
from cni.installer.node.host_root import HostRoot
from cni.installer.uninstall import uninstall
from tests import requirements
from tests.installer.sample_conflists import CALICO

PLUGIN = """#!/bin/sh
# {mark}
echo '{{"cniVersion":"1.1.0","supportedVersions":["1.1.0"]}}'
"""
COPY = "05-spiderpool-calico.conflist"
SILENT_AGENT = PendingOfAgent(agent_socket="/run/hangs.sock", agent="silent", releases=2, oldest=1.0)


SNAP = "var/snap/microk8s"


def make_tree(folder: Path, mark: str, script: str = PLUGIN) -> Path:
    """Make what is installed: a stand-in, so that each version has bytes of its own and few files."""
    (folder / "_internal").mkdir(parents=True)
    (folder / "_internal/data").write_text(mark)
    for name in ("spiderpool", "spiderpool-ipam"):
        (folder / name).write_text(script.format(mark=mark))
        (folder / name).chmod(0o755)
    write_sums(folder)
    return folder


def exactly(desired: Desired) -> Request:
    """Ask for this, whatever was asked for before."""
    return Request(asdict(desired), reset=True)


def write_sums(tree: Path) -> None:
    """Write SHA256SUMS as build/freeze.sh does."""
    names = sorted(str(path.relative_to(tree)) for path in tree.rglob("*") if not path.is_dir())
    lines = [f"{hashlib.sha256((tree / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (tree / "SHA256SUMS").write_text("".join(line for line in lines if not line.endswith("  SHA256SUMS\n")))


class Node:
    """The root folder of a node, as /host would be."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bin, self.conf = root / "opt/cni/bin", root / "etc/cni/net.d"
        self.plugin, self.conflist, self.copy = (
            self.bin / "spiderpool",
            self.conf / "10-calico.conflist",
            self.conf / COPY,
        )
        self.tree = root / "release"
        if root.exists() and self.bin.exists():
            return  # made before, by another process
        for folder in (self.bin, self.conf):
            folder.mkdir(parents=True)
        (self.bin / "calico").touch()
        make_tree(self.tree, "first")
        self.write()

    @property
    def folders(self) -> Folders:
        return self.find()

    def find(
        self, bin_folder: str | None = None, conf_folder: str | None = None, plugin_type: str = "calico"
    ) -> Folders:
        return find_folders(HostRoot(self.root), bin_folder, conf_folder, plugin_type)

    @property
    def record(self) -> Record:
        found = record.read(self.folders)
        assert found
        return found

    def write(self, text: str = CALICO) -> None:
        """Write the conflist as Calico's installer does: in place."""
        self.conflist.write_text(text)

    def install_to(self, bin_folder: str, conf_folder: str, plugin_type: str = "calico") -> InstallReport:
        """Install with flags that name the folders."""
        folders = self.find(bin_folder, conf_folder, plugin_type)
        return install(self.tree, "1.0.0", lambda: folders, exactly(Desired(plugin_type)), 0, lambda _: None)

    def install(self, as_name: str = "", wait_agent: float = 0, **desired: Any) -> InstallReport:
        wanted = Desired(as_name=as_name, **desired)
        return install(self.tree, "1.0.0", lambda: self.folders, exactly(wanted), wait_agent, lambda _: None)

    def uninstall(self, pending: int = 0, *, force: bool = False) -> UninstallReport:
        return uninstall(self.folders, lambda: [SILENT_AGENT] * pending, force=force)

    def cache_result(self, name: str, configuration: Any, network: str = "k8s-pod-network") -> None:
        """Write what libcni keeps of an ADD."""
        results = self.root / "var/lib/cni/results"
        results.mkdir(parents=True, exist_ok=True)
        config = base64.b64encode(json.dumps(configuration).encode()).decode()
        args = [["K8S_POD_NAMESPACE", "default"], ["K8S_POD_NAME", name]]
        cached = {"kind": "cniCacheV1", "networkName": network, "config": config, "cniArgs": args}
        (results / name).write_text(json.dumps(cached))

    def ipam(self, path: Path | None = None) -> Any:
        """Return the ipam object of the conflist, or of another file."""
        return json.loads((path or self.conflist).read_bytes())["plugins"][0]["ipam"]

    def answers(self) -> bool:
        """Whether <bin>/spiderpool runs and is ours."""
        done = subprocess.run(
            [self.plugin], env={"CNI_COMMAND": "VERSION"}, stdin=subprocess.DEVNULL, capture_output=True
        )
        return done.returncode == 0 and b"supportedVersions" in done.stdout

    def files(self) -> dict[str, bytes]:
        """Return what lies in the folder of conflists."""
        return {path.name: path.read_bytes() for path in self.conf.iterdir()}

    def command(self, *arguments: str, frozen: bool = True) -> list[str]:
        """Return the operator program's command line for this node."""
        program = [str(requirements.need_frozen("spiderpool-ipam"))] if frozen else [sys.executable, "-m", "cni.cli"]
        return [*program, *arguments, "--host-root", str(self.root)]

    def run(self, *arguments: str, frozen: bool = True) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(*arguments, frozen=frozen), capture_output=True, text=True, timeout=60)


class Microk8sNode(Node):
    """A node whose folders are below a link, which leads to another revision after each refresh of the snap."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        revision = root / SNAP / "1"
        for folder in ("opt/cni", "args"):
            (revision / folder).mkdir(parents=True)
        self.bin.rename(revision / "opt/cni/bin")
        self.conf.rename(revision / "args/cni-network")
        self._lead_to("1")

    def refresh(self) -> None:
        """Do what snapd does: copy the revision, and have the link and the paths lead to the copy."""
        shutil.copytree(self.root / SNAP / "1", self.root / SNAP / "2", symlinks=True)
        (self.root / SNAP / "current").unlink()
        self._lead_to("2")

    def _lead_to(self, revision: str) -> None:
        snap = self.root / SNAP
        (snap / "current").symlink_to(revision)
        self.bin, self.conf = snap / revision / "opt/cni/bin", snap / revision / "args/cni-network"
        self.plugin, self.conflist = self.bin / "spiderpool", self.conf / "10-calico.conflist"
