"""Helm installs, upgrades, tests and uninstalls the chart, at the lab's API server; or at a real one, which is empty:

    TEST_KUBECONFIG=admin.conf pytest tests/build/test_chart_installed.py

Neither has a controller or a kubelet. So no pod of the DaemonSet is made, `helm --wait` has nothing to wait for, and
the pod of `helm test` is run by the test itself, outside of a container, with the account that the chart has made.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from cni.deadline import Deadline
from cni.doctor.collect import kubeconfig
from cni.doctor.collect.tls import tls_context
from tests import requirements
from tests.build import chart, manifests
from tests.build.chart import EVERYTHING, FOLDER, Object
from tests.lab import real_api
from tests.lab.api_process import running_api
from tests.waiting import wait_for

NAMESPACE = "/namespaces/kube-system"
PODS = f"/api/v1{NAMESPACE}/pods"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
OBJECTS = {
    "DaemonSet": f"/apis/apps/v1{NAMESPACE}/daemonsets",
    "ServiceAccount": f"/api/v1{NAMESPACE}/serviceaccounts",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "Role": f"/apis/rbac.authorization.k8s.io/v1{NAMESPACE}/roles",
    "RoleBinding": f"/apis/rbac.authorization.k8s.io/v1{NAMESPACE}/rolebindings",
    "Service": f"/api/v1{NAMESPACE}/services",
    "ConfigMap": f"/api/v1{NAMESPACE}/configmaps",
    "ServiceMonitor": f"/apis/monitoring.coreos.com/v1{NAMESPACE}/servicemonitors",
    "PrometheusRule": f"/apis/monitoring.coreos.com/v1{NAMESPACE}/prometheusrules",
}
NAME = "spiderpool-ipam"


class Cluster:
    """An API server, and helm for it."""

    def __init__(self, path: Path, *, is_real: bool) -> None:
        self.path, self.is_real = path, is_real
        access = kubeconfig.find(path, "", {})
        headers = {"Authorization": f"Bearer {access.token}"} if access.token else {}
        verify = tls_context(access, {}) if access.server.startswith("https") else False
        self.client = httpx.Client(base_url=access.server, headers=headers, verify=verify, timeout=30, trust_env=False)

    def helm(self, *arguments: str | Path, status: int = 0) -> str:
        done = chart.helm(f"--kubeconfig={self.path}", "--namespace=kube-system", *arguments)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    def change(self, command: str, values: Object | None = None, *arguments: str, status: int = 0) -> str:
        """Run `helm install` or `helm upgrade`. The lab's server merges no lists, so there it replaces objects."""
        options = [] if self.is_real or command == "install" else ["--force"]
        file = self.path.parent / "values.json"
        file.write_text(json.dumps(values or {}))
        return self.helm(command, NAME, FOLDER, f"--values={file}", *options, *arguments, status=status)

    def present(self) -> set[tuple[str, str]]:
        """Return the kinds and names of our objects."""
        return {
            (kind, item["metadata"]["name"])
            for kind, path in OBJECTS.items()
            for item in self.client.get(path).raise_for_status().json()["items"]
            if item["metadata"]["name"].startswith(NAME)
        }

    def daemon_set(self) -> Object:
        found: Object = self.client.get(f"{OBJECTS['DaemonSet']}/{NAME}").raise_for_status().json()
        return found

    def clear(self) -> None:
        """Remove what a test may have left, if it has failed."""
        releases = {"labelSelector": f"owner=helm,name={NAME}"}
        self.client.delete(f"/api/v1{NAMESPACE}/secrets", params=releases).raise_for_status()
        self.client.delete(f"{PODS}/{NAME}-doctor", params={"gracePeriodSeconds": "0"})
        for kind, name in self.present():
            self.client.delete(f"{OBJECTS[kind]}/{name}").raise_for_status()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    definitions = requirements.need_tool("definitions")
    requirements.need_tool("helm")
    if not (given := os.environ.get("TEST_KUBECONFIG")):
        with running_api(f"--load={definitions}") as api:
            made = Cluster(api.kubeconfig(tmp_path), is_real=False)
            with made.client:
                yield made
        return
    if refusal := real_api.refusal(Path(given)):
        pytest.fail(refusal)
    copy = tmp_path / "kubeconfig"
    copy.write_text(Path(given).read_text())
    real = Cluster(copy, is_real=True)
    with real.client:
        for path in definitions.iterdir():
            answer = real.client.post(DEFINITIONS, json=yaml.safe_load(path.read_text()))
            assert answer.status_code in (201, 409), answer.text
        wait_for(lambda: real.client.get(OBJECTS["PrometheusRule"]).is_success, "the definitions to be served")
        real.clear()
        yield real
        real.clear()


def test_it_is_installed_upgraded_and_uninstalled(cluster: Cluster) -> None:
    said = cluster.change("install", {"nodeSelector": {"canary": "yes"}})
    assert (
        said.index("--set mode=uninstall")
        < said.index("rollout status", said.index("--set mode"))
        < said.index(f"uninstall {NAME}")
    )
    spec = cluster.daemon_set()["spec"]["template"]["spec"]
    assert spec["nodeSelector"] == {"kubernetes.io/os": "linux", "canary": "yes"}

    cluster.change("upgrade", EVERYTHING)
    assert {kind for kind, _ in cluster.present()} == OBJECTS.keys()
    spec = cluster.daemon_set()["spec"]["template"]["spec"]
    assert spec["nodeSelector"] == {"kubernetes.io/os": "linux"}
    assert [one["name"] for one in manifests.containers(spec)] == ["doctor", "install", "watch"]

    cluster.change("upgrade", {"mode": "uninstall"}, "--reuse-values")
    found = cluster.daemon_set()
    assert "helm.sh/resource-policy" not in found["metadata"]["annotations"]
    assert {one["args"][0] for one in manifests.containers(found["spec"]["template"]["spec"])} == {"uninstall"}
    assert found["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"] == "100%"
    assert {kind for kind, _ in cluster.present()} == {
        "DaemonSet", "ServiceAccount", "ClusterRole", "ClusterRoleBinding",
    }  # fmt: skip

    cluster.helm("uninstall", NAME)
    assert cluster.present() == set()


def test_helm_uninstall_alone_leaves_what_keeps_the_nodes_and_can_be_made_good(cluster: Cluster) -> None:
    cluster.change("install")
    uid = cluster.daemon_set()["metadata"]["uid"]
    assert "[DaemonSet] spiderpool-ipam" in cluster.helm("uninstall", NAME)
    assert cluster.present() == {("DaemonSet", NAME), ("ServiceAccount", NAME)}
    said = cluster.change("install", {"mode": "uninstall"}, status=1)
    assert "install with the values that it has, and then upgrade with mode=uninstall" in said
    cluster.change("install")
    cluster.change("upgrade", {"mode": "uninstall"})
    found = cluster.daemon_set()
    assert found["metadata"]["uid"] == uid
    assert {one["args"][0] for one in manifests.containers(found["spec"]["template"]["spec"])} == {"uninstall"}
    cluster.helm("uninstall", NAME)
    assert cluster.present() == set()


def test_a_node_by_node_upgrade_and_back(cluster: Cluster) -> None:
    for values, wanted in (
        ({}, "RollingUpdate"),
        ({"type": "OnDelete"}, "OnDelete"),
        ({"type": "RollingUpdate", "maxUnavailable": 3}, "RollingUpdate"),
    ):
        cluster.change("upgrade", {"updateStrategy": values}, "--install")
        strategy = cluster.daemon_set()["spec"]["updateStrategy"]
        # A real server fills in what is left out.
        assert strategy.get("type", "RollingUpdate") == wanted
    assert strategy["rollingUpdate"]["maxUnavailable"] == 3


def test_helm_takes_over_what_kubectl_has_applied(cluster: Cluster) -> None:
    for document in [*manifests.render("install"), *manifests.render("doctor")]:
        cluster.client.post(OBJECTS[document["kind"]], json=document).raise_for_status()
    before = cluster.daemon_set()
    cluster.change("install", {}, "--take-ownership", "--force")
    after = cluster.daemon_set()
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["spec"]["template"] == before["spec"]["template"]  # so that no pod is replaced
    cluster.change("upgrade", {"platform": "microk8s"})
    spec = cluster.daemon_set()["spec"]["template"]["spec"]
    assert [one["name"] for one in spec["volumes"]] == ["microk8s", "cni-results", "state", "agent", "run"]


@pytest.mark.parametrize("more", [[], ["--fail-on=nothing"]], ids=["fails", "succeeds"])
def test_helm_test_ends_as_doctor_does_with_all_rights(cluster: Cluster, more: list[str]) -> None:
    cluster.change("install", EVERYTHING)
    with kubelet(cluster, more) as ran:
        said = cluster.helm("test", NAME, "--timeout=60s", status=0 if more else 1)
    assert f"Phase:          {'Succeeded' if more else 'Failed'}" in said
    # There is no SpiderPool in this cluster. With the rights of the kubeconfig, no more of it is seen.
    assert "sp-api" in ran[0].stdout
    assert "nodes (0 have told)" in ran[0].stdout
    assert ran[0].stdout == doctor(["doctor", "--cluster-only", "--output=short", "--nodes"], cluster.path).stdout


def doctor(arguments: list[str], path: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "cni.cli", *arguments, f"--kubeconfig={path}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=requirements.ROOT)


@contextmanager
def kubelet(cluster: Cluster, more: list[str]) -> Iterator[list[Any]]:
    """Run the pod of `helm test` when it is made, with more arguments; give the process that ran in it."""
    ran: list[Any] = []

    def run() -> None:
        wait_for(lambda: cluster.client.get(f"{PODS}/{NAME}-doctor").is_success, "helm to make the pod")
        pod = cluster.client.get(f"{PODS}/{NAME}-doctor").json()
        rights = account(cluster, pod["spec"]["serviceAccountName"])
        ran.append(doctor([*pod["spec"]["containers"][0]["args"], *more], rights))
        phase = "Failed" if ran[0].returncode else "Succeeded"
        patch = {"status": {"phase": phase}}
        headers = {"Content-Type": "application/merge-patch+json"}
        cluster.client.patch(f"{PODS}/{NAME}-doctor/status", json=patch, headers=headers).raise_for_status()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield ran
    finally:
        thread.join(Deadline(120).left())


def account(cluster: Cluster, name: str) -> Path:
    """Return a kubeconfig with the rights of a ServiceAccount, as a pod has them."""
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    answer = cluster.client.post(f"{OBJECTS['ServiceAccount']}/{name}/token", json=review).raise_for_status().json()
    document = yaml.safe_load(cluster.path.read_text())
    document["users"][0]["user"] = {"token": answer["status"]["token"]}
    path = cluster.path.with_name(name)
    path.write_text(yaml.safe_dump(document))
    return path
