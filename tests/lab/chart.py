"""SpiderPool's Helm chart with the guide's values, and what its programs are given by it. Pure but for running helm."""

import json

import yaml

from tests.lab import programs
from tests.lab.objects import Object
from tests.lab.processes import run

# The guide's own, of its page's two variables.
GUIDE = [
    "feature.enableIPv4=true",
    "clusterDefaultPool.installIPv4IPPool=true",
    "clusterDefaultPool.ipv4Subnet=10.244.0.0/16",
    "clusterDefaultPool.ipv4IPRanges={10.244.100.0-10.244.105.200}",
]
IPV6 = [
    "clusterDefaultPool.installIPv6IPPool=true",
    "clusterDefaultPool.ipv6Subnet=fd00:244::/64",
    "clusterDefaultPool.ipv6IPRanges={fd00:244::100-fd00:244::1ff}",
]
# The guide lacks it, and agents since v1.1 refuse every pod without.
MULTUS = ["multus.multusCNI.defaultCniCRName=k8s-pod-network"]
WITH_MULTUS = GUIDE + IPV6 + MULTUS


def render(values: list[str]) -> list[Object]:
    """Return the objects that `helm install` with these values would make."""
    options = [f"--set={value}" for value in values]
    text = run(programs.HELM, "template", "spiderpool", programs.CHART, "--namespace", "kube-system", *options)
    return [one for one in yaml.safe_load_all(text) if one]


def cluster_network(objects: list[Object]) -> str:
    """Return the agent's MULTUS_CLUSTER_NETWORK, empty where the chart leaves it out."""
    return _environment(objects, "DaemonSet", "spiderpool-agent").get("MULTUS_CLUSTER_NETWORK", "")


def pools(objects: list[Object]) -> list[Object]:
    """Return the SpiderIPPools that spiderpool-init makes, by the rules of its program."""
    environ = _environment(objects, "Job", "spiderpool-init")
    found = []
    for version in (4, 6):
        prefix = f"SPIDERPOOL_INIT_DEFAULT_IPV{version}_IPPOOL"
        if name := environ.get(f"{prefix}_NAME"):
            ranges, subnet = json.loads(environ[f"{prefix}_IPRANGES"]), environ[f"{prefix}_SUBNET"]
            spec = {"ipVersion": version, "subnet": subnet, "ips": ranges, "default": True}
            kind = {"apiVersion": "spiderpool.spidernet.io/v2beta1", "kind": "SpiderIPPool"}
            found.append({**kind, "metadata": {"name": name}, "spec": spec})
    return found


def _environment(objects: list[Object], kind: str, name: str) -> dict[str, str]:
    """Return the variables of the container of this name, as far as the chart itself has their values."""
    containers = [
        container
        for one in objects
        if (one["kind"], one["metadata"]["name"]) == (kind, name)
        for container in one["spec"]["template"]["spec"]["containers"]
        if container["name"] == name
    ]
    return {entry["name"]: str(entry.get("value", "")) for one in containers for entry in one["env"]}
