"""What is read of a node: real folders, files, sockets and a plugin that runs."""

import json
import os
import socket
import subprocess
import sys
import time
from typing import Any

import pytest

from cni.contracts.facts import FACTS
from cni.doctor.collect import node as node_facts
from cni.doctor.collect.document import ALL, gather, not_asked
from cni.doctor.collect.node import collect
from tests import requirements
from tests.doctor.documents import made
from tests.installer.health_agent import HealthAgent
from tests.installer.sample_node import Node
from tests.waiting import SLACK

NAMES = {name.partition(".")[2] for name in ALL if name.startswith("node.")}
IN_TURN = NAMES - {"bird", "bird6", "route_to_gateway", "forwarding", "agent_operations", "watch_log"}


def facts(node: Node, *, before_install: bool = False) -> Any:
    collectors = {
        "node": lambda names: collect(node.find, names, before_install=before_install),
        "cluster": not_asked("not asked"),
    }
    return gather(collectors, ALL, "1.0.0")


def found(node: Node, check_id: str) -> list[str]:
    report = made(facts(node), check_id)
    assert report["result"] != "not-checked", report
    return [finding["seen"] for finding in report["findings"]]


@pytest.fixture
def installed(node: Node) -> Node:
    (node.root / "etc/hostname").write_text("Node7\n")
    (node.bin / "portmap").touch()
    for name in ("calico", "portmap", "bandwidth"):
        (node.bin / name).write_text("")
        (node.bin / name).chmod(0o755)
    for name in ("var/lib/calico", "var/run/spidernet", "var/log/spidernet"):
        (node.root / name).mkdir(parents=True)
    (node.conf / "calico-kubeconfig").write_text("users:\n- user:\n    token: a.e30.c\n")
    node.install()
    return node


def test_on_a_bare_node_nothing_else_is_read(node: Node) -> None:
    read = facts(node)["node"]
    assert (read["installation"], read["record_fault"]) == (None, "")
    others = NAMES - {"installation", "record_fault"}
    assert all(read[name] == {"unknown": "nothing is installed here"} for name in others)


def test_before_an_install_it_is(node: Node) -> None:
    (node.root / "var/run/spidernet").mkdir(parents=True)
    read = facts(node, before_install=True)["node"]
    assert read["conflist"]["target"] == "/etc/cni/net.d/10-calico.conflist"
    assert read["agent"]["fault"].startswith("there is no such socket")


def test_on_an_installed_node_all_is_read_and_keeps_its_contract(installed: Node) -> None:
    read = facts(installed)
    assert FACTS.validate_python(json.loads(json.dumps(read))) == read
    node = read["node"]
    assert not [name for name in IN_TURN if isinstance(node[name], dict) and "unknown" in node[name]]
    assert node["installation"]["state"] == "in force"
    assert node["name"] == "node7"
    assert (node["conflist"]["ipam_type"], node["conflist"]["pools"]) == ("spiderpool", {})
    for check in ("node-installed", "node-bundle", "node-plugin-answers", "node-plugin-ours", "node-conflist"):
        assert found(installed, check) == []
    assert found(installed, "node-chain-binaries") == []


@pytest.mark.parametrize(
    ("folder", "check_id"), [("var/lib/calico", "node-calico-nodename"), ("var/run/spidernet", "node-agent")]
)
def test_what_a_container_has_not_mounted_is_not_taken_for_missing(installed: Node, folder: str, check_id: str) -> None:
    (installed.root / folder).rmdir()
    report = made(facts(installed), check_id)
    assert report["result"] == "not-checked"
    assert f"/{folder} is not there below {installed.root}" in report.get("because", "")


def test_a_damaged_bundle_is_found(installed: Node) -> None:
    (installed.bin / ".spiderpool/current/_internal/data").write_text("else")
    assert "_internal/data does not hold what SHA256SUMS says" in found(installed, "node-bundle")[0]


def test_a_damaged_record_is_found_and_the_rest_is_read(installed: Node) -> None:
    (installed.root / "var/lib/spiderpool-ipam/folders").unlink()
    (installed.conf / ".spiderpool-ipam.swap").write_text("{")
    assert "/etc/cni/net.d/.spiderpool-ipam.swap is damaged" in found(installed, "node-installed")[0]
    assert found(installed, "node-plugin-answers") == []


def test_a_fact_whose_reader_fails_is_not_known_and_the_others_are(
    installed: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise ValueError("s3cr3t")

    monkeypatch.setitem(vars(node_facts)["_READERS"], "log", fail)
    read = facts(installed)["node"]
    assert read["log"] == {"unknown": "to read it has failed, report it: ValueError"}
    assert read["name"] == "node7"


def test_another_program_in_the_plugins_place_is_found(installed: Node) -> None:
    installed.plugin.unlink()
    installed.plugin.write_text("#!/bin/sh\nexit 1\n")
    installed.plugin.chmod(0o755)
    assert "it is another program of this name (SHA-256 " in found(installed, "node-plugin-ours")[0]
    assert "exit status 1" in found(installed, "node-plugin-answers")[0]


def test_a_plugin_that_hangs_is_found_in_time(installed: Node) -> None:
    installed.plugin.unlink()
    installed.plugin.write_text("#!/bin/sh\nexec sleep 60\n")
    installed.plugin.chmod(0o755)
    started = time.monotonic()
    assert found(installed, "node-plugin-answers") == ["no answer to VERSION: no answer within 2 s"]
    assert time.monotonic() - started < 2 + SLACK


def test_a_plugin_that_is_gone_is_found(installed: Node) -> None:
    installed.plugin.unlink()
    assert "was removed" in found(installed, "node-plugin-ours")[0]
    assert "No such file" in found(installed, "node-plugin-answers")[0]


def test_a_conflist_that_others_have_written_is_found(installed: Node) -> None:
    installed.write()
    assert found(installed, "node-conflist") == ["ipam.type is calico-ipam"]


def test_the_pools_that_the_conflist_names_are_read(installed: Node) -> None:
    installed.install(settings={"default_ipv4_ippool": ["v4"]})
    assert facts(installed)["node"]["conflist"]["pools"] == {"default_ipv4_ippool": ["v4"]}


def test_a_conflist_that_is_cut_is_found(installed: Node) -> None:
    installed.conflist.write_text(installed.conflist.read_text()[:50])
    assert "no plugin of type calico" in found(installed, "node-conflist")[0]


def test_a_file_that_runtimes_load_before_ours_is_found(installed: Node) -> None:
    (installed.conf / "00-other.conf").write_text('{"cniVersion": "1.0.0", "name": "other", "type": "bridge"}')
    assert found(installed, "node-conflist") == ["runtimes load another file: /etc/cni/net.d/00-other.conf"]


def test_a_plugin_of_the_chain_that_is_missing_is_found(installed: Node) -> None:
    types = json.loads(installed.conflist.read_text())["plugins"]
    last = str(types[-1]["type"])
    (installed.bin / last).chmod(0o644)
    assert "is not executable" in found(installed, "node-chain-binaries")[0]
    (installed.bin / last).unlink()
    assert "there is no such file" in found(installed, "node-chain-binaries")[0]


# httpcore does not close the socket of a connection that is refused.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_agents_health_is_told(installed: Node) -> None:
    path = installed.root / "var/run/spidernet/spiderpool.sock"
    assert "there is no such socket" in found(installed, "node-agent")[0]
    path.parent.rmdir()
    agent = HealthAgent(path)
    try:
        while not path.exists():
            time.sleep(0.01)
        assert found(installed, "node-agent") == []
    finally:
        agent.close()
    assert "refused" in found(installed, "node-agent")[0]


def test_an_agent_that_hangs_is_not_waited_for(installed: Node) -> None:
    path = installed.root / "var/run/spidernet/spiderpool.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        started = time.monotonic()
        assert "timed out" in found(installed, "node-agent")[0]
        assert time.monotonic() - started < 2 + SLACK


def test_the_nodes_name_is_read_where_calico_keeps_it(installed: Node) -> None:
    assert found(installed, "node-calico-nodename") == ["it is missing"]
    (installed.root / "var/lib/calico/nodename").write_text("node9\n")
    assert facts(installed)["node"]["name"] == "node9"
    assert found(installed, "node-calico-nodename") == []


def test_what_libcni_knows_of_our_pods_is_told(installed: Node) -> None:
    installed.cache_result("a", {"plugins": [{"type": "calico", "ipam": {"type": "spiderpool"}}]})
    path = installed.root / "var/lib/cni/results/a"
    cached = json.loads(path.read_text())
    result = {"ips": [{"address": "10.244.100.7/32"}, {"address": "fd00:244::7/128"}]}
    path.write_text(json.dumps({**cached, "ifName": "eth0", "result": result}))
    installed.cache_result("b", {"plugins": [{"type": "calico", "ipam": {"type": "calico-ipam"}}]})
    whose = {"pod": "default/a", "interface": "eth0", "network": "k8s-pod-network"}
    assert facts(installed)["node"]["local_addresses"] == [
        {"address": "10.244.100.7", **whose},
        {"address": "fd00:244::7", **whose},
    ]


def test_of_the_log_only_our_own_lines_are_read(installed: Node) -> None:
    log = installed.root / "var/log/spidernet/spiderpool.log"
    ours = {"time": "2026-01-01T00:00:00.000Z", "level": "info", "command": "ADD", "outcome": "ok"}
    ours |= {"code": 0, "ms": 3, "agent_ms": 2}  # type: ignore[dict-item]
    log.write_text(f'{json.dumps(ours)}\n{{"level":"debug","stdin":"s3cr3t"}}\nnoise s3cr3t\n{json.dumps(ours)[:-9]}')
    assert facts(installed)["node"]["log"] == [ours]
    log.unlink()
    os.mkfifo(log)
    assert "FIFO" in facts(installed)["node"]["log"]["unknown"]


IN_A_NETWORK = """
import json
from cni.doctor.collect import network
print(json.dumps([network.has_route(network.GATEWAY), network.forwarding()]))
"""


@pytest.mark.parametrize(("route", "has_route"), [("true", False), ("ip route add default dev uplink", True)])
def test_the_kernel_is_asked_for_the_route_and_for_forwarding(route: str, has_route: bool) -> None:
    requirements.need_root()
    unshare = requirements.need_program("unshare")
    requirements.need_program("ip")
    link = "ip link set lo up; ip link add uplink type veth peer other; ip link set other up; ip link set uplink up"
    done = subprocess.run(
        [unshare, "--net", "sh", "-ec", f"{link}; {route}; exec {sys.executable} -c '{IN_A_NETWORK}'"],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=requirements.ROOT,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0] is has_route
    assert json.loads(done.stdout)[1]["ipv4"] in (True, False)
