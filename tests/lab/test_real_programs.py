"""Calico's and SpiderPool's own programs work on the test API server as they do on Kubernetes."""

import random
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.lab import spiderpool
from tests.lab.api_process import Api, create, made, running_api
from tests.requirements import need_lab_tool, need_tool
from tests.waiting import wait_for

pytestmark = pytest.mark.slow

PODS = "/api/v1/namespaces/default/pods"
POOLS = "/apis/spiderpool.spidernet.io/v2beta1/spiderippools"
ENDPOINTS = "/apis/spiderpool.spidernet.io/v2beta1/namespaces/default/spiderendpoints"
# The guide's objects.
CALICO_OBJECTS = """
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: spiderpool-ippool}
spec: {blockSize: 26, cidr: 10.244.0.0/16, ipipMode: Never, disabled: true, nodeSelector: all(), vxlanMode: Never}
---
apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: {name: my-global-peer}
spec: {peerIP: 172.16.13.1, asNumber: 23000}
---
apiVersion: projectcalico.org/v3
kind: BGPConfiguration
metadata: {name: default}
spec: {asNumber: 64512, nodeToNodeMeshEnabled: true}
"""
NODE = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {
        "name": "node1",
        "annotations": {
            "projectcalico.org/IPv4Address": "172.16.13.11/24",
            "projectcalico.org/IPv6Address": "fd00:16::11/64",
        },
    },
}


@pytest.fixture
def cluster() -> Iterator[Api]:
    """Give a server that has Calico's and SpiderPool's definitions and a node."""
    definitions = [need_lab_tool("calico-crds.yaml"), need_lab_tool("spiderpool-crds")]
    with running_api(*(f"--load={place}" for place in definitions)) as api:
        create(api, "/api/v1/nodes", "node1", **NODE)
        yield api


def calicoctl(api: Api, *words: str, stdin: str = "") -> str:
    environ = {"DATASTORE_TYPE": "kubernetes", "K8S_API_ENDPOINT": api.url}
    command: list[str | Path] = [need_lab_tool("calicoctl"), *words]
    ended = subprocess.run(command, input=stdin, env=environ, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return str(ended.stdout)


def confd_folder(folder: Path) -> Path:
    """Copy confd's configuration and templates, which name absolute paths, and let them write into the copy.

    Lines that set krt_tunnel go: only Calico's fork of BIRD knows this attribute, of IP-in-IP routes.
    """
    copy = folder / "confd"
    shutil.copytree(need_lab_tool("confd-templates"), copy)
    for path in copy.glob("conf.d/*.toml"):
        path.write_text(path.read_text().replace("/etc/calico/confd/config", f"{copy}/config"))
    for path in copy.glob("templates/*.template"):
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(line for line in lines if "krt_tunnel" not in line))
    return copy


@contextmanager
def running_confd(api: Api, folder: Path) -> Iterator[Path]:
    """Run confd for node1 as calico-node does, first once and then for good; give the folder that it writes to.

    It has BIRD check what it has written. In its first run it writes files that BIRD refuses as well, because they
    include each other.
    """
    copy = confd_folder(folder)
    path = f"{need_lab_tool('bird/usr/sbin')}:/usr/bin:/bin"
    environ = {"DATASTORE_TYPE": "kubernetes", "K8S_API_ENDPOINT": api.url, "NODENAME": "node1", "PATH": path}
    command: list[str | Path] = [need_lab_tool("confd"), f"-confdir={copy}"]
    with (folder / "confd.log").open("w") as log:
        subprocess.run([*command, "-onetime"], env=environ, stdout=log, stderr=log, check=True, timeout=60)
        with subprocess.Popen(command, env=environ, stdout=log, stderr=log) as process:
            try:
                yield copy / "config"
            finally:
                process.kill()


def text_of(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def pool(name: str, version: int, subnet: str, *ips: str) -> dict[str, Any]:
    """Return a SpiderIPPool with what the webhooks would add: nobody calls them here."""
    spec = {"ipVersion": version, "subnet": subnet, "ips": list(ips), "default": True}
    return {"metadata": {"name": name, "finalizers": ["spiderpool.spidernet.io"]}, "spec": spec}


def make_pools(api: Api) -> None:
    made(api.client.post(POOLS, json=pool("v4", 4, "10.244.0.0/16", "10.244.100.10-10.244.100.20")))
    made(api.client.post(POOLS, json=pool("v6", 6, "fd00:244::/64", "fd00:244::10-fd00:244::20")))


def make_pod(api: Api, name: str, **annotations: str) -> dict[str, Any]:
    """Make a pod on the node; return what an IPAM plugin sends for it."""
    pod = create(api, PODS, name, metadata={"annotations": annotations}, spec={"nodeName": "node1", "containers": []})
    return {
        "containerID": f"c-{name}",
        "ifName": "eth0",
        "netNamespace": "/var/run/netns/x",
        "podNamespace": "default",
        "podName": name,
        "podUID": pod["metadata"]["uid"],
    }


def counts(api: Api) -> list[int]:
    """Return how many addresses of the pools are held, by the order of their names."""
    pools = made(api.client.get(POOLS), 200)["items"]
    return [found.get("status", {}).get("allocatedIPCount", 0) for found in pools]


def free_ports(count: int) -> int:
    """Return the first of some ports in a row that nobody listens on; two tests at a time hardly look at the same."""
    for first in random.sample(range(21000, 29000, count), 100):
        with ExitStack() as stack, suppress(OSError):
            for port in range(first, first + count):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first
    pytest.fail("no free ports")


@contextmanager
def running_agent(api: Api, folder: Path, **options: Any) -> Iterator[httpx.Client]:
    """Run SpiderPool's agent of node1; give a client of it."""
    need_lab_tool("spiderpool-agent")
    path = folder / "spiderpool.sock"
    kubeconfig = api.kubeconfig(folder)
    agent = spiderpool.start_agent("node1", path, kubeconfig, folder / "agent", first_port=free_ports(2), **options)
    try:
        with httpx.Client(
            transport=httpx.HTTPTransport(uds=str(path)), base_url="http://agent/v1", timeout=60
        ) as client:
            yield client
    finally:
        agent.stop()


@contextmanager
def running_controller(api: Api, folder: Path) -> Iterator[None]:
    need_lab_tool("spiderpool-controller")
    kubeconfig = api.kubeconfig(folder)
    controller = spiderpool.start_controller(kubeconfig, folder / "controller", first_port=free_ports(3))
    try:
        yield
    finally:
        controller.stop()


def test_calicoctl_applies_reads_changes_and_deletes_the_guides_objects(cluster: Api) -> None:
    assert "Successfully applied 3 resource(s)" in calicoctl(cluster, "apply", "-f", "-", stdin=CALICO_OBJECTS)
    assert "10.244.0.0/16" in calicoctl(cluster, "get", "ippool", "-o", "wide")
    assert "172.16.13.1" in calicoctl(cluster, "get", "bgppeer", "my-global-peer")
    patch = '{"spec": {"nodeToNodeMeshEnabled": false}}'
    calicoctl(cluster, "patch", "bgpconfiguration", "default", "-p", patch)
    assert "nodeToNodeMeshEnabled: false" in calicoctl(cluster, "get", "bgpconfiguration", "default", "-o", "yaml")
    assert "node1" in calicoctl(cluster, "get", "node", "-o", "wide")
    calicoctl(cluster, "apply", "-f", "-", stdin=CALICO_OBJECTS)
    calicoctl(cluster, "delete", "ippool", "spiderpool-ippool")
    assert "spiderpool-ippool" not in calicoctl(cluster, "get", "ippool")


def test_confd_writes_what_bird_takes_and_follows_changes(cluster: Api, tmp_path: Path) -> None:
    calicoctl(cluster, "apply", "-f", "-", stdin=CALICO_OBJECTS)
    with running_confd(cluster, tmp_path) as written:
        wait_for(lambda: "neighbor 172.16.13.1 as 23000" in text_of(written / "bird.cfg"), "the peer in bird.cfg")
        wait_for(lambda: "10.244.0.0/16" in text_of(written / "bird_ipam.cfg"), "the pool in bird_ipam.cfg")
        for name, program in (("bird.cfg", "bird"), ("bird6.cfg", "bird6")):
            bird = need_lab_tool(f"bird/usr/sbin/{program}")
            parsed = subprocess.run([bird, "-p", "-c", name], cwd=written, capture_output=True, text=True, timeout=30)
            assert parsed.returncode == 0, parsed.stderr
        calicoctl(cluster, "patch", "bgppeer", "my-global-peer", "-p", '{"spec": {"asNumber": 23001}}')
        wait_for(lambda: "neighbor 172.16.13.1 as 23001" in text_of(written / "bird.cfg"), "the peer's new AS")


def test_the_agent_gives_a_pod_addresses_and_takes_them_back_when_it_terminates(cluster: Api, tmp_path: Path) -> None:
    make_pools(cluster)
    body = make_pod(cluster, "p")
    with running_agent(cluster, tmp_path) as agent:
        answer = agent.post("/ipam/ip", json=body)
        assert answer.status_code == 200, answer.text
        found = {item["version"]: item["address"] for item in answer.json()["ips"]}
        assert found == {4: "10.244.100.10/16", 6: "fd00:244::10/64"}
        assert counts(cluster) == [1, 1]
        assert agent.request("DELETE", "/ipam/ip", json=body).status_code == 200
        assert counts(cluster) == [1, 1], "a live pod keeps its addresses"
        cluster.client.delete(f"{PODS}/p")
        assert agent.request("DELETE", "/ipam/ip", json=body).status_code == 200
        assert counts(cluster) == [0, 0]
    cluster.client.delete(f"{PODS}/p", params={"gracePeriodSeconds": "0"})
    assert made(cluster.client.get(ENDPOINTS), 200)["items"] == []


def test_the_agent_obeys_the_pods_annotation(cluster: Api, tmp_path: Path) -> None:
    make_pools(cluster)
    made(cluster.client.post(POOLS, json=pool("other", 4, "10.244.0.0/16", "10.244.200.5")))
    body = make_pod(cluster, "p", **{"ipam.spidernet.io/ippool": '{"ipv4": ["other"]}'})
    with running_agent(cluster, tmp_path, enableIPv6=False) as agent:
        assert [item["ipPool"] for item in agent.post("/ipam/ip", json=body).json()["ips"]] == ["other"]


def test_an_agent_without_the_cluster_network_of_multus_refuses_every_pod(cluster: Api, tmp_path: Path) -> None:
    make_pools(cluster)
    with running_agent(cluster, tmp_path, cluster_network="") as agent:
        answer = agent.post("/ipam/ip", json=make_pod(cluster, "p"))
    assert answer.status_code == 500
    assert "cluster-network multus isn't set" in answer.text


def test_an_agent_that_cannot_start_says_so_and_names_its_log(cluster: Api, tmp_path: Path) -> None:
    cluster.client.delete(
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/spiderippools.spiderpool.spidernet.io"
    )
    with (
        pytest.raises(spiderpool.SpiderpoolError, match=rf"agent .*; all of it is in {tmp_path}/agent/agent.log"),
        running_agent(cluster, tmp_path),
    ):
        pytest.fail("it serves")


def test_the_controller_counts_a_pools_addresses_and_frees_what_no_del_did(cluster: Api, tmp_path: Path) -> None:
    make_pools(cluster)
    with running_agent(cluster, tmp_path) as agent, running_controller(cluster, tmp_path):

        def is_counted() -> bool:
            status = made(cluster.client.get(f"{POOLS}/v4"), 200).get("status", {})
            return bool(status.get("totalIPCount") == 11)

        wait_for(is_counted, "the pool's size in its status")
        assert agent.post("/ipam/ip", json=make_pod(cluster, "p")).status_code == 200
        assert counts(cluster) == [1, 1]
        for grace in ("30", "0"):
            cluster.client.delete(f"{PODS}/p", params={"gracePeriodSeconds": grace})
        wait_for(lambda: counts(cluster) == [0, 0], "the controller to free the addresses", 60)


def test_helm_renders_spiderpools_chart_with_the_guides_values() -> None:
    chart = need_lab_tool("spiderpool-chart")
    values = ["clusterDefaultPool.installIPv4IPPool=true", "clusterDefaultPool.ipv4Subnet=10.244.0.0/16",
              "clusterDefaultPool.ipv4IPRanges={10.244.100.0-10.244.105.200}"]  # fmt: skip
    command: list[str | Path] = [need_tool("helm"), "template", "spiderpool", chart, "--namespace=kube-system"]
    command += [f"--set={value}" for value in values]
    rendered = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert rendered.returncode == 0, rendered.stderr
    assert "10.244.100.0-10.244.105.200" in rendered.stdout
