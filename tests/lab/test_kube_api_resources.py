"""The API server's resources: custom ones, status, deletion in two steps, reviews; and how the server is run."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.api_process import MAPS, Api, create, made, refused, running_api
from tests.requirements import ROOT, need_program

PODS = "/api/v1/namespaces/default/pods"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
WIDGETS = "/apis/example.org/v1/widgets"
DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.example.org"},
    "spec": {
        "group": "example.org",
        "scope": "Cluster",
        "names": {"plural": "widgets", "kind": "Widget", "singular": "widget", "shortNames": ["wd"]},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "properties": {
                                    "size": {"type": "integer", "default": 3},
                                    "parts": {"type": "array", "items": {"properties": {"on": {"default": True}}}},
                                },
                            }
                        },
                    }
                },
            }
        ],
    },
}
NODE_POD = {"spec": {"nodeName": "node1", "containers": []}}


def test_a_definition_makes_a_resource_that_is_served_with_its_defaults_and_found_by_discovery(api: Api) -> None:
    definition = made(api.client.post(DEFINITIONS, json=DEFINITION))
    conditions = {item["type"]: item["status"] for item in definition["status"]["conditions"]}
    assert conditions == {"NamesAccepted": "True", "Established": "True"}
    widget = create(api, WIDGETS, "a", spec={"parts": [{}]})
    assert (widget["kind"], widget["spec"]) == ("Widget", {"size": 3, "parts": [{"on": True}]})
    groups = made(api.client.get("/apis"), 200)["groups"]
    assert "example.org" in [group["name"] for group in groups]
    found = made(api.client.get("/apis/example.org/v1"), 200)["resources"]
    assert [item["name"] for item in found] == ["widgets", "widgets/status"]
    made(api.client.delete(f"{DEFINITIONS}/widgets.example.org"), 200)
    assert refused(api.client.get(WIDGETS)) == (404, "NotFound")


def test_status_and_the_rest_are_written_apart(api: Api) -> None:
    made(api.client.post(DEFINITIONS, json=DEFINITION))
    widget = create(api, WIDGETS, "a", spec={"size": 1}, status={"ready": True})
    assert "status" not in widget
    both = {**widget, "spec": {"size": 2}, "status": {"ready": True}}
    with_status = made(api.client.put(f"{WIDGETS}/a/status", json=both), 200)
    assert (with_status["spec"], with_status["status"]) == ({"size": 1}, {"ready": True})
    assert with_status["metadata"]["generation"] == 1
    changed = made(api.client.put(f"{WIDGETS}/a", json={**with_status, "spec": {"size": 2}, "status": {}}), 200)
    assert (changed["spec"], changed["status"]) == ({"size": 2}, {"ready": True})
    assert changed["metadata"]["generation"] == 2
    del both["metadata"]["resourceVersion"]
    assert refused(api.client.put(f"{WIDGETS}/a", json=both)) == (422, "Invalid")


def test_a_pods_status_brings_annotations_along_which_calico_writes_so(api: Api) -> None:
    create(api, PODS, "p", **NODE_POD)
    annotations = {"cni.projectcalico.org/podIP": "10.0.0.1/32"}
    patch = {"metadata": {"annotations": annotations}, "status": {"phase": "Running"}}
    headers = {"Content-Type": "application/strategic-merge-patch+json"}
    pod = made(api.client.patch(f"{PODS}/p/status", json=patch, headers=headers), 200)
    assert pod["metadata"]["annotations"] == annotations
    assert pod["status"]["phase"] == "Running"


def test_an_object_with_finalizers_goes_when_the_last_is_taken_away(api: Api) -> None:
    create(api, MAPS, "a", metadata={"finalizers": ["example.org/x"]})
    marked = made(api.client.delete(f"{MAPS}/a"), 200)
    assert marked["metadata"]["deletionTimestamp"]
    more = {**marked, "metadata": {**marked["metadata"], "finalizers": ["example.org/x", "example.org/y"]}}
    assert refused(api.client.put(f"{MAPS}/a", json=more)) == (422, "Invalid")
    headers = {"Content-Type": "application/merge-patch+json"}
    made(api.client.patch(f"{MAPS}/a", json={"metadata": {"finalizers": None}}, headers=headers), 200)
    assert refused(api.client.get(f"{MAPS}/a")) == (404, "NotFound")


def test_a_pod_on_a_node_is_terminating_until_it_is_deleted_without_grace(api: Api) -> None:
    create(api, PODS, "p", **NODE_POD)
    assert made(api.client.delete(f"{PODS}/p"), 200)["metadata"]["deletionGracePeriodSeconds"] == 30
    headers = {"Content-Type": "application/merge-patch+json"}
    made(api.client.patch(f"{PODS}/p/status", json={"status": {"phase": "Running"}}, headers=headers), 200)
    assert made(api.client.get(f"{PODS}/p"), 200)["metadata"]["deletionTimestamp"]
    made(api.client.delete(f"{PODS}/p", params={"gracePeriodSeconds": "0"}), 200)
    assert refused(api.client.get(f"{PODS}/p")) == (404, "NotFound")


def test_only_the_object_that_was_meant_is_deleted(api: Api) -> None:
    create(api, MAPS, "a")
    options = {"preconditions": {"uid": "another"}}
    assert refused(api.client.request("DELETE", f"{MAPS}/a", json=options)) == (409, "Conflict")


def test_what_an_object_owns_goes_with_it(api: Api) -> None:
    uid = create(api, PODS, "p", spec={})["metadata"]["uid"]
    owners = [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": uid}]
    create(api, MAPS, "owned", metadata={"ownerReferences": owners})
    create(api, MAPS, "shared", metadata={"ownerReferences": [*owners, {**owners[0], "uid": "another"}]})
    made(api.client.delete(f"{PODS}/p"), 200)
    assert [item["metadata"]["name"] for item in made(api.client.get(MAPS), 200)["items"]] == ["shared"]


def test_everybody_may_do_everything(api: Api) -> None:
    review = made(api.client.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", json={"spec": {}}))
    assert review["status"]["allowed"]
    review = made(api.client.post("/apis/authentication.k8s.io/v1/tokenreviews", json={"spec": {"token": "t"}}))
    assert review["status"]["authenticated"]
    token = made(api.client.post("/api/v1/namespaces/kube-system/serviceaccounts/calico-cni-plugin/token", json={}))
    assert token["status"]["token"]


def test_a_client_that_takes_json_beside_protobuf_gets_json_and_no_other_does(api: Api) -> None:
    both = {"Accept": "application/vnd.kubernetes.protobuf,application/json"}
    assert api.client.get(MAPS, headers=both).headers["content-type"] == "application/json"
    only = {"Accept": "application/vnd.kubernetes.protobuf"}
    assert refused(api.client.get(MAPS, headers=only)) == (406, "NotAcceptable")
    sent = {"Content-Type": "application/vnd.kubernetes.protobuf"}
    assert refused(api.client.post(MAPS, content=b"k8s\0", headers=sent)) == (415, "UnsupportedMediaType")


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/version", "/api", "/api/v1", "/apis/apps", "/openapi/v2"])
def test_clients_can_ask_whether_it_is_there_and_what_it_serves(api: Api, path: str) -> None:
    assert api.client.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/apis/none.org", "/apis/apps/v9", "/api/v1/none", "/api/v1/pods/a/b/c", "/x"])
def test_what_it_does_not_serve_is_not_found(api: Api, path: str) -> None:
    assert refused(api.client.get(path)) == (404, "NotFound")


def test_it_loads_all_documents_of_a_folder_with_their_status_in_any_order(tmp_path: Path) -> None:
    widget = {"apiVersion": "example.org/v1", "kind": "Widget", "metadata": {"name": "a"}, "status": {"ready": True}}
    (tmp_path / "1.yaml").write_text(
        f"{json.dumps(widget)}\n---\n---\n{json.dumps(widget | {'metadata': {'name': 'b'}})}"
    )
    (tmp_path / "below").mkdir()
    (tmp_path / "below/2.json").write_text(json.dumps({"kind": "List", "items": [DEFINITION]}))
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "made-for-it"}}
    (tmp_path / "3.yml").write_text(json.dumps(pod))
    with running_api("--load", tmp_path) as api:
        assert [item["status"] for item in made(api.client.get(WIDGETS), 200)["items"]] == [{"ready": True}] * 2
        assert made(api.client.get("/api/v1/namespaces/made-for-it/pods/p"), 200)


def test_it_says_which_file_cannot_be_loaded(tmp_path: Path) -> None:
    (tmp_path / "odd.yaml").write_text("{apiVersion: example.org/v1, kind: Widget, metadata: {name: a}}")
    command = [sys.executable, "-m", "tests.lab.kube_api", "--listen=127.0.0.1:0", f"--load={tmp_path}"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert f"{tmp_path}/odd.yaml: no resource is of kind Widget" in ended.stderr


def test_it_ends_by_sigterm_while_it_is_watched() -> None:
    with running_api() as api, api.client.stream("GET", MAPS, params={"watch": "true"}) as answer:
        api.process.send_signal(signal.SIGTERM)
        assert list(answer.iter_lines()) == []
        assert api.process.wait(30) in (0, -signal.SIGTERM)


def test_it_serves_https_with_a_certificate(tmp_path: Path) -> None:
    openssl = need_program("openssl")
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    names = ["-subj=/CN=localhost", "-addext=subjectAltName=IP:127.0.0.1"]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days=2"]
    command: list[str | Path] = [openssl, "req", "-x509", *kind, *names, "-keyout", key, "-out", certificate]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    with running_api(f"--tls-cert={certificate}", f"--tls-key={key}") as api:
        assert api.url.startswith("https://")
        assert api.client.get("/readyz").text == "ok"
