"""The chart renders valid objects of all its values, and the kustomizations are what it renders."""

import json
import re
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import jsonschema_rs
import pytest
import yaml

from cni.cli.watch import HostPort
from cni.installer import discovery
from tests import requirements
from tests.build import chart, manifests, monitoring, recipes
from tests.build.chart import EVERYTHING, VALUES, VARIANTS, Object, of_kind
from tests.doctor import test_scale
from tests.requirements import ROOT

LOG = PurePosixPath("/var/log/spidernet")
DEFINITIONS = {"ServiceMonitor": "servicemonitors", "PrometheusRule": "prometheusrules"}


@pytest.mark.parametrize("values", [{}, EVERYTHING, {**EVERYTHING, "mode": "uninstall"}], ids=("few", "all", "back"))
def test_helm_finds_no_fault_in_it(values: Object) -> None:
    done = chart.helm("lint", "--strict", chart.FOLDER, "--values=-", input=json.dumps(values))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_every_platform_and_mode_follows_the_schemas_of_every_kubernetes_version(show: Callable[[str], None]) -> None:
    schemas = requirements.need_package("kubernetes_validate")
    versions = schemas.utils.all_versions()
    unique = {yaml.safe_dump(one): one for values in VARIANTS for one in chart.render(values)}
    builtin = [one for one in unique.values() if one["kind"] not in DEFINITIONS]
    for version in versions:
        for document in builtin:
            schemas.validate(document, version, strict=True)
    show(f"{len(VARIANTS)} sets of values: valid for Kubernetes {versions[0]} to {versions[-1]}")


@pytest.mark.parametrize("kind", DEFINITIONS)
def test_the_prometheus_operator_takes_its_objects(kind: str) -> None:
    document = of_kind(chart.render(EVERYTHING), kind)
    validator = jsonschema_rs.validator_for(strict(definition(kind)))
    assert [error.message for error in validator.iter_errors(document)] == []
    document["spec"]["selektor"] = {}
    assert not validator.is_valid(document)


def definition(kind: str) -> Object:
    path = requirements.need_tool("definitions") / f"{DEFINITIONS[kind]}.yaml"
    (version,) = yaml.safe_load(path.read_text())["spec"]["versions"]
    schema: Object = version["schema"]["openAPIV3Schema"]
    return schema


def strict(schema: Any) -> Any:
    """Return a schema that refuses what an API server would drop."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: strict(one) for name, one in schema.items()}
    if "properties" in schema and schema.get("type") == "object":
        made.setdefault("additionalProperties", False)
    return made


@pytest.mark.parametrize("values", VARIANTS, ids=lambda values: "-".join(map(str, list(values.values())[:2])))
def test_the_program_takes_the_arguments(values: Object) -> None:
    manifests.require_arguments(chart.pod_spec(values))


def test_a_digest_takes_the_place_of_the_tag() -> None:
    digest = f"sha256:{'0' * 64}"
    spec = chart.pod_spec({"image": {"repository": "registry.example.org/x", "tag": "1", "digest": digest}})
    assert {one["image"] for one in manifests.containers(spec)} == {f"registry.example.org/x@{digest}"}
    assert "does not match pattern" in chart.template({"image": {"digest": "sha256:1"}}).stderr


@pytest.mark.parametrize("platform", chart.PLATFORMS)
def test_a_platforms_folders_are_those_that_install_itself_looks_for(platform: str) -> None:
    spec = chart.pod_spec({"platform": platform})
    arguments = manifests.init_container(spec, "install")["args"]
    named = {one.partition("=")[0]: one.partition("=")[2] for one in arguments}
    usual = discovery._PLATFORMS[0]
    folders = (named.get("--cni-conf-dir", usual[0]), named.get("--cni-bin-dir", usual[1]))
    assert folders in discovery._PLATFORMS
    assert (platform == "default") == (folders == usual)
    for container in manifests.containers(spec):
        mounted = [mount.node for mount in manifests.node_mounts(spec, container)]
        for folder in map(PurePosixPath, folders):
            assert any(folder.is_relative_to(one) for one in mounted)
            assert folder == PurePosixPath(folders[1]) or folder not in mounted, "the folder may be made anew"


def test_other_folders_may_be_named() -> None:
    spec = chart.pod_spec({"cniBinDir": "/srv/bin", "cniConfDir": "/srv/cni/net.d"})
    assert {"--cni-bin-dir=/srv/bin", "--cni-conf-dir=/srv/cni/net.d"} <= set(spec["containers"][0]["args"])
    paths = [volume.get("hostPath", {}).get("path") for volume in spec["volumes"]]
    assert {"/srv/bin", "/srv/cni"} <= set(paths)


@pytest.mark.parametrize(
    ("bin_dir", "conf_dir"),
    [
        ("/srv/cni", "/srv/cni/net.d"),
        ("/srv/cni/bin", "/srv/cni/net.d"),
        ("/srv/cni", "/srv/cni/etc/net.d"),
        ("/srv/cni", "/srv/cni.d/net.d"),
        ("/var/lib/cni", "/etc/cni/net.d"),
        ("/opt/cni/bin", "/var/lib/cni/net.d"),
    ],
)
@pytest.mark.parametrize("mode", ["as", "uninstall"])
def test_folders_that_lie_in_each_other_are_mounted_once(bin_dir: str, conf_dir: str, mode: str) -> None:
    spec = chart.pod_spec({"cniBinDir": bin_dir, "cniConfDir": conf_dir, "mode": mode})
    for container in manifests.containers(spec):
        places = [mount["mountPath"] for mount in container["volumeMounts"]]
        assert len(places) == len(set(places)), "an API server refuses this"
        mounts = manifests.node_mounts(spec, container)
        reads_only = container["name"] == "doctor"
        for folder in map(PurePosixPath, (bin_dir, conf_dir)):
            above = [one for one in mounts if folder.is_relative_to(one.node)]
            nearest = max(above, key=lambda mount: len(mount.node.parts))
            assert nearest.read_only == reads_only
            assert nearest.container == manifests.HOST / nearest.node.relative_to("/")
    names = [volume["name"] for volume in spec["volumes"]]
    assert len(names) == len(set(names))


def test_helm_keeps_what_installs_until_it_uninstalls() -> None:
    for mode in chart.MODES:
        documents = chart.render({**EVERYTHING, "mode": mode})
        kept = {
            (one["kind"], one["metadata"]["name"])
            for one in documents
            if one["metadata"].get("annotations", {}).get("helm.sh/resource-policy") == "keep"
        }
        # Without its account, no pod of the DaemonSet could be made on a new node.
        wanted = {("DaemonSet", "spiderpool-ipam"), ("ServiceAccount", "spiderpool-ipam")}
        assert kept == (set() if mode == "uninstall" else wanted)


def test_who_uninstalls_serves_no_metrics_and_is_not_tested() -> None:
    kinds = {document["kind"] for document in chart.render({**EVERYTHING, "mode": "uninstall"})}
    assert kinds == {"ServiceAccount", "DaemonSet", "ClusterRole", "ClusterRoleBinding"}


def test_a_node_may_wait_for_its_pod_to_be_deleted_except_when_it_is_restored() -> None:
    values = {"updateStrategy": {"type": "OnDelete"}}
    assert of_kind(chart.render(values), "DaemonSet")["spec"]["updateStrategy"] == {"type": "OnDelete"}
    restoring = of_kind(chart.render({**values, "mode": "uninstall"}), "DaemonSet")
    assert restoring["spec"]["updateStrategy"] == {"rollingUpdate": {"maxUnavailable": "100%"}}


def test_the_log_is_mounted_for_the_metrics_alone_and_read_only() -> None:
    for values, wanted in (({}, []), (EVERYTHING, [manifests.Mount(LOG, manifests.HOST / "var/log/spidernet", True)])):
        spec = chart.pod_spec(values)
        for container in manifests.containers(spec):
            found = [mount for mount in manifests.node_mounts(spec, container) if mount.node == LOG]
            assert found == (wanted if container["name"] == "watch" else [])


def test_reports_are_served_and_may_be_asked_for_where_it_is_wanted_alone() -> None:
    metrics = {**EVERYTHING["metrics"], "report": {"enabled": False}}
    for values, wanted in (
        (EVERYTHING, True),
        ({"metrics": metrics}, False),
        ({**EVERYTHING, "mode": "uninstall"}, False),
    ):
        documents = chart.render(values)
        spec = of_kind(documents, "DaemonSet")["spec"]["template"]["spec"]
        mounts = {mount for one in manifests.containers(spec) for mount in manifests.node_mounts(spec, one)}
        assert {mount.read_only for mount in mounts if "calico" in str(mount.node)} == ({True} if wanted else set())
        assert ("--report" in spec["containers"][0]["args"]) == wanted
        roles = [one for one in documents if one["kind"] in ("Role", "RoleBinding")]
        assert bool(roles) == wanted
        # No role for all namespaces has it: it would open every page of every pod.
        cluster_roles = [one for one in documents if one["kind"] == "ClusterRole"]
        assert "pods/proxy" not in str(cluster_roles)


@pytest.mark.parametrize("address", ["192.0.2.1", "fd00::1"])
def test_metrics_are_served_on_the_nodes_own_address(address: str) -> None:
    (watch,) = chart.pod_spec(EVERYTHING)["containers"]
    (variable,) = watch["env"]
    assert variable["valueFrom"]["fieldRef"]["fieldPath"] == "status.hostIP"
    (given,) = [one for one in watch["args"] if one.startswith("--metrics-addr=")]
    text = given.partition("=")[2].replace(f"$({variable['name']})", address)
    assert HostPort().convert(text, None, None) == (address, VALUES["metrics"]["port"])
    service = of_kind(chart.render(EVERYTHING), "Service")
    (port,) = service["spec"]["ports"]
    assert port["targetPort"] == watch["ports"][0]["name"]
    assert watch["ports"][0]["containerPort"] == port["port"] == VALUES["metrics"]["port"]
    assert service["spec"]["publishNotReadyAddresses"] is True
    monitor = of_kind(chart.render(EVERYTHING), "ServiceMonitor")["spec"]
    (endpoint,) = monitor["endpoints"]
    assert endpoint["port"] == port["name"]
    # Without a jobLabel, the job is the Service's name. An alert is about the targets of this job that are down.
    assert "jobLabel" not in monitor
    assert f'up{{job="{service["metadata"]["name"]}"}} == 0' in monitoring.RULES.read_text()


def test_the_pod_of_helm_test_is_doctors_and_not_taken_for_one_of_the_daemonset() -> None:
    documents = chart.render(EVERYTHING)
    pod = of_kind(documents, "Pod", "spiderpool-ipam-doctor")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    selector = of_kind(documents, "DaemonSet")["spec"]["selector"]["matchLabels"]
    assert not selector.items() <= pod["metadata"]["labels"].items()
    account = of_kind(documents, "ServiceAccount", pod["spec"]["serviceAccountName"])["metadata"]
    assert of_kind(documents, "ClusterRoleBinding", account["name"])["subjects"][0]["name"] == account["name"]
    manifests.require_arguments(pod["spec"])


def test_the_pod_of_helm_test_may_take_what_doctor_takes_of_a_large_cluster() -> None:
    """A container of the DaemonSet looks at its node alone. With its limit, this one would be killed without a word."""
    (container,) = of_kind(chart.render({}), "Pod", "spiderpool-ipam-doctor")["spec"]["containers"]
    assert container["resources"] == VALUES["doctor"]["resources"]
    limit = re.fullmatch(r"(\d+)Gi", container["resources"]["limits"]["memory"])
    assert limit
    assert int(limit[1]) * 1024 > 2 * test_scale.MEGABYTES


def test_the_links_of_the_alerts_lead_to_where_the_pages_are_published(tmp_path: Path) -> None:
    spec = of_kind(chart.render(EVERYTHING), "PrometheusRule")["spec"]
    rules = [rule for group in spec["groups"] for rule in group["rules"]]
    plain = chart.render({"metrics": {"enabled": True, "alerts": {"enabled": True}}})
    assert of_kind(plain, "PrometheusRule")["spec"] == yaml.safe_load(monitoring.RULES.read_text())
    for rule in rules:
        links = re.findall(r"\S*docs/\S+\.md#", rule["annotations"]["runbook_url"])
        assert links
        assert all("https://git.example.org/x/docs/" in link for link in links)
    promtool = requirements.need_tool("promtool")
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(spec))
    done = subprocess.run([promtool, "check", "rules", tmp_path / "rules.yaml"], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_dashboard_is_found_by_grafanas_sidecar() -> None:
    found = of_kind(chart.render(EVERYTHING), "ConfigMap", "spiderpool-ipam-dashboard")
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert found["data"]["spiderpool-ipam.json"].strip() == (
        (ROOT / "build/monitoring/dashboard.json").read_text().strip()
    )


def test_the_kustomizations_are_what_the_chart_renders() -> None:
    render = recipes.load("chart/render")
    for path, text in render.files(requirements.need_tool("helm")).items():
        assert path.read_text() == text, f"{path}: run `make kubernetes`"


def test_kubectl_applies_what_helm_installs() -> None:
    def bare(documents: list[Object]) -> dict[tuple[str, str], Object]:
        for document in documents:
            document["metadata"].pop("annotations", None)
        return {(one["kind"], one["metadata"]["name"]): one for one in documents}

    for mode, names in (("as", ("install", "doctor")), ("uninstall", ("uninstall", "doctor"))):
        applied = bare([one for name in names for one in manifests.render(name)])
        installed = bare([one for one in chart.render({"mode": mode}) if one["kind"] != "Pod"])
        assert applied == installed


def test_the_version_is_that_of_the_release() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    found = yaml.safe_load((chart.FOLDER / "Chart.yaml").read_text())
    assert found["version"] == found["appVersion"] == version
