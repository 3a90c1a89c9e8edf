"""A node of the test's own: a network namespace, pods' namespaces, the embedded agent, the frozen programs."""

import shutil
import signal
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from pyroute2 import IPRoute, netns

from cni.installer.bundle import plugin_links as bundle
from tests import requirements
from tests.e2e.machine import Machine
from tests.waiting import SLACK

POOLS = """
apiVersion: spiderpool.spidernet.io/v1
kind: SpiderIPPool
metadata: {name: v4}
spec: {ipVersion: 4, subnet: 10.244.0.0/16, gateway: 10.244.0.1, ips: [10.244.100.10-10.244.100.200], default: true}
---
apiVersion: spiderpool.spidernet.io/v2beta1
kind: SpiderIPPool
metadata: {name: v6}
spec: {ipVersion: 6, subnet: "fd00:244::/64", gateway: "fd00:244::1", ips: ["fd00:244::a-fd00:244::ff"], default: true}
"""


class Node:
    """A network namespace that stands for the node; programs run in it, pods' namespaces are beside it."""

    def __init__(self) -> None:
        self.name = f"spip-{uuid.uuid4().hex[:8]}"
        self._pods: list[str] = []

    def run(self, *command: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run a program in the node's network. (`ip netns exec` would remount /sys.)"""
        return subprocess.run(
            ["nsenter", f"--net=/var/run/netns/{self.name}", *command],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **environ}, capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    def add_pod(self) -> str:
        """Make a pod's namespace; return its name."""
        name = f"{self.name}-{len(self._pods)}"
        netns.create(name)
        self._pods.append(name)
        return name

    def open(self) -> None:
        netns.create(self.name)
        with IPRoute(netns=self.name) as links:
            links.link("set", index=links.link_lookup(ifname="lo")[0], state="up")

    def close(self) -> None:
        for name in [*self._pods, self.name]:
            netns.remove(name)


def addresses(namespace: str, ifname: str) -> set[str]:
    """Return the interface's addresses with prefix, link-local ones left out."""
    with IPRoute(netns=namespace) as links:
        index = links.link_lookup(ifname=ifname)
        found = links.get_addr(index=index[0]) if index else []
        texts = [f"{a.get('address')}/{a['prefixlen']}" for a in found]
    return {text for text in texts if not text.startswith("fe80:")}


def links(namespace: str) -> set[str]:
    """Return the names of the links in a namespace."""
    with IPRoute(netns=namespace) as route:
        return {link.get("ifname") for link in route.get_links()}


class Agent:
    """The embedded agent, frozen, and what it holds."""

    def __init__(self, folder: Path, *more: str, pools: str = POOLS, log: Path | None = None) -> None:
        self._log = log
        self.socket = folder / "agent.sock"
        files = {"--socket": self.socket, "--pool": folder / "pools.yaml", "--state": folder / "state"}
        self._options = [*(f"{option}={path}" for option, path in files.items()), *more]
        (folder / "pools.yaml").write_text(pools)
        self.start()

    def start(self) -> None:
        program = requirements.need_frozen("spiderpool-ipam")
        log = self._log.open("a") if self._log else None
        self.process = subprocess.Popen(
            [program, "agent", *self._options], stdout=subprocess.PIPE, stderr=log, text=True
        )
        if log:
            log.close()
        assert self.process.stdout
        assert "serving" in self.process.stdout.readline()
        self.killed = False

    def kill(self) -> None:
        """Kill it by SIGKILL: the socket file stays, and nobody answers on it."""
        self.process.kill()
        self.process.communicate()
        self.killed = True

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Have it accept connections and not answer meanwhile."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def held(self) -> list[dict[str, Any]]:
        """Return its allocations."""
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(self.socket)), base_url="http://agent/v1") as client:
            answer: list[dict[str, Any]] = client.get("/ipam/allocations").raise_for_status().json()["allocations"]
        return answer

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(timeout=3 + SLACK) == 0
        if self.process.stdout:
            self.process.stdout.close()


@pytest.fixture
def node() -> Iterator[Node]:
    requirements.need_root()
    requirements.need_program("nsenter")
    node = Node()
    node.open()
    yield node
    node.close()


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    yield from running_agent(tmp_path)


def running_agent(folder: Path, pools: str = POOLS) -> Iterator[Agent]:
    """Run an agent until the test is done with it."""
    agent = Agent(folder, pools=pools)
    yield agent
    if not agent.killed:
        agent.stop()


@pytest.fixture(scope="session")
def cni_bin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give a CNI folder with Debian's plugins and ours, as the installer brings it there."""
    requirements.need_frozen("spiderpool")
    folder = add_debians_plugins(tmp_path_factory.mktemp("cni-bin"))
    bundle.install(requirements.TREE, folder, "e2e")
    yield folder
    shutil.rmtree(folder)


def add_debians_plugins(folder: Path) -> Path:
    """Put the plugins that the runtimes' tests need into a CNI folder."""
    for name in ("ptp", "host-local", "loopback"):
        (folder / name).symlink_to(requirements.need_program(f"/usr/lib/cni/{name}"))
    return folder


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    requirements.need_root()
    for program in ("unshare", "nsenter", "ip", "ping"):
        requirements.need_program(program)
    machine = Machine(tmp_path)
    yield machine
    machine.close()
