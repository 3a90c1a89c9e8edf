"""What stands in for kubectl where there is none does what doctor's commands ask of kubectl, and refuses the others."""

from pathlib import Path

import pytest

from tests.lab import kubectl
from tests.lab.api_process import Api, create, made, refused

PODS = "/api/v1/namespaces/kube-system/pods"
ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles"


@pytest.fixture(autouse=True)
def _kubeconfig(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig(tmp_path)))


def test_a_pod_is_deleted_in_its_namespace(api: Api) -> None:
    create(api, PODS, "agent", spec={"nodeName": "node1", "terminationGracePeriodSeconds": 0, "containers": []})
    assert kubectl.main(["-n", "kube-system", "delete", "pod", "agent"]) == 0
    assert refused(api.client.get(f"{PODS}/agent")) == (404, "NotFound")


def test_an_object_of_a_group_is_changed_and_deleted(api: Api) -> None:
    create(api, ROLES, "a", rules=[{"verbs": ["get"]}], metadata={"labels": {"kept": "1"}})
    command = ["patch", "clusterroles.rbac.authorization.k8s.io", "a", "--type=merge", "-p", '{"rules": []}']
    assert kubectl.main(command) == 0
    found = made(api.client.get(f"{ROLES}/a"), 200)
    assert (found["rules"], found["metadata"]["labels"]) == ([], {"kept": "1"})
    assert kubectl.main(["delete", "clusterroles.rbac.authorization.k8s.io", "a"]) == 0
    assert refused(api.client.get(f"{ROLES}/a")) == (404, "NotFound")


def test_what_is_not_there_and_what_the_server_refuses_is_said(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    assert kubectl.main(["delete", "pod", "nobody"]) == 1
    assert "404" in capsys.readouterr().err
    api.process.terminate()
    api.process.wait(30)
    assert kubectl.main(["delete", "pod", "nobody"]) == 1


def test_other_commands_are_refused() -> None:
    with pytest.raises(SystemExit):
        kubectl.main(["apply", "-f", "-"])
