"""Real calls: the frozen plugin asks the frozen embedded agent, and watch, from the sources, counts what is logged.

`python -m tests.installer.real_calls PLUGIN SOCKET LOG NUMBER` makes the calls, four at a time, and prints how often
which command was answered by which code. It is run with a /var/lib of its own.
"""

import json
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from tests import own_state, requirements
from tests.e2e.frozen_agent import POOLS, Agent
from tests.installer.sample_node import Node
from tests.installer.watch_process import ROOT, watching
from tests.waiting import wait_for

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Served:
    """A node whose watch serves metrics, and which has an agent."""

    def __init__(self, node: Node, agent: Path, port: int, process: subprocess.Popen[bytes]) -> None:
        self.log = node.root / "var/log/spidernet/spiderpool.log"
        self.port = port
        self.process = process
        self._agent = agent
        self._state = node.root / "plugin-state"
        self._state.mkdir(exist_ok=True)

    def text(self) -> str:
        with urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=20) as answer:
            text: str = answer.read().decode()
        return text

    def metrics(self) -> Samples:
        """Return the samples, by name and labels."""
        families = text_string_to_metric_families(self.text())
        return {
            (sample.name.removeprefix("spiderpool_ipam_"), frozenset(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        }

    def calls(self) -> Counter[tuple[str, str]]:
        """Return the calls that were counted, by command and code."""
        found = [(dict(labels), value) for (name, labels), value in self.metrics().items() if name == "calls_total"]
        return +Counter({(labels["command"], labels["code"]): int(value) for labels, value in found})

    def follows(self, reason: str = "") -> None:
        """Wait until watch is at the log, or says why it is not."""
        wait_for(lambda: self._reasons() == {reason} - {""}, f"watch to follow the log ({reason})")

    def _reasons(self) -> set[str]:
        found = self.metrics().items()
        return {dict(labels)["reason"] for (name, labels), value in found if name == "log_unread" and value}

    def make_calls(self, number: int) -> Counter[tuple[str, str]]:
        """Have real calls made; return how often which command was answered by which code."""
        plugin = requirements.need_frozen("spiderpool")
        arguments = [plugin, self._agent, self.log, str(number)]
        command = own_state.with_own_state(self._state, sys.executable, "-m", __name__, *map(str, arguments))
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=300, check=True)
        return Counter({(command, code): count for command, code, count in json.loads(done.stdout)})


@contextmanager
def serving(node: Node, **options: Any) -> Iterator[Served]:
    """Serve the metrics of a node until the block ends; it has a log, and an agent."""
    (node.root / "var/log/spidernet").mkdir(parents=True, exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with (
        _agent(node.root) as agent,
        watching(node, "--metrics-addr", f"127.0.0.1:{port}", **options) as process,
    ):
        served = Served(node, agent, port, process)
        wait_for(lambda: _is_served(served), "watch to serve metrics")
        yield served
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


@contextmanager
def _agent(folder: Path) -> Iterator[Path]:
    pools = POOLS.replace("10.244.100.200", "10.244.100.19")  # few, so that some calls get none
    agent = Agent(folder, pools=pools, log=folder / "agent.log")
    try:
        yield agent.socket
    finally:
        agent.stop()


def _is_served(served: Served) -> bool:
    try:
        served.text()
    except OSError:
        assert served.process.poll() is None, "watch has ended"
        return False
    return True


def main() -> None:
    """Make the calls."""
    plugin, agent, log, number = sys.argv[1:]
    ipam = {"type": "spiderpool", "ipam_unix_socket_path": agent, "log_file_path": log, "log_file_max_size": 1}
    with ThreadPoolExecutor(4) as pool:
        codes = pool.map(lambda turn: _call(plugin, ipam, turn), range(int(number)))
    print(json.dumps([(command, code, count) for (command, code), count in Counter(codes).items()]))


def _call(plugin: str, ipam: dict[str, Any], turn: int) -> tuple[str, str]:
    command = ("ADD", "ADD", "CHECK", "DEL", "STATUS", "ADD", "ADD", "GC", "DEL", "ADD")[turn % 10]
    pod = f"pod-{turn - turn % 10}" if turn % 10 < 4 else f"pod-{turn}"
    version = "0.3.1" if turn % 20 == 4 else "1.1.0"  # it has no STATUS
    document = {"cniVersion": version, "name": "net", "type": "calico", "ipam": ipam}
    environ = {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": pod,
        "CNI_NETNS": "" if turn % 10 == 6 else "/n",
        "CNI_IFNAME": "eth0",
        "CNI_PATH": "/",
        "CNI_ARGS": f"K8S_POD_NAMESPACE=default;K8S_POD_NAME={pod};K8S_POD_UID={pod}",
    }
    done = subprocess.run(
        [plugin], env=environ, input=json.dumps(document).encode(), stdout=subprocess.PIPE, timeout=60
    )
    answer = json.loads(done.stdout or b"{}")
    return command, str(answer["code"] if done.returncode else 0)


if __name__ == "__main__":
    main()
