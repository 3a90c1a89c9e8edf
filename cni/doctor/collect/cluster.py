"""Reads the facts of the cluster by its API: a table of lists. Side effects: those of kube.py.

Each object is reduced to the fields of its contract while an answer is parsed.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cni.contracts import api_objects as api
from cni.contracts import calico_objects as calico
from cni.contracts import calico_settings
from cni.contracts import spiderpool_objects as spiderpool
from cni.contracts import workload_objects as workload
from cni.contracts.facts import Api
from cni.deadline import Deadline
from cni.doctor import caller
from cni.doctor.collect import kubeconfig
from cni.doctor.facts import unknown
from cni.installer.errors import InstallerError

if TYPE_CHECKING:
    from cni.doctor.collect.kube import Kube

SECONDS = 60.0  # for all that is asked
# As libcalico-go's discovery.go: where both are served, the second is the aggregated server of the first.
_CALICO = ("crd.projectcalico.org/v1", "projectcalico.org/v3")
_NO_CALICO = (
    "neither crd.projectcalico.org/v1 nor projectcalico.org/v3 is served: Calico's datastore is etcd, or Calico is not"
    " installed"
)
_NOT_FOUND = 404
_SPIDERPOOL = "/apis/spiderpool.spidernet.io/v2beta1"


class Listing(NamedTuple):
    """A list of the API."""

    path: str  # {calico} is the group that Calico reads
    contract: Any
    selector: Mapping[str, str] = {}  # which of its objects: a labelSelector or fieldSelector
    is_optional: bool = False  # whether a cluster does without, where the API does not serve it


LISTS = {
    "nodes": Listing("/api/v1/nodes", api.Node),
    "namespaces": Listing("/api/v1/namespaces", api.Namespace),
    "pods": Listing("/api/v1/pods", api.Pod),
    "spider_ip_pools": Listing(f"{_SPIDERPOOL}/spiderippools", spiderpool.SpiderIPPool),
    "spider_endpoints": Listing(f"{_SPIDERPOOL}/spiderendpoints", spiderpool.SpiderEndpoint),
    "spider_reserved_ips": Listing(f"{_SPIDERPOOL}/spiderreservedips", spiderpool.SpiderReservedIP),
    "spider_subnets": Listing(f"{_SPIDERPOOL}/spidersubnets", api.Named),
    "spider_coordinators": Listing(f"{_SPIDERPOOL}/spidercoordinators", spiderpool.SpiderCoordinator),
    "spider_configs": Listing(
        "/api/v1/configmaps", spiderpool.SpiderConfig, {"fieldSelector": "metadata.name=spiderpool-conf"}
    ),
    "service_cidrs": Listing("/apis/networking.k8s.io/v1/servicecidrs", api.ServiceCIDR),
    "networks": Listing("/apis/k8s.cni.cncf.io/v1/network-attachment-definitions", api.Named),
    "deployments": Listing("/apis/apps/v1/deployments", workload.Workload),
    "stateful_sets": Listing("/apis/apps/v1/statefulsets", workload.Workload),
    "daemon_sets": Listing("/apis/apps/v1/daemonsets", workload.Workload),
    "agent_pods": Listing(
        "/api/v1/pods", workload.NodePod, {"labelSelector": "app.kubernetes.io/component=spiderpool-agent"}
    ),
    "own_pods": Listing("/api/v1/pods", workload.NodePod, {"labelSelector": "app.kubernetes.io/name=spiderpool-ipam"}),
    "controller_endpoints": Listing(
        "/apis/discovery.k8s.io/v1/endpointslices",
        workload.EndpointSlice,
        {"labelSelector": "kubernetes.io/service-name=spiderpool-controller"},
    ),
    "ip_pools": Listing("/apis/{calico}/ippools", calico.IPPool),
    "bgp_configurations": Listing("/apis/{calico}/bgpconfigurations", calico.BGPConfiguration),
    "bgp_peers": Listing("/apis/{calico}/bgppeers", calico.BGPPeer),
    "bgp_filters": Listing("/apis/{calico}/bgpfilters", calico.BGPFilter, is_optional=True),  # since Calico 3.25
    "block_affinities": Listing("/apis/{calico}/blockaffinities", calico.BlockAffinity),
    "ip_blocks": Listing("/apis/{calico}/ipamblocks", calico.IPAMBlock),
    "cluster_informations": Listing("/apis/{calico}/clusterinformations", calico.ClusterInformation),
    "felix_configurations": Listing("/apis/{calico}/felixconfigurations", calico_settings.FelixConfiguration),
    "calico_node_statuses": Listing("/apis/{calico}/caliconodestatuses", calico_settings.CalicoNodeStatus),
    "installations": Listing(
        "/apis/operator.tigera.io/v1/installations", calico_settings.Installation, is_optional=True
    ),
    "calico_pods": Listing("/api/v1/pods", workload.NodePod, {"labelSelector": "k8s-app=calico-node"}),
    "calico_configs": Listing(
        "/api/v1/configmaps", calico_settings.CalicoConfig, {"fieldSelector": "metadata.name=calico-config"}
    ),
}


def collect(explicit: Path | None, context: str, names: set[str], progress: Callable[[str], None]) -> Mapping[str, Any]:
    """Return these facts. Each that cannot be had says why."""
    from cni.doctor.collect.kube import Kube

    try:
        kube = Kube(kubeconfig.find(explicit, context, caller.environment()), Deadline(SECONDS))
    except InstallerError as error:
        return {name: unknown(str(error)) for name in names}
    try:
        return read(kube, names, progress)
    finally:
        kube.close()


def read(kube: "Kube", names: set[str], progress: Callable[[str], None]) -> Mapping[str, Any]:
    """Read these facts of this API."""
    found: dict[str, Any] = {}
    served: Api | None = None
    try:
        served = found["api"] = _served(kube)
    except InstallerError as error:
        found["api"] = unknown(str(error))
    for name in sorted(names & LISTS.keys()):
        progress(f"reading {name}")
        found[name] = _listed(kube, LISTS[name], served, found["api"])
    return found


def _listed(kube: "Kube", listing: Listing, served: Api | None, said: Any) -> Any:
    from cni.doctor.collect.kube import KubeError, page_of

    if "{calico}" in listing.path:
        if served is None:
            return said
        if not served["calico"]:
            return unknown(_NO_CALICO)
    path = listing.path.format(calico=served["calico"] if served else "")
    try:
        return kube.list(path, page_of(listing.contract), listing.selector)
    except KubeError as error:
        if listing.is_optional and error.status == _NOT_FOUND:
            return []
        return unknown(f"{path}: {error}")
    except Exception as error:  # the others are to be read. Its text may quote an object.
        return unknown(f"{path}: to read it has failed, report it: {type(error).__name__}")


def _served(kube: "Kube") -> Api:
    groups = kube.read("/apis", api.GROUPS)["groups"]
    versions = [version["groupVersion"] for group in groups for version in group["versions"]]
    return {"groups": versions, "calico": next((name for name in _CALICO if name in versions), "")}
