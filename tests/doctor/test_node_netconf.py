"""What the network configurations say to our plugin: read from real files, and judged."""

import json
from typing import Any

import pytest

from cni.doctor.collect import document
from cni.doctor.collect import node as node_facts
from tests.doctor.documents import CLUSTER, changed, guide, made
from tests.installer.sample_node import Node

OURS = "/etc/cni/net.d/10-calico.conflist"


def found(cluster: Any = None, **settings: Any) -> list[Any]:
    facts = guide({**CLUSTER, **(cluster or {})})
    assert made(facts, "node-netconf")["result"] == "ok"
    own: Any = facts["node"]["netconf"]
    return list(made(changed(facts, "node.netconf", [{**own[0], **settings}]), "node-netconf")["findings"])


def test_a_wrong_value_is_named_with_its_key() -> None:
    (finding,) = found(faults={"request_timeout": "Input should be greater than 0"})
    assert (finding["object"], finding["severity"]) == (OURS, "failure")
    assert finding["seen"] == "ipam.request_timeout: Input should be greater than 0"


def test_calico_cannot_use_a_subnet() -> None:
    (finding,) = found(shape="subnet")
    assert finding["mend"]["text"] == "spiderpool-ipam install --set result_shape=calico"
    assert found(shape="subnet", main_plugin="ptp") == []
    assert found(shape="calico") == []


@pytest.mark.parametrize("agents", ["/run/spidernet/spiderpool.sock", "/var/run/spidernet/spiderpool.sock"])
def test_the_agents_own_socket_is_well(agents: str) -> None:
    config = {"metadata": {"name": "spiderpool-conf"}, "data": {"conf.yml": {"ipamUnixSocketPath": agents}}}
    assert found({"spider_configs": [config]}, shape="") == []


def test_another_socket_than_the_agents_is_found() -> None:
    there = "/run/elsewhere.sock"
    config = {"metadata": {"name": "spiderpool-conf"}, "data": {"conf.yml": {"ipamUnixSocketPath": there}}}
    facts = guide({**CLUSTER, "spider_configs": [config]})
    (finding,) = made(facts, "node-netconf")["findings"]
    assert finding["mend"]["text"] == f"spiderpool-ipam install --set ipam_unix_socket_path={there}"
    own: Any = facts["node"]["netconf"]
    elsewhere = [{**one, "file": "/etc/cni/net.d/20-ptp.conflist"} for one in own]
    (finding,) = made(changed(facts, "node.netconf", elsewhere), "node-netconf")["findings"]
    assert "mend" not in finding  # install does not write that file


@pytest.mark.parametrize(("timeout", "number"), [(1, 1), (4, 1), (5, 0)])
def test_a_short_timeout_is_a_warning(timeout: int, number: int) -> None:
    assert [one["severity"] for one in found(timeout=timeout)] == ["warning"] * number


def test_a_key_that_is_none_of_ours_is_a_warning_with_the_nearest() -> None:
    (finding,) = found(unknown=["default_ipv4_pool"])
    assert finding["severity"] == "warning"
    assert finding["seen"] == "ipam.default_ipv4_pool is no key of ours; default_ipv4_ippool is one"


def read(node: Node) -> list[Any]:
    collect = {"node": lambda names: node_facts.collect(lambda: node.folders, names, before_install=False)}
    found: Any = document.gather(collect, {"node.netconf"}, "1.0.0")["node"]["netconf"]
    return list(found)


def test_all_files_are_read_and_no_value_of_them_is_kept(node: Node) -> None:
    node.install(settings={"request_timeout": 3})
    ipam = {
        "type": "spiderpool",
        "result_shape": "s3cr3t",
        "log_level": 7,
        "token": "s3cr3t",
        "ipam_unix_socket_path": None,
    }
    chain = {"cniVersion": "1.0.0", "name": "own", "plugins": [{"type": "ptp", "ipam": ipam}, {"type": "portmap"}]}
    (node.conf / "20-ptp.conflist").write_text(json.dumps(chain))
    (node.conf / "30-cut.conflist").write_text('{"plugins": [{"ipam"')
    (node.conf / "40-list.conf").write_text("[1]")
    ours, ptp = read(node)
    assert (ours["file"], ours["main_plugin"], ours["timeout"], ours["faults"]) == (OURS, "calico", 3, {})
    assert (ptp["main_plugin"], ptp["shape"], ptp["unknown"]) == ("ptp", "", ["token"])
    assert set(ptp["faults"]) == {"result_shape", "log_level"}
    assert ptp["socket"] == "/var/run/spidernet/spiderpool.sock"
    assert "s3cr3t" not in json.dumps([ours, ptp])
