"""The frozen plugin beside upstream's Go plugin, one call each in turn: ratios stand, absolute times do not."""

import json
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests import requirements
from tests.e2e.conftest import Agent, Node


def test_one_add_takes_no_longer_than_upstreams_go_plugin(
    node: Node, agent: Agent, tmp_path: Path, show: Callable[[str], None]
) -> None:
    programs = {"go": requirements.need_tool("spiderpool-go"), "ours": requirements.need_frozen("spiderpool")}
    pod = node.add_pod()
    environ = {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": "c" * 64,
        "CNI_NETNS": f"/var/run/netns/{pod}",
        "CNI_IFNAME": "eth0",
        "CNI_PATH": "/opt/cni/bin",
        "CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=a;K8S_POD_UID=u-1",
    }
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for turn in range(45):
        for name, program in programs.items():
            ipam = {"ipam_unix_socket_path": str(agent.socket), "log_file_path": str(tmp_path / f"{name}.log")}
            document = {"cniVersion": "1.0.0", "name": "n", "type": "calico", "ipam": ipam}
            started = time.perf_counter()
            done = subprocess.run([program], env=environ, input=json.dumps(document).encode(), capture_output=True)
            took = time.perf_counter() - started
            assert (done.returncode, "10.244.100." in done.stdout.decode()) == (0, True), done
            if turn >= 5:
                seconds[name].append(took)
    ours, go = [statistics.median(seconds[name]) for name in ("ours", "go")]
    show(f"one ADD: ours {1000 * ours:.1f} ms, upstream's Go plugin {1000 * go:.1f} ms, ratio {ours / go:.2f}")
    assert ours <= go
