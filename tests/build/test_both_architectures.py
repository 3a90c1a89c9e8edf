"""Debian's containerd takes the container image, and runs the one for its machine and, emulated, the other one."""

import contextlib
import platform
import struct
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from tests import requirements
from tests.build.releases import ARCHES, VERSION, link_tarball, make_image
from tests.installer.sample_node import Node
from tests.requirements import ROOT

SCRIPT = Path(__file__).with_name("containerd.sh")
IMAGE = f"docker.io/library/spiderpool-ipam:{VERSION}"
# e_machine of the ELF header.
MACHINES = {"amd64": 62, "arm64": 183}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    dist = tmp_path_factory.mktemp("dist")
    for arch in ARCHES:
        link_tarball(dist, arch)
    return make_image(dist, *ARCHES)


def remove_cgroups(name: str) -> None:
    """Remove what runc leaves: the folder of the namespace in each hierarchy."""
    root = Path("/sys/fs/cgroup")
    for folder in [root / name, *root.glob(f"*/{name}")]:
        with contextlib.suppress(OSError):
            folder.rmdir()


@pytest.mark.slow
def test_each_architecture_runs_and_installs(archive: Path, tmp_path: Path) -> None:
    requirements.need_root()
    for program in ("containerd", "ctr", "runc", "qemu-aarch64-static"):
        requirements.need_program(program)
    if platform.machine() != "x86_64":
        requirements.missing("only arm64 is emulated: run this on amd64")
    nodes = {arch: Node(tmp_path / f"node-{arch}") for arch in ARCHES}
    namespace = f"spip-{uuid.uuid4().hex[:8]}"
    unshare = ["unshare", "--mount", "--net", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc"]
    script: list[str | Path] = ["bash", SCRIPT, tmp_path, archive, IMAGE, namespace]
    command: list[str | Path] = [sys.executable, ROOT / "build/emulation.py", *unshare, *script]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    finally:
        remove_cgroups(namespace)
    log = tmp_path / "containerd.log"
    assert done.returncode == 0, done.stdout + done.stderr + (log.read_text()[-2000:] if log.exists() else "")
    assert "linux/amd64,linux/arm64" in done.stdout
    for arch, node in nodes.items():
        assert f"{arch}: spiderpool-ipam {VERSION}, CNI 0.1.0 " in done.stdout
        assert node.ipam() == {"type": "spiderpool"}
        header = (node.bin / "spiderpool").resolve().read_bytes()[:20]
        assert struct.unpack("<H", header[18:])[0] == MACHINES[arch]
