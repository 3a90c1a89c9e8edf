"""What mends Calico's objects does so: the very commands, run by the real calicoctl on an API server."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cni.doctor.checks import CHECKS
from cni.doctor.collect import cluster
from cni.doctor.collect.document import gather, not_asked
from tests.doctor.documents import NODE, changed, made
from tests.lab.api_process import Api, create, running_api
from tests.requirements import need_lab_tool

# All of it is wrong but for what BIRD exports.
OBJECTS = """
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: spiderpool-ippool}
spec: {blockSize: 26, cidr: 10.244.0.0/16, ipipMode: Never, vxlanMode: Always, natOutgoing: true}
---
apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: {name: router}
spec: {peerIP: 172.16.13.1, asNumber: 23001}
---
apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: {name: router-v6}
spec: {peerIP: "fd00:16::1", asNumber: 23000}
---
apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata: {name: default}
spec: {bpfEnabled: true, ipv6Support: false}
"""
SPIDER_POOL = """
apiVersion: spiderpool.spidernet.io/v2beta1
kind: SpiderIPPool
metadata: {{name: {name}}}
spec: {{subnet: "{subnet}", ipVersion: {family}, ips: ["{ips}"]}}
"""
LOCKED = """
apiVersion: crd.projectcalico.org/v1
kind: ClusterInformation
metadata: {name: default}
spec: {datastoreReady: false}
"""
MESH_OFF = """
apiVersion: projectcalico.org/v3
kind: BGPConfiguration
metadata: {name: default}
spec: {nodeToNodeMeshEnabled: false}
"""
NODES = """
apiVersion: v1
kind: Node
metadata:
  name: node{number}
  annotations:
    projectcalico.org/IPv4Address: 172.16.13.{number}1/24
    projectcalico.org/IPv6Address: fd00:16::{number}1/64
"""
# In this order: where Felix' routeSource is mended, a tunnel is no fault any more.
MENDED = [
    "calico-version", "calico-pool-disabled", "calico-nat", "bgp-mesh-and-router", "calico-pool-encap",
    "felix-route-source", "felix-ipv6",
]  # fmt: skip


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    """Give a server that has Calico's and SpiderPool's definitions, two nodes, and what is wrong."""
    pools = [("v4", "10.244.0.0/16", 4, "10.244.100.0-10.244.200.1"), ("v6", "fd00:244::/64", 6, "fd00:244::1")]
    documents = [LOCKED, *(NODES.format(number=number) for number in (1, 2))]
    documents += [SPIDER_POOL.format(name=name, subnet=net, family=f, ips=ips) for name, net, f, ips in pools]
    (tmp_path / "cluster.yaml").write_text("\n---".join(documents))
    definitions = [need_lab_tool("calico-crds.yaml"), need_lab_tool("spiderpool-crds"), tmp_path / "cluster.yaml"]
    with running_api(*(f"--load={place}" for place in definitions)) as server:
        server.kubeconfig(tmp_path)
        shell(server, "calicoctl apply -f -", OBJECTS)
        yield server


def shell(api: Api, command: str, stdin: str = "") -> str:
    environ = {
        "PATH": f"{need_lab_tool('calicoctl').parent}:{os.environ['PATH']}",
        "DATASTORE_TYPE": "kubernetes",
        "K8S_API_ENDPOINT": api.url,
    }
    ended = subprocess.run(["sh", "-ec", command], input=stdin, env=environ, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def facts(tmp_path: Path) -> Any:
    wanted = {name for check in CHECKS for name in (*check.needs, *check.uses) if name.startswith("cluster.")}
    collectors = {
        "node": not_asked("not asked"),
        "cluster": lambda names: cluster.collect(tmp_path / "kubeconfig", "", names, lambda _: None),
    }
    read: Any = gather(collectors, wanted, "1.0.0")
    read["node"] = NODE
    return changed(read, "node.name", "node1")


def test_each_mend_mends_what_was_found_and_nothing_is_left(api: Api, tmp_path: Path) -> None:
    for check_id in MENDED:
        before = made(facts(tmp_path), check_id)
        findings = [one for one in before["findings"] if "mend" in one]
        assert findings, before
        for mend in {one["mend"]["text"]: one["mend"] for one in findings}.values():
            if mend["kind"] == "command":
                shell(api, mend["text"])
            else:
                shell(api, "calicoctl apply -f -", mend["text"])
        after = made(facts(tmp_path), check_id)
        assert not [one for one in after["findings"] if "mend" in one], after


def test_a_peers_as_number_and_what_it_takes_of_others_are_mended(api: Api, tmp_path: Path) -> None:
    shell(api, "calicoctl apply -f -", MESH_OFF)
    read = changed(facts(tmp_path), "node.bird.protocols.0.state", "Idle")
    read = changed(read, "node.bird.protocols.0.last_error", "Error: Bad peer AS")
    read = changed(read, "node.routes", [])
    read = changed(read, "cluster.router", {"as_number": 23000, "neighbors": {}, "routes": {}})
    for check_id in ("node-bird", "node-way-to-others"):
        for finding in made(read, check_id)["findings"]:
            shell(api, finding.get("mend", {"text": "false"})["text"])
    specs = {one["metadata"]["name"]: one["spec"] for one in facts(tmp_path)["cluster"]["bgp_peers"]}
    assert specs["router"] == {"peerIP": "172.16.13.1", "asNumber": 23000, "numAllowedLocalASNumbers": 1}
    assert specs["router-v6"]["numAllowedLocalASNumbers"] == 1


def test_a_filter_keeps_from_the_router_what_the_mesh_tells(api: Api, tmp_path: Path) -> None:
    version = [{"metadata": {"name": "default"}, "spec": {"calicoVersion": "v3.28.0"}}]
    read = changed(changed(facts(tmp_path), "node.routes", []), "cluster.cluster_informations", version)
    (finding,) = made(read, "bgp-mesh-and-router")["findings"]
    for _ in range(2):  # another peer's mend makes the same filter
        shell(api, finding.get("mend", {"text": "false"})["text"])
    read = facts(tmp_path)
    assert made(read, "bgp-mesh-and-router")["findings"] == []
    assert read["cluster"]["bgp_peers"][0]["spec"]["filters"] == ["spiderpool-own-routes-only"]


def test_calico_node_can_be_asked_for_its_sessions_as_doctor_says(api: Api, tmp_path: Path) -> None:
    report = made(facts(tmp_path), "bgp-sessions")
    assert report["result"] == "not-checked"
    command = report.get("because", "").partition("To ask it: ")[2]
    nodes = "printf 'node/node1\\nnode/node2\\n'"
    said = shell(api, command.replace("kubectl get nodes -o name", nodes).replace("kubectl apply -f -", "cat"))
    for document in filter(None, yaml.safe_load_all(said)):
        assert document["apiVersion"] == "crd.projectcalico.org/v1"
        create(api, "/apis/crd.projectcalico.org/v1/caliconodestatuses", document["metadata"]["name"], **document)
    assert made(facts(tmp_path), "bgp-sessions")["result"] == "ok"
    statuses = facts(tmp_path)["cluster"]["calico_node_statuses"]
    assert [one["spec"]["node"] for one in statuses] == ["node1", "node2"]


NARROW = """
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {{name: {name}, labels: {{of: somebody}}}}
spec: {{blockSize: 26, cidr: {cidr}, ipipMode: Never, vxlanMode: Never, natOutgoing: true, nodeSelector: all()}}
"""


def test_pools_that_are_too_narrow_are_replaced_or_there_again_if_that_fails(api: Api, tmp_path: Path) -> None:
    narrow = [NARROW.format(name=name, cidr=f"10.244.{third}.0/22") for name, third in (("one", 100), ("two", 104))]
    shell(api, "calicoctl delete ippool spiderpool-ippool && calicoctl apply -f -", "---".join(narrow))

    def pools() -> list[Any]:
        shown = yaml.safe_load(shell(api, "calicoctl get ippool -o yaml"))["items"]
        return [(one["metadata"]["name"], one["metadata"].get("labels"), one["spec"]) for one in shown]

    before = pools()
    assert [(name, labels) for name, labels, _ in before] == [("one", {"of": "somebody"}), ("two", {"of": "somebody"})]
    (mend, _) = (one["mend"]["text"] for one in made(facts(tmp_path), "calico-pool-covers")["findings"])
    with pytest.raises(AssertionError, match="BlockSize"):
        shell(api, f"cd {tmp_path}\n{mend.replace('blockSize: 26', 'blockSize: 99')}")
    assert pools() == before
    shell(api, f"cd {tmp_path}\n{mend}")
    ((_, _, spec),) = pools()
    assert (spec["cidr"], spec["disabled"]) == ("10.244.0.0/16", True)
