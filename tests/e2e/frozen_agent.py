"""The embedded agent, frozen, as a process of its own."""

import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests import requirements
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


class Agent:
    """One embedded agent, and the addresses that it has allocated."""

    def __init__(
        self,
        folder: Path,
        *more: str,
        pools: str = POOLS,
        log: Path | None = None,
        before: Sequence[str | Path] = (),
    ) -> None:
        """`more` are options of the agent; `before` is a command line that runs the one behind it."""
        self._log = log
        self._before = before
        self.socket = folder / "agent.sock"
        files = {"--socket": self.socket, "--pool": folder / "pools.yaml", "--state": folder / "state"}
        self._options = [*(f"{option}={path}" for option, path in files.items()), *more]
        (folder / "pools.yaml").write_text(pools)
        self.start()

    def start(self) -> None:
        program = requirements.need_frozen("spiderpool-ipam")
        log = self._log.open("a") if self._log else None
        self.process = subprocess.Popen(
            [*self._before, program, "agent", *self._options], stdout=subprocess.PIPE, stderr=log, text=True
        )
        if log:
            log.close()
        assert self.process.stdout
        assert "serving" in self.process.stdout.readline()
        self.killed = False

    def kill(self) -> None:
        """Kill it by SIGKILL: its socket file stays, and nobody listens on it."""
        self.process.kill()
        self.process.communicate()
        self.killed = True

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop the process for the block: the kernel accepts connections, and nobody answers them."""
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


def running_agent(folder: Path, pools: str = POOLS) -> Iterator[Agent]:
    """Run an agent until the test has ended."""
    agent = Agent(folder, pools=pools)
    yield agent
    if not agent.killed:
        agent.stop()
