"""Follows a page on a node that systemd has booted: runs the blocks that are marked, and compares what they print.

The node has Calico's conflist, an agent (the embedded one), the tarball in root's home, and a /usr/local of its own.
"""

import base64
import json
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests import requirements
from tests.build import releases
from tests.build.booted import Machine
from tests.docs.blocks import Block, is_as_said
from tests.docs.terminal import PageError
from tests.installer.sample_conflists import CALICO
from tests.waiting import SLACK, wait_for

CONFLIST = "/etc/cni/net.d/10-calico.conflist"
_SOCKET = "/var/run/spidernet/spiderpool.sock"
_POOL = """\
apiVersion: spiderpool.spidernet.io/v2beta1
kind: SpiderIPPool
metadata:
  name: default-v4-ippool
spec:
  default: true
  subnet: 10.244.0.0/16
  ips:
  - 10.244.100.10-10.244.100.200
"""
_SETTLED = 10  # seconds in which what a block brings about is to be seen
_PAUSE = 0.5  # seconds, between two looks


def prepare(machine: Machine) -> None:
    """Make the booted machine a node of a cluster with Calico and SpiderPool."""
    machine.run("mount", "-t", "tmpfs", "tmpfs", "/usr/local")
    machine.write(CONFLIST, CALICO)
    for name in ("calico", "portmap", "bandwidth"):
        machine.write(f"/opt/cni/bin/{name}", "")
        machine.path(f"/opt/cni/bin/{name}").chmod(0o755)
    machine.write("/var/lib/calico/nodename", "node1")
    machine.run("ip", "link", "set", "lo", "up")
    machine.run("ip", "route", "add", "default", "dev", "lo")
    machine.write("/etc/pools.yaml", _POOL)
    tarball = requirements.need_tarball()
    machine.path("/root").mkdir(exist_ok=True)
    (machine.path("/root") / tarball.name).write_bytes(tarball.read_bytes())
    start_agent(machine)


def start_agent(machine: Machine) -> None:
    """Start the agent of the node, and wait until it serves."""
    agent = ("/release/spiderpool-ipam", "agent", "--pool=/etc/pools.yaml", f"--socket={_SOCKET}")
    machine.run("systemd-run", "--unit=agent", *agent)
    wait_for(lambda: "serving" in machine.log_of("agent"), "the agent to serve", 20)


def change_conflist(machine: Machine) -> None:
    """Write Calico's conflist as calico-node does, and wait until watch has swapped it again."""
    machine.write(CONFLIST, CALICO)
    swapped = "swapped /etc/cni/net.d/10-calico.conflist again"
    wait_for(lambda: swapped in machine.log_of("spiderpool-ipam-watch"), "watch to swap the conflist again", 20)


def lose_agent(machine: Machine) -> None:
    """Have the agent go while a release is pending for it."""
    machine.run("systemctl", "stop", "agent")
    attach = "spiderpool-ipam attach del --conf /etc/cni/net.d/10-calico.conflist --pod default/test-0"
    type_in(machine, attach)


def keep_pod(machine: Machine) -> None:
    """Install anew, and have a pod run that was made with the plugin, as containerd and CRI-O write it down."""
    type_in(machine, "spiderpool-ipam/install.sh --wait-agent=0")
    config = base64.b64encode(b'{"type": "calico", "ipam": {"type": "spiderpool"}}').decode()
    pod = [["K8S_POD_NAMESPACE", "default"], ["K8S_POD_NAME", "web-0"]]
    ids = {"networkName": "k8s-pod-network", "containerId": "c0", "ifName": "eth0"}
    kept = {"kind": "cniCacheV1", **ids, "cniArgs": pod, "config": config}
    machine.write("/var/lib/cni/results/k8s-pod-network-c0-eth0", json.dumps(kept))


def publish(machine: Machine) -> None:
    """Have what a release is published with lie beside the tarball, and the key."""
    arch = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    with tempfile.TemporaryDirectory() as folder:
        dist = Path(folder)
        releases.link_tarball(dist, arch)
        releases.attest(dist, releases.make_key(dist, "spiderpool-ipam"), arch)
        for name in ("SHA256SUMS", "SHA256SUMS.sig", "spiderpool-ipam.pub"):
            shutil.copy(dist / name, machine.path("/root"))


# What has to be the case where a block is marked so; each is brought about once, before the first of these blocks.
SITUATIONS: dict[str, Callable[[Machine], None]] = {
    "node": lambda machine: None,
    "signed": publish,
    "changed": change_conflist,
    "gone": lose_agent,
    "held": keep_pod,
}


def type_in(machine: Machine, text: str) -> "subprocess.CompletedProcess[str]":
    return machine.run("bash", "-c", f"exec 2>&1; set -eo pipefail; PATH=/usr/local/bin:$PATH; cd /root\n{text}")


def follow(machine: Machine, block: Block) -> str:
    """Do a block until it prints what the page says; return that. PageError."""
    last = time.monotonic() + _SETTLED + SLACK
    while True:
        done = type_in(machine, block.text)
        wanted = 3 if "the plugin stays" in (block.printed or "") else 0
        if done.returncode == wanted and (block.printed is None or is_as_said(block.printed, done.stdout)):
            return done.stdout
        # What a block has brought about may need a moment to be seen. One that brings something about is not repeated.
        if "install" in block.text or time.monotonic() > last:
            raise PageError(
                f"line {block.line}: it ended with {done.returncode}, not {wanted}, and printed\n{done.stdout}"
            )
        time.sleep(_PAUSE)
