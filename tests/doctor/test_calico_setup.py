"""How Calico was set up: each check on other settings than the guide's, and that its mend is a command that works."""

import json
import shlex
import subprocess
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter

from cni.contracts.calico_settings import CalicoConfig
from cni.doctor.facts import unknown
from tests.doctor.documents import CLUSTER, changed, found, guide, ip_pool, made, only, workload

OURS = "spiderpool-ippool"
BLOCK = {"metadata": {"name": "b"}, "spec": {"cidr": "10.244.100.0/26", "node": "node1"}}


def cluster(**facts: Any) -> Any:
    return guide({**CLUSTER, **facts})


def calico_node(**variables: str | None) -> list[Any]:
    made_set = workload("calico-node")
    env = [{"name": name, **({} if value is None else {"value": value})} for name, value in variables.items()]
    made_set["spec"]["template"]["spec"]["containers"][0]["env"] = env
    return [made_set]


def installation(**spec: Any) -> list[Any]:
    return [{"metadata": {"name": "default"}, "spec": spec}]


def config(backend: str = "bird", ipam: str = "calico-ipam") -> list[Any]:
    data = {"calico_backend": backend, "cni_network_config": ipam}
    return [{"metadata": {"name": "calico-config", "namespace": "kube-system"}, "data": data}]


def patched(finding: Any) -> Any:
    """Return what the command of a mend would change."""
    words = shlex.split(finding["mend"]["text"])
    return json.loads(words[words.index("-p") + 1])


def pool(**spec: Any) -> list[Any]:
    return [ip_pool(OURS, "10.244.0.0/16", **{"disabled": True, **spec})]


def test_the_version_is_told_and_a_datastore_that_is_locked_is_a_failure() -> None:
    assert only(cluster(), "calico-version")["seen"] == "this is Calico v3.29.1"
    locked = [{"metadata": {"name": "default"}, "spec": {"datastoreReady": False}}]
    version, lock = found(cluster(cluster_informations=locked), "calico-version")
    assert (version["severity"], version["seen"]) == ("information", "this is Calico of an unknown version")
    assert (lock["severity"], lock["mend"]["text"]) == ("failure", "calicoctl datastore migrate unlock")


def test_another_backend_is_found_in_the_variable_itself() -> None:
    finding = only(cluster(daemon_sets=calico_node(CALICO_NETWORKING_BACKEND="vxlan")), "calico-backend")
    assert finding["seen"] == "its CALICO_NETWORKING_BACKEND is vxlan"
    assert finding["mend"]["text"].endswith("set env daemonset/calico-node CALICO_NETWORKING_BACKEND=bird")


def test_another_backend_is_found_in_the_configmap_that_the_variable_comes_from() -> None:
    daemon_sets = calico_node(CALICO_NETWORKING_BACKEND=None)
    finding = only(cluster(daemon_sets=daemon_sets, calico_configs=config("vxlan")), "calico-backend")
    assert (finding["object"], finding["seen"]) == ("ConfigMap/calico-config", "its calico_backend is vxlan")
    assert patched(finding) == {"data": {"calico_backend": "bird"}}
    assert found(cluster(daemon_sets=daemon_sets, calico_configs=config()), "calico-backend") == []
    facts = cluster(daemon_sets=daemon_sets, calico_configs=unknown("HTTP status 403"))
    assert made(facts, "calico-backend").get("because") == "HTTP status 403"


def test_bgp_that_the_operator_has_turned_off_is_found() -> None:
    off = installation(calicoNetwork={"bgp": "Disabled"})
    daemon_sets = calico_node(CALICO_NETWORKING_BACKEND="none")
    finding = only(cluster(installations=off, daemon_sets=daemon_sets), "calico-backend")
    assert (finding["object"], patched(finding)) == (
        "Installation/default", {"spec": {"calicoNetwork": {"bgp": "Enabled"}}},
    )  # fmt: skip
    assert found(cluster(installations=installation(calicoNetwork=None)), "calico-backend") == []


def test_of_a_calico_node_of_the_operators_no_variable_is_set() -> None:
    by_operator: dict[str, Any] = {"installations": installation(calicoNetwork={"bgp": "Enabled"})}
    backend = cluster(**by_operator, daemon_sets=calico_node(CALICO_NETWORKING_BACKEND="none"))
    source = calico_node(FELIX_ROUTESOURCE="CalicoIPAM", FELIX_BPFENABLED="true")
    for facts, check_id in (
        (backend, "calico-backend"),
        (cluster(**by_operator, daemon_sets=source), "felix-route-source"),
    ):
        assert "mend" not in only(facts, check_id)
    without = cluster(**by_operator, daemon_sets=calico_node(FELIX_IPV6SUPPORT="false"))
    method = {"firstFound": None, "kubernetes": "NodeInternalIP"}
    assert patched(only(without, "felix-ipv6")) == {"spec": {"calicoNetwork": {"nodeAddressAutodetectionV6": method}}}


def test_without_calico_node_its_backend_is_not_known() -> None:
    assert made(cluster(daemon_sets=[]), "calico-backend")["result"] == "not-checked"


TEMPLATE = """{
  "name": "k8s-pod-network",
  "plugins": [
    {
      "type": "calico",
      "mtu": __CNI_MTU__,
      "ipam": {
          "type": "calico-ipam"
      },
      "policy": {"type": "k8s"}
    },
    {"type": "portmap", "snat": true}
  ]
}"""


def test_of_the_template_of_the_conflist_nothing_but_the_ipam_is_read() -> None:
    raw: Any = {"metadata": {"name": "calico-config"}, "data": {"cni_network_config": TEMPLATE, "etcd_key": "s3cr3t"}}
    kept = TypeAdapter(CalicoConfig).validate_python(raw)
    assert kept["data"] == {"cni_network_config": "calico-ipam"}
    assert TypeAdapter(CalicoConfig).validate_python(kept) == kept
    for text in ("", "no template {}", None):
        raw = {"metadata": {"name": "x"}, "data": {"cni_network_config": text}}
        assert TypeAdapter(CalicoConfig).validate_python(raw)["data"]["cni_network_config"] == ""


@pytest.mark.parametrize("style", ["|", '"'])
def test_the_mend_of_the_configmap_replaces_the_ipam_and_nothing_else(style: str) -> None:
    facts = changed(cluster(calico_configs=config()), "node.plugin.watch_runs", False)
    command = only(facts, "calico-reverts")["mend"]["text"]
    (middle,) = [part for part in command.split(" | ") if part.startswith("sed ")]
    text = yaml.dump({"data": {"cni_network_config": TEMPLATE}}, default_style=style)
    said = subprocess.run(["sh", "-c", middle], input=text, capture_output=True, text=True, timeout=20, check=True)
    wanted = TEMPLATE.replace("calico-ipam", "spiderpool")
    assert yaml.safe_load(said.stdout) == {"data": {"cni_network_config": wanted}}


def test_a_node_that_keeps_its_conflist_is_not_warned_of_what_calico_writes() -> None:
    facts = cluster(calico_configs=config())
    assert found(facts, "calico-reverts") == []
    alone = changed(facts, "node.plugin.watch_runs", False)
    assert only(alone, "calico-reverts")["severity"] == "warning"
    assert found(changed(alone, "node.installation.as_name", "00-spiderpool-calico.conflist"), "calico-reverts") == []
    elsewhere = changed(facts, "node.plugin", unknown("the node was not looked at"))
    assert only(elsewhere, "calico-reverts")["severity"] == "information"


def test_the_operator_can_be_told_no_other_ipam() -> None:
    facts = cluster(installations=installation(cni={"type": "Calico", "ipam": {"type": "HostLocal"}}))
    finding = only(changed(facts, "node.plugin.watch_runs", False), "calico-reverts")
    assert "the IPAM HostLocal" in finding["seen"]
    assert "--as" in finding["mend"]["text"]


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"nodeSelector": "all()"},
        {"allowedUses": ["Tunnel"]},
        {"nodeSelector": "("},
        {"assignmentMode": "Automatic", "allowedUses": ["Workload"]},
        {"assignmentMode": "Manual"},
    ],
)
def test_a_pool_that_calicos_own_ipam_may_use_is_a_warning(spec: Any) -> None:
    finding = only(cluster(ip_pools=pool(disabled=False, **spec)), "calico-pool-disabled")
    assert (finding["severity"], patched(finding)) == ("warning", {"spec": {"disabled": True}})


@pytest.mark.parametrize(
    "spec",
    [
        {"disabled": True},
        {"nodeSelector": "has(none)"},
        {"allowedUses": ["LoadBalancer"]},
        {"assignmentMode": "Manual", "allowedUses": ["Workload"]},
    ],
)
def test_a_pool_that_it_may_not_use_is_none(spec: Any) -> None:
    assert found(cluster(ip_pools=pool(**{"disabled": False, **spec})), "calico-pool-disabled") == []


def test_with_a_block_taken_it_is_a_failure_and_a_symptom_of_the_block() -> None:
    finding = only(cluster(ip_pools=pool(disabled=False), block_affinities=[BLOCK]), "calico-pool-disabled")
    assert (finding["severity"], finding["cause"]) == ("failure", "calico-blocks")
    assert "has taken the block 10.244.100.0/26" in finding["seen"]


def test_a_pool_that_the_operator_holds_is_changed_there() -> None:
    held = installation(calicoNetwork={"ipPools": [{"cidr": "172.25.0.0/16"}, {"cidr": "10.244.0.0/16"}]})
    facts = cluster(ip_pools=pool(disabled=False, vxlanMode="Always"), installations=held)
    path = "/spec/calicoNetwork/ipPools/1"
    assert patched(only(facts, "calico-pool-disabled")) == [
        {"op": "add", "path": f"{path}/disableNewAllocations", "value": True}
    ]
    assert patched(only(facts, "calico-pool-encap")) == [
        {"op": "add", "path": f"{path}/encapsulation", "value": "None"}
    ]


@pytest.mark.parametrize(
    ("spec", "version", "with_mesh"),
    [
        ({"vxlanMode": "Always"}, "v3.29.1", "failure"),
        ({"vxlanMode": "CrossSubnet"}, "v3.29.1", "failure"),
        ({"ipipMode": "Always"}, "v3.29.1", "warning"),
        ({"ipipMode": "Always"}, "v3.33.0", "failure"),
        ({"ipipMode": "Always"}, "", "failure"),
    ],
)
def test_a_tunnel_is_worse_with_the_mesh_where_felix_makes_its_routes(spec: Any, version: str, with_mesh: str) -> None:
    told = [{"metadata": {"name": "default"}, "spec": {"calicoVersion": version}}]
    facts = cluster(ip_pools=pool(**spec), cluster_informations=told)
    finding = only(facts, "calico-pool-encap")
    assert (finding["severity"], patched(finding)["spec"]) == ("warning", {"ipipMode": "Never", "vxlanMode": "Never"})
    facts = cluster(ip_pools=pool(**spec), cluster_informations=told, bgp_configurations=[])
    assert only(facts, "calico-pool-encap")["severity"] == with_mesh


def test_a_tunnel_is_a_way_where_felix_knows_all_pods() -> None:
    facts = {"ip_pools": pool(vxlanMode="Always"), "bgp_configurations": []}
    assert found(cluster(**facts, felix_configurations=felix(routeSource="WorkloadIPs")), "calico-pool-encap") == []
    assert found(cluster(**facts, daemon_sets=calico_node(FELIX_ROUTESOURCE="WorkloadIPs")), "calico-pool-encap") == []
    own = {"metadata": {"name": "node.node1"}, "spec": {"routeSource": "CalicoIPAM"}}
    one_does_not = cluster(**facts, felix_configurations=[*felix(routeSource="WorkloadIPs"), own])
    assert only(one_does_not, "calico-pool-encap")["severity"] == "failure"


def test_other_pools_may_have_tunnels_and_nat() -> None:
    pools = [*pool(), ip_pool("other", "172.25.0.0/16", vxlanMode="Always", natOutgoing=True)]
    for check_id in ("calico-pool-disabled", "calico-pool-encap", "calico-nat"):
        assert found(cluster(ip_pools=pools), check_id) == []


def test_nat_is_told_and_makes_no_check_fail() -> None:
    report = made(cluster(ip_pools=pool(natOutgoing=True)), "calico-nat")
    assert (report["result"], report["findings"][0]["severity"]) == ("ok", "information")
    assert patched(report["findings"][0]) == {"spec": {"natOutgoing": False}}


def felix(**spec: Any) -> list[Any]:
    return [{"metadata": {"name": "default"}, "spec": spec}]


REASONS: list[Any] = [
    {"felix_configurations": felix(bpfEnabled=True)},
    {"felix_configurations": felix(wireguardEnabled=True)},
    {"felix_configurations": felix(wireguardEnabledV6=True)},
    {"felix_configurations": felix(programClusterRoutes="EnabledNoEncapOnly")},
    {"bgp_configurations": [{"metadata": {"name": "default"}, "spec": {"programClusterRoutes": "Disabled"}}]},
    {"daemon_sets": calico_node(FELIX_BPFENABLED="True")},
    {"ip_pools": pool(vxlanMode="Always")},
]


@pytest.mark.parametrize("facts", REASONS)
def test_where_felix_makes_the_routes_it_has_to_know_the_pods(facts: Any) -> None:
    finding = only(cluster(**facts), "felix-route-source")
    assert patched(finding) == {"spec": {"routeSource": "WorkloadIPs"}}
    assert finding.get("cause", "") == ("calico-pool-encap" if "ip_pools" in facts else "")
    mended = felix(**facts.get("felix_configurations", felix())[0]["spec"], routeSource="WorkloadIPs")
    assert found(cluster(**{**facts, "felix_configurations": mended}), "felix-route-source") == []
    variable = calico_node(FELIX_ROUTESOURCE="WorkloadIPs", FELIX_BPFENABLED="true")
    assert found(cluster(**{**facts, "daemon_sets": variable}), "felix-route-source") == []
    assert found(cluster(**facts, spider_ip_pools=[]), "felix-route-source") == []


def test_a_variable_is_stronger_than_felixconfiguration() -> None:
    off = {"felix_configurations": felix(bpfEnabled=True), "daemon_sets": calico_node(FELIX_BPFENABLED="false")}
    assert found(cluster(**off), "felix-route-source") == []
    weak = felix(bpfEnabled=True, routeSource="WorkloadIPs")
    facts = cluster(felix_configurations=weak, daemon_sets=calico_node(FELIX_ROUTESOURCE="CalicoIPAM"))
    assert only(facts, "felix-route-source")["mend"]["text"].endswith("calico-node FELIX_ROUTESOURCE=WorkloadIPs")


def test_felix_takes_its_words_in_any_case() -> None:
    wanted = felix(bpfEnabled=True, routeSource="workloadips")
    assert found(cluster(felix_configurations=wanted), "felix-route-source") == []
    programs = felix(programClusterRoutes="enabled")
    assert len(found(cluster(felix_configurations=programs), "felix-route-source")) == 1


def test_a_node_with_settings_of_its_own_is_found() -> None:
    own = {"metadata": {"name": "node.node1"}, "spec": {"bpfEnabled": True}}
    finding = only(cluster(felix_configurations=[*felix(), own]), "felix-route-source")
    assert finding["object"] == "FelixConfiguration/node.node1"


def test_a_configuration_that_is_not_there_is_made() -> None:
    facts = cluster(felix_configurations=[], daemon_sets=calico_node(FELIX_BPFENABLED="true"))
    finding = only(facts, "felix-route-source")
    assert finding["mend"]["kind"] == "manifest"
    assert yaml.safe_load(finding["mend"]["text"])["spec"] == {"routeSource": "WorkloadIPs"}


def test_felix_without_ipv6_is_found_where_there_are_ipv6_pools() -> None:
    off = cluster(daemon_sets=calico_node(FELIX_IPV6SUPPORT="false"))
    assert only(off, "felix-ipv6")["mend"]["text"].endswith("FELIX_IPV6SUPPORT=true")
    facts = cluster(felix_configurations=felix(ipv6Support=False))
    assert patched(only(facts, "felix-ipv6")) == {"spec": {"ipv6Support": True}}
    on = {"felix_configurations": felix(ipv6Support=False), "daemon_sets": calico_node(FELIX_IPV6SUPPORT="true")}
    assert found(cluster(**on), "felix-ipv6") == []
    only_v4 = {"spider_ip_pools": CLUSTER["spider_ip_pools"][:1]}
    assert found(cluster(felix_configurations=felix(ipv6Support=False), **only_v4), "felix-ipv6") == []
