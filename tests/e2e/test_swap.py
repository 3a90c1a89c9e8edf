"""install and uninstall while the real containerd runs: its next sandbox uses the new configuration."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import requirements
from tests.e2e.conftest import add_debians_plugins
from tests.e2e.containerd import Containerd
from tests.e2e.frozen_agent import Agent
from tests.e2e.machine import Machine
from tests.waiting import wait_for

pytestmark = pytest.mark.slow

SOURCE = "10-calico.conflist"
# Calico's own plugins need a cluster, so ptp stands for calico and host-local for calico-ipam.
BEFORE = {
    "name": "k8s-pod-network",
    "cniVersion": "1.0.0",
    "plugins": [{"type": "ptp", "ipMasq": False, "ipam": {"type": "host-local", "subnet": "10.99.0.0/24"}}],
}


PLUGIN_STAYS = 3


class Node:
    """The folders of a node, and `spiderpool-ipam`, which is run on them."""

    def __init__(self, machine: Machine, folder: Path) -> None:
        self._machine = machine
        self.bin, self.conf = folder / "bin", folder / "net.d"
        self.bin.mkdir()
        self.conf.mkdir()
        add_debians_plugins(self.bin)
        (self.conf / SOURCE).write_text(json.dumps(BEFORE))

    def run(self, command: str, *options: str, status: int = 0) -> None:
        """Run install or uninstall, and require this exit status."""
        program = requirements.need_frozen("spiderpool-ipam")
        where = [f"--cni-bin-dir={self.bin}", f"--cni-conf-dir={self.conf}"]
        done = self._machine.run(program, command, *where, *options)
        assert done.returncode == status, done.stdout + done.stderr


@pytest.fixture
def node(machine: Machine, tmp_path: Path) -> Iterator[Node]:
    made = Node(machine, tmp_path)
    yield made
    shutil.rmtree(made.bin)


@pytest.fixture
def containerd(machine: Machine, node: Node, tmp_path: Path) -> Iterator[Containerd]:
    made = Containerd(machine, tmp_path, node.bin, node.conf)
    yield made
    made.close()


def seconds_until_loaded(containerd: Containerd, ipam_type: str) -> float:
    """Wait until containerd has loaded what was changed in its folder of conflists; return how long it took."""
    return wait_for(lambda: containerd.ipam_type() == ipam_type, f"containerd to load {ipam_type}", 5)


@pytest.mark.parametrize(
    "as_name", [None, "05-spiderpool-calico.conflist"], ids=["in place", "under a name of its own"]
)
def test_the_next_sandbox_follows_install_and_uninstall_without_a_restart(
    as_name: str | None,
    containerd: Containerd,
    machine: Machine,
    agent: Agent,
    node: Node,
    tmp_path: Path,
    show: Callable[[str], None],
) -> None:
    settings = {"ipam_unix_socket_path": agent.socket, "log_file_path": tmp_path / "spiderpool.log"}
    options = [f"--set={key}={value}" for key, value in settings.items()] + [f"--as={as_name}"] * bool(as_name)
    running = machine.processes("containerd")
    before = (node.conf / SOURCE).read_bytes()
    old = containerd.run_pod("old")
    assert containerd.addresses(old) == {"10.99.0.2"}
    assert agent.held() == []

    node.run("install", "--plugin-type=ptp", *options)
    there = seconds_until_loaded(containerd, "spiderpool")
    assert ((node.conf / SOURCE).read_bytes() == before) == bool(as_name)
    new = containerd.run_pod("new")
    assert containerd.addresses(new) == {"10.244.100.10", "fd00:244::a"}
    # The DEL of the old pod goes to spiderpool, which never gave it an address.
    require_removed(containerd, old)
    served = containerd.run_pod("served")
    require_removed(containerd, served)
    assert [one["containerIDs"] for one in agent.held()] == [[new]]

    node.run("uninstall", status=PLUGIN_STAYS)  # because a pod that was started with it still runs
    back = seconds_until_loaded(containerd, "host-local")
    assert (node.conf / SOURCE).read_bytes() == before
    last = containerd.run_pod("last")
    assert containerd.addresses(last) == {"10.99.0.3"}
    # The reverse: containerd calls DEL with the present conflist, so the agent keeps the address until GC.
    require_removed(containerd, new)
    require_removed(containerd, last)
    assert [one["containerIDs"] for one in agent.held()] == [[new]]
    node.run("uninstall")
    assert not (node.bin / "spiderpool").exists()
    assert machine.processes("containerd") == running
    how = f"as {as_name}" if as_name else "in place"
    show(
        f"containerd: swapped {how}, loaded within {1000 * there:.0f} ms, given back: {1000 * back:.0f} ms, no restart"
    )


def require_removed(containerd: Containerd, pod: str) -> None:
    assert (containerd.stop_pod(pod), containerd.remove_pod(pod)) == ("", "")
