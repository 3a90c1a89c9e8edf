"""Documents of facts for tests: the guide's node and cluster, on which all is well, and changes of them."""

import copy
import json
import shlex
from typing import Any

from cni.contracts.doctor import CheckReport
from cni.contracts.facts import FACTS, Facts
from cni.doctor import run
from cni.doctor.checks import CHECKS

VERSION = "1.0.0"


def bird(neighbor: str, *exported: str, **protocol: Any) -> dict[str, Any]:
    """Return what a BIRD says that has one session, with the guide's router."""
    return {
        "socket": "/var/run/calico/bird.ctl",
        "fault": "",
        "version": "BIRD 1.6.8 ready.",
        "protocols": [
            {
                "name": "Global_" + neighbor.replace(".", "_").replace(":", "_"),
                "neighbor": neighbor,
                "state": "Established",
                "since": "12:00:03",
                "seconds": 600.0,
                "last_error": "",
                "counters": {"import_updates": [0, 0, 0, 0, 0], "import_withdraws": [2, 0, 2, 0]},
                "exported": [{"prefix": prefix} for prefix in exported],
                **protocol,
            }
        ],
    }


NODE: dict[str, Any] = {
    "name": "node1",
    "installation": {
        "state": "in force",
        "conflist": "/etc/cni/net.d/10-calico.conflist",
        "plugin_type": "calico",
        "as_name": "",
        "swapped_at": 1.0,
        "drift_count": 0,
        "drifts": [],
        "left": "",
    },
    "record_fault": "",
    "plugin": {
        "path": "/opt/cni/bin/spiderpool",
        "bundle": "1.0.0-0123abcd",
        "bundle_fault": "",
        "answer_fault": "",
        "drift": None,
        "sha256": "0" * 64,
        "watch_runs": True,
    },
    "start": {"path": "/opt/cni/bin/spiderpool", "how": "from its image"},
    "conflist": {
        "folder": "/etc/cni/net.d",
        "files": [
            {
                "name": "10-calico.conflist",
                "network": "k8s-pod-network",
                "plugin_types": ["calico", "portmap"],
                "ipam_types": ["spiderpool"],
                "fault": "",
            }
        ],
        "target": "/etc/cni/net.d/10-calico.conflist",
        "ipam_type": "spiderpool",
        "drift": "",
        "loaded_before": "",
        "fault": "",
        "nodename_is_optional": False,
        "pools": {},
    },
    "netconf": [
        {
            "file": "/etc/cni/net.d/10-calico.conflist",
            "main_plugin": "calico",
            "faults": {},
            "unknown": [],
            "shape": "",
            "socket": "/var/run/spidernet/spiderpool.sock",
            "timeout": 120,
        }
    ],
    "chain": [{"type": "calico", "path": "/opt/cni/bin/calico", "state": "executable"}],
    "agent": {"socket": "/var/run/spidernet/spiderpool.sock", "fault": "", "seconds": 0.003},
    "agent_operations": {
        "socket": "/var/run/spidernet/spiderpool.sock",
        "workload_endpoint": 404,
        "coordinator_config": 200,
    },
    "pending": [],
    "multus_network": "",
    "calico_nodename": "node1",
    "route_to_gateway": True,
    "forwarding": {"ipv4": True, "ipv6": True},
    "local_addresses": [{"address": "10.244.100.0", "pod": "default/a", "interface": "eth0"}],
    "bird": bird("172.16.13.1", "10.244.100.0/32"),
    "bird6": bird("fd00:16::1"),
    "routes": [
        {"prefix": "0.0.0.0/0", "type": "unicast", "gateways": ["172.16.13.1"]},
        {"prefix": "172.25.166.128/26", "type": "blackhole", "gateways": []},
        {"prefix": "::/0", "type": "unicast", "gateways": ["fd00:16::1"]},
    ],
    "pod_interfaces": [{"address": "10.244.100.0", "interface": "cali01234567890", "is_up": True, "proxy_arp": True}],
    "calico_token": {"path": "/etc/cni/net.d/calico-kubeconfig", "seconds_left": 80000.0},
}


def guide(cluster: dict[str, Any] | None = None) -> Facts:
    """Return a document of the guide's node, with these facts of the cluster."""
    return FACTS.validate_python(
        {"version": VERSION, "collected_at": 1.0, "node": copy.deepcopy(NODE), "cluster": copy.deepcopy(cluster or {})}
    )


def changed(facts: Facts, name: str, value: Any) -> Facts:
    """Return the document with another value at a dotted name, as "node.agent.fault"; numbers are places of a list."""
    document: Any = copy.deepcopy(facts)
    *way, last = name.split(".")
    here = document
    for step in way:
        here = here[int(step) if step.isdigit() else step]
    here[int(last) if last.isdigit() else last] = value
    return FACTS.validate_python(document)


def made(facts: Facts, check_id: str) -> CheckReport:
    """Make one check on a document, and return its report."""
    report = run.report(CHECKS, facts, run.chosen(CHECKS, [check_id], [], pre=False), VERSION)
    (found,) = [check for check in report["checks"] if check["id"] == check_id]
    assert "the check itself failed" not in found.get("because", "")
    return found


def found(facts: Any, check_id: str) -> list[Any]:
    """Return what a check finds; it must have been made."""
    report = made(facts, check_id)
    assert report["result"] != "not-checked", report
    return list(report["findings"])


def only(facts: Any, check_id: str) -> Any:
    """Return the one thing that a check finds."""
    (finding,) = found(facts, check_id)
    return finding


def patched(finding: Any) -> Any:
    """Return what the command of a finding's mend patches an object with."""
    return json.loads(shlex.split(finding["mend"]["text"])[-1])


def calico_node(name: str, number: int) -> dict[str, Any]:
    """Return a Node that Calico has given its addresses to."""
    annotations = {
        "projectcalico.org/IPv4Address": f"172.16.13.{number}/24",
        "projectcalico.org/IPv6Address": f"fd00:16::{number}/64",
    }
    return {"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}, "annotations": annotations}}


def ip_pool(name: str, cidr: str, **spec: Any) -> dict[str, Any]:
    """Return an IPPool of Calico's."""
    return {"metadata": {"name": name}, "spec": {"cidr": cidr, **spec}}


def spider_pool(name: str, subnet: str, *ips: str, **spec: Any) -> dict[str, Any]:
    """Return a SpiderIPPool."""
    return {"metadata": {"name": name}, "spec": {"subnet": subnet, "ips": list(ips), **spec}}


def workload(
    name: str, image: str = "", *, ready: int = 1, annotations: dict[str, str] | None = None
) -> dict[str, Any]:
    """Return a Deployment, StatefulSet or DaemonSet, as SpiderPool's chart 1.2.1 makes it."""
    labels = {"app.kubernetes.io/component": name, "app.kubernetes.io/instance": "spiderpool"}
    return {
        "metadata": {
            "name": name,
            "namespace": "kube-system",
            "labels": {**labels, "helm.sh/chart": "spiderpool-1.2.1", "app.kubernetes.io/version": "1.2.1"},
        },
        "spec": {
            "replicas": 1,
            "template": {
                "metadata": {"labels": labels, "annotations": annotations or {}},
                "spec": {"containers": [{"name": name, "image": image, "env": []}]},
            },
        },
        "status": {"readyReplicas": ready},
    }


def agent(*env: dict[str, Any], image: str = "ghcr.io/spidernet-io/spiderpool/spiderpool-agent:v1.2.1") -> Any:
    """Return the DaemonSet of spiderpool-agent, with Multus' container beside it."""
    found = workload("spiderpool-agent", image)
    own = found["spec"]["template"]["spec"]["containers"]
    own[0]["env"] = list(env)
    own.insert(0, {"name": "multus-cni", "env": [{"name": "MULTUS_CLUSTER_NETWORK"}]})
    return found


def node_pod(name: str, node: str, *, ready: bool = True, **status: Any) -> dict[str, Any]:
    """Return a pod of a DaemonSet, that became Ready at 1000 s of Unix time."""
    condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": "1970-01-01T00:16:40Z"}
    return {
        "metadata": {"name": name, "namespace": "kube-system"},
        "spec": {"nodeName": node},
        "status": {"phase": "Running", "conditions": [condition], **status},
    }


def bgp_peer(name: str, peer_ip: str, **spec: Any) -> dict[str, Any]:
    """Return a BGPPeer: the guide's router."""
    return {"metadata": {"name": name}, "spec": {"peerIP": peer_ip, "asNumber": 23000, **spec}}


CLUSTER: dict[str, Any] = {
    "api": {
        "groups": ["apps/v1", "crd.projectcalico.org/v1", "spiderpool.spidernet.io/v2beta1"],
        "calico": "crd.projectcalico.org/v1",
    },
    "nodes": [calico_node("node1", 11), calico_node("node2", 21)],
    "namespaces": [{"metadata": {"name": "default"}}, {"metadata": {"name": "kube-system"}}],
    "pods": [],
    "spider_ip_pools": [
        spider_pool("v4", "10.244.0.0/16", "10.244.100.0-10.244.200.1"),
        spider_pool("v6", "fd00:244::/64", "fd00:244::100-fd00:244::200"),
    ],
    "spider_endpoints": [],
    "spider_reserved_ips": [],
    "spider_subnets": [],
    "spider_coordinators": [
        {
            "metadata": {"name": "default"},
            "spec": {"podCIDRType": "auto"},
            "status": {"phase": "Synced", "overlayPodCIDR": ["172.25.0.0/16"], "serviceCIDR": ["10.96.0.0/12"]},
        }
    ],
    "spider_configs": [{"metadata": {"name": "spiderpool-conf"}, "data": {"conf.yml": {"enableIPv4": True}}}],
    "service_cidrs": [{"metadata": {"name": "kubernetes"}, "spec": {"cidrs": ["10.96.0.0/12"]}}],
    "networks": [{"metadata": {"name": "k8s-pod-network", "namespace": "kube-system"}}],
    "deployments": [workload("spiderpool-controller"), workload("calico-kube-controllers")],
    "stateful_sets": [],
    "daemon_sets": [
        agent({"name": "MULTUS_CLUSTER_NETWORK", "value": "kube-system/k8s-pod-network"}),
        workload("spiderpool-ipam"),
        workload("calico-node"),
    ],
    "agent_pods": [node_pod("spiderpool-agent-1", "node1"), node_pod("spiderpool-agent-2", "node2")],
    "own_pods": [node_pod("spiderpool-ipam-1", "node1"), node_pod("spiderpool-ipam-2", "node2")],
    "controller_endpoints": [
        {"metadata": {"name": "spiderpool-controller-x"}, "endpoints": [{"conditions": {"ready": None}}]}
    ],
    "ip_pools": [
        ip_pool("default-ipv4-ippool", "172.25.0.0/16", vxlanMode="Always"),
        ip_pool("spiderpool-ippool", "10.244.0.0/16", disabled=True),
        ip_pool("spiderpool-ippool-v6", "fd00:244::/64", disabled=True),
    ],
    "bgp_configurations": [
        {"metadata": {"name": "default"}, "spec": {"nodeToNodeMeshEnabled": False, "asNumber": 64512}}
    ],
    "bgp_peers": [bgp_peer("my-global-peer", "172.16.13.1"), bgp_peer("my-global-peer-v6", "fd00:16::1")],
    "bgp_filters": [],
    "block_affinities": [
        {
            "metadata": {"name": "node1-172-25-166-128-26"},
            "spec": {"state": "confirmed", "node": "node1", "cidr": "172.25.166.128/26", "deleted": "false"},
        }
    ],
    "ip_blocks": [],
    "cluster_informations": [
        {"metadata": {"name": "default"}, "spec": {"calicoVersion": "v3.29.1", "datastoreReady": True}}
    ],
    "felix_configurations": [{"metadata": {"name": "default"}, "spec": {}}],
    "calico_node_statuses": [
        {
            "metadata": {"name": "node1"},
            "spec": {"node": "node1"},
            "status": {"bgp": {"peersV4": [{"peerIP": "172.16.13.1", "state": "Established"}]}},
        }
    ],
    "calico_pods": [node_pod("calico-node-1", "node1"), node_pod("calico-node-2", "node2")],
    "calico_configs": [
        {
            "metadata": {"name": "calico-config", "namespace": "kube-system"},
            "data": {"calico_backend": "bird", "cni_network_config": "spiderpool"},
        }
    ],
    "installations": [],
    "router": {
        "as_number": 23000,
        "neighbors": {"172.16.13.11": {"state": "Established", "peer_state": "OK", "prefixes_received": 2}},
        "routes": {"172.25.166.128/26": ["172.16.13.11"]},
    },
}
