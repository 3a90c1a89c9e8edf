"""What is read of a cluster, over a real HTTPS server: reduced to what is listed, so that no secret gets in."""

import json
from pathlib import Path
from typing import Any

import pytest

from cni.contracts.facts import FACTS, ClusterFacts
from cni.doctor.checks import CHECKS
from cni.doctor.collect import cluster
from cni.doctor.collect.document import gather, not_asked
from tests.doctor.api_server import GROUPS, ApiServer, Certificates
from tests.doctor.documents import CLUSTER, agent, made, workload
from tests.doctor.kubeconfigs import config, write

PATHS = {
    name: listing.path.format(calico="crd.projectcalico.org/v1")
    + "".join(f"?{key}={value}" for key, value in listing.selector.items())
    for name, listing in cluster.LISTS.items()
}
SECRET = "s3cr3t"


@pytest.fixture
def path(tmp_path: Path, api: ApiServer, certificates: Certificates) -> Path:
    for name in PATHS:
        api.serve(PATHS[name], *CLUSTER.get(name, []))
    return write(tmp_path / "k", config(api, certificates, {"token": SECRET}))


def read(path: Path, *names: str) -> Any:
    wanted = [f"cluster.{name}" for name in names or (*PATHS, "api")]
    collectors = {
        "node": not_asked("not asked"),
        "cluster": lambda asked: cluster.collect(path, "", asked, lambda _: None),
    }
    return gather(collectors, wanted, "1.0.0")


def test_every_list_of_the_contract_is_read() -> None:
    assert set(ClusterFacts.__annotations__) == {*cluster.LISTS, "api", "router"}


def test_the_guides_cluster_is_read_as_it_is(path: Path) -> None:
    facts = read(path)
    assert facts["cluster"]["api"]["calico"] == "crd.projectcalico.org/v1"
    for name in PATHS:
        assert facts["cluster"][name] == FACTS.validate_python(facts)["cluster"][name]  # type: ignore[literal-required]
        assert facts["cluster"][name] == CLUSTER.get(name, [])
    of_api = [check.id for check in CHECKS if check.part == "calico" and "cluster.router" not in check.needs]
    assert {made(facts, check_id)["result"] for check_id in of_api} == {"ok"}


def test_only_what_is_wanted_is_asked_for(path: Path, api: ApiServer) -> None:
    facts = read(path, "ip_pools")
    assert [seen.path for seen in api.seen] == ["/apis", PATHS["ip_pools"]]
    assert "no check that was chosen" in facts["cluster"]["nodes"]["unknown"]


def test_the_token_is_sent_and_not_kept(path: Path, api: ApiServer) -> None:
    assert SECRET not in json.dumps(read(path))
    assert {seen.headers["Authorization"] for seen in api.seen} == {f"Bearer {SECRET}"}


def planted(value: Any) -> Any:
    """Return an object of the API with a secret beside every member, at every depth."""
    if isinstance(value, list):
        return [planted(one) for one in value]
    if not isinstance(value, dict):
        return value
    kept = {key: one if key == "labels" else planted(one) for key, one in value.items()}
    return {**kept, "secretMember": SECRET, "env": [{"name": "X", "value": SECRET}], "managedFields": [{"f": SECRET}]}


POD = {
    "metadata": {
        "name": "a",
        "namespace": "default",
        "uid": "u",
        "annotations": {"cni.projectcalico.org/podIPs": "10.244.0.1/32", "vault.example/token": SECRET},
    },
    "spec": {
        "nodeName": "node1",
        "containers": [{"name": "c", "env": [{"name": "P", "value": SECRET}], "command": [SECRET]}],
        "volumes": [{"secret": {"secretName": SECRET}}],
    },
    "status": {"phase": "Running", "podIPs": [{"ip": "10.244.0.1"}], "message": SECRET},
}
OBJECTS: dict[str, list[Any]] = {
    **{name: CLUSTER[name] for name in PATHS if CLUSTER.get(name)},
    "pods": [POD],
    "namespaces": [{"metadata": {"name": "n", "annotations": {"x": SECRET}}}],
    "spider_subnets": [{"metadata": {"name": "s"}}],
    "spider_reserved_ips": [{"metadata": {"name": "r"}, "spec": {"ips": ["10.244.0.1"]}}],
    "stateful_sets": [workload("s")],
    "spider_endpoints": [{"metadata": {"name": "a"}, "status": {"current": {"uid": "u", "ips": [{"ipv4": "x"}]}}}],
    "bgp_filters": [{"metadata": {"name": "f"}, "spec": {"exportV4": [{"action": "Reject"}]}}],
    "installations": [{"metadata": {"name": "default"}, "spec": {"calicoNetwork": {"bgp": "Enabled"}}}],
    "ip_blocks": [{"metadata": {"name": "b"}, "spec": {"cidr": "10.0.0.0/26", "attributes": [{"handle_id": "h"}]}}],
}


def test_a_secret_beside_every_member_of_every_object_is_not_read(path: Path, api: ApiServer) -> None:
    assert set(OBJECTS) == set(PATHS)
    for name, objects in OBJECTS.items():
        api.serve(PATHS[name], *(planted(one) for one in objects))
    facts = read(path)
    for name, objects in OBJECTS.items():
        assert len(facts["cluster"][name]) == len(objects), facts["cluster"][name]
    assert SECRET not in json.dumps(facts)


@pytest.mark.parametrize("status", [403, 404, 500])
def test_what_is_refused_makes_checks_that_were_not_made(path: Path, api: ApiServer, status: int) -> None:
    api.say(PATHS["ip_pools"], (status, {"Retry-After": "0"}, {"message": "no"}))
    facts = read(path)
    assert facts["cluster"]["ip_pools"] == {"unknown": f"{PATHS['ip_pools']}: HTTP status {status}: no"}
    assert made(facts, "calico-pool-covers")["result"] == "not-checked"
    assert made(facts, "bgp-filter")["result"] == "ok"


def test_an_object_that_lies_makes_its_list_unknown(path: Path, api: ApiServer) -> None:
    api.serve(PATHS["ip_pools"], {"metadata": {"name": "p"}, "spec": {"cidr": "300.0.0.0/16"}})
    assert "items.0.spec.cidr" in read(path, "ip_pools")["cluster"]["ip_pools"]["unknown"]


def test_of_spiderpools_settings_those_are_kept_that_checks_look_at(path: Path, api: ApiServer) -> None:
    text = f"enableIPv4: true\nenableGatewayDetection: false\nserverUrl: https://{SECRET}\nagent: {{x: {SECRET}}}\n"
    api.serve(
        PATHS["spider_configs"],
        {"metadata": {"name": "spiderpool-conf"}, "data": {"conf.yml": text, "clusterNetwork": SECRET}},
    )
    facts = read(path, "spider_configs")
    assert SECRET not in json.dumps(facts)
    (config,) = facts["cluster"]["spider_configs"]
    assert config["data"] == {"conf.yml": {"enableIPv4": True, "enableGatewayDetection": False}}
    api.serve(PATHS["spider_configs"], {"metadata": {"name": "spiderpool-conf"}, "data": {"conf.yml": f"{{{SECRET}"}})
    unknown = read(path, "spider_configs")["cluster"]["spider_configs"]["unknown"]
    assert "conf.yml is not YAML" in unknown
    assert SECRET not in unknown


def test_of_an_environment_one_variable_is_kept(path: Path, api: ApiServer) -> None:
    variables = [{"name": "MULTUS_CLUSTER_NETWORK", "value": "a/b"}, {"name": "TOKEN", "value": SECRET}]
    api.serve(PATHS["daemon_sets"], agent(*variables))
    facts = read(path, "daemon_sets")
    (daemon_set,) = facts["cluster"]["daemon_sets"]
    assert daemon_set["spec"]["template"]["spec"]["containers"][1]["env"] == variables[:1]
    assert SECRET not in json.dumps(facts)


def test_lists_with_a_selector_ask_for_what_it_selects(path: Path, api: ApiServer) -> None:
    read(path, "agent_pods", "spider_configs")
    queries = {seen.path: seen.query for seen in api.seen}
    assert queries["/api/v1/pods"] == {"labelSelector": "app.kubernetes.io/component=spiderpool-agent", "limit": "500"}
    assert queries["/api/v1/configmaps"] == {"fieldSelector": "metadata.name=spiderpool-conf", "limit": "500"}


def test_where_only_v3_is_served_that_is_read(path: Path, api: ApiServer) -> None:
    group = {"name": "projectcalico.org", "versions": [{"groupVersion": "projectcalico.org/v3"}]}
    api.say("/apis", (200, {}, {"groups": [group]}))
    api.serve("/apis/projectcalico.org/v3/ippools", *CLUSTER["ip_pools"])
    assert read(path, "ip_pools")["cluster"]["ip_pools"] == CLUSTER["ip_pools"]
    api.say("/apis", (200, {}, {"groups": [group, *GROUPS["groups"]]}))
    assert read(path, "api")["cluster"]["api"]["calico"] == "crd.projectcalico.org/v1"


def test_where_calicos_datastore_is_etcd_that_is_said(path: Path, api: ApiServer) -> None:
    api.say("/apis", (200, {}, {"groups": []}))
    facts = read(path)
    assert "Calico's datastore is etcd" in facts["cluster"]["ip_pools"]["unknown"]
    assert facts["cluster"]["nodes"] == CLUSTER["nodes"]


def test_where_discovery_is_refused_calicos_lists_are_not_known(path: Path, api: ApiServer) -> None:
    api.say("/apis", (403, {}, {"message": "no"}))
    facts = read(path)
    assert facts["cluster"]["ip_pools"] == facts["cluster"]["api"] == {"unknown": "HTTP status 403: no"}
    assert facts["cluster"]["spider_ip_pools"] == CLUSTER["spider_ip_pools"]


def test_without_access_every_fact_says_why(tmp_path: Path) -> None:
    facts = read(write(tmp_path / "k", {}))
    assert all("no current context" in facts["cluster"][name]["unknown"] for name in PATHS)
