"""The API server answers as Kubernetes does: objects, versions, watches, patches, deletion, discovery."""

import json
from typing import Any

import httpx
import pytest

from tests.lab.api_process import MAPS, Api, create, made, refused, running_api


def events(api: Api, path: str, count: int, **query: str) -> list[tuple[str, Any]]:
    """Watch until some events have come."""
    found: list[tuple[str, Any]] = []
    with api.client.stream("GET", path, params={"watch": "true", "timeoutSeconds": "20", **query}) as answer:
        for line in answer.iter_lines():
            event = json.loads(line)
            found.append((event["type"], event["object"]))
            if len(found) == count:
                return found
    pytest.fail(f"the watch ended after {found}")


def names(found: list[tuple[str, Any]]) -> list[tuple[str, str]]:
    return [(kind, document["metadata"]["name"]) for kind, document in found]


def test_an_object_is_made_read_changed_and_deleted(api: Api) -> None:
    first = create(api, MAPS, "a", data={"x": "1"})
    assert (first["apiVersion"], first["kind"]) == ("v1", "ConfigMap")
    assert {"uid", "creationTimestamp", "resourceVersion"} <= first["metadata"].keys()
    assert made(api.client.get(f"{MAPS}/a"), 200) == first
    second = made(api.client.put(f"{MAPS}/a", json={**first, "data": {"x": "2"}}), 200)
    assert int(second["metadata"]["resourceVersion"]) > int(first["metadata"]["resourceVersion"])
    assert second["metadata"]["uid"] == first["metadata"]["uid"]
    listed = made(api.client.get(MAPS), 200)
    assert (listed["kind"], listed["items"]) == ("ConfigMapList", [second])
    made(api.client.delete(f"{MAPS}/a"), 200)
    assert refused(api.client.get(f"{MAPS}/a")) == (404, "NotFound")


def test_a_write_over_a_change_that_was_not_seen_is_a_conflict(api: Api) -> None:
    stale = create(api, MAPS, "a")
    made(api.client.put(f"{MAPS}/a", json={**stale, "data": {"x": "1"}}), 200)
    assert refused(api.client.put(f"{MAPS}/a", json={**stale, "data": {"x": "2"}})) == (409, "Conflict")
    patch = {"metadata": {"resourceVersion": stale["metadata"]["resourceVersion"]}, "data": {"x": "3"}}
    merge = {"Content-Type": "application/merge-patch+json"}
    assert refused(api.client.patch(f"{MAPS}/a", json=patch, headers=merge)) == (409, "Conflict")
    assert refused(api.client.post(MAPS, json={"metadata": {"name": "a"}})) == (409, "AlreadyExists")


def test_an_update_that_changes_nothing_makes_no_new_version(api: Api) -> None:
    present = create(api, MAPS, "a", data={"x": "1"})
    assert made(api.client.put(f"{MAPS}/a", json=present), 200) == present


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"metadata": {}}, (422, "Invalid")),
        ({"metadata": {"name": "a", "namespace": "other"}}, (400, "BadRequest")),
        ({"metadata": {"name": "a", "resourceVersion": "1"}}, (400, "BadRequest")),
        ([], (400, "BadRequest")),
    ],
)
def test_what_cannot_be_made_is_refused(api: Api, body: Any, reason: tuple[int, str]) -> None:
    assert refused(api.client.post(MAPS, json=body)) == reason


def test_a_namespace_must_be_there_and_takes_what_is_in_it_along(api: Api) -> None:
    inside = "/api/v1/namespaces/other/configmaps"
    assert refused(api.client.post(inside, json={"metadata": {"name": "a"}})) == (404, "NotFound")
    create(api, "/api/v1/namespaces", "other")
    create(api, inside, "a")
    made(api.client.delete("/api/v1/namespaces/other"), 200)
    assert refused(api.client.get(f"{inside}/a")) == (404, "NotFound")


def test_names_are_generated(api: Api) -> None:
    name = made(api.client.post(MAPS, json={"metadata": {"generateName": "a-"}}))["metadata"]["name"]
    assert name.startswith("a-")
    assert len(name) == len("a-") + 5


@pytest.mark.parametrize(
    ("media_type", "patch"),
    [
        ("merge-patch+json", {"data": {"x": None, "y": "2"}}),
        ("strategic-merge-patch+json", {"data": {"$patch": "merge", "x": None, "y": "2"}}),
        ("apply-patch+yaml", {"data": {"x": None, "y": "2"}}),
        ("json-patch+json", [{"op": "test", "path": "/data/x", "value": "1"}, {"op": "remove", "path": "/data/x"},
                             {"op": "add", "path": "/data/y", "value": "2"}]),
        ("json-patch+json", [{"op": "move", "from": "/data/x", "path": "/data/y"},
                             {"op": "replace", "path": "/data/y", "value": "2"}]),
    ],
)  # fmt: skip
def test_every_kind_of_patch_changes_the_object(api: Api, media_type: str, patch: Any) -> None:
    create(api, MAPS, "a", data={"x": "1"})
    answer = api.client.patch(f"{MAPS}/a", json=patch, headers={"Content-Type": f"application/{media_type}"})
    assert made(answer, 200)["data"] == {"y": "2"}


def test_a_patch_that_does_not_fit_is_refused(api: Api) -> None:
    create(api, MAPS, "a", data={"x": "1"})

    def patch(body: Any, media_type: str) -> tuple[int, str]:
        answer = api.client.patch(f"{MAPS}/a", json=body, headers={"Content-Type": f"application/{media_type}"})
        return refused(answer)

    assert patch([{"op": "test", "path": "/data/x", "value": "2"}], "json-patch+json") == (422, "Invalid")
    assert patch([{"op": "remove", "path": "/data/y"}], "json-patch+json") == (422, "Invalid")
    assert patch({}, "json-patch+json") == (400, "BadRequest")
    assert patch({}, "json") == (415, "UnsupportedMediaType")


def test_server_side_apply_makes_what_is_not_there(api: Api) -> None:
    headers = {"Content-Type": "application/apply-patch+yaml"}
    answer = api.client.patch(f"{MAPS}/a", content="data: {x: 2023-03-15}", headers=headers)
    assert made(answer, 200)["data"] == {"x": "2023-03-15"}


def test_a_watch_tells_the_changes_since_a_version_in_their_order(api: Api) -> None:
    version = create(api, MAPS, "a")["metadata"]["resourceVersion"]
    create(api, MAPS, "b")
    create(api, "/api/v1/namespaces/kube-system/configmaps", "elsewhere")
    create(api, "/api/v1/namespaces/default/secrets", "another-resource")
    made(api.client.delete(f"{MAPS}/a"), 200)
    found = events(api, MAPS, 2, resourceVersion=version)
    assert names(found) == [("ADDED", "b"), ("DELETED", "a")]


def test_a_watch_without_a_version_begins_with_what_is_there_and_goes_on(api: Api) -> None:
    create(api, MAPS, "a")
    found = []
    with api.client.stream("GET", MAPS, params={"watch": "true", "timeoutSeconds": "20"}) as answer:
        lines = answer.iter_lines()
        found.append(json.loads(next(lines))["type"])
        create_with = httpx.post(f"{api.url}{MAPS}", json={"metadata": {"name": "b"}})
        assert create_with.is_success
        found.append(json.loads(next(lines))["type"])
    assert found == ["ADDED", "ADDED"]


def test_a_watch_ends_with_its_time(api: Api) -> None:
    assert api.client.get(MAPS, params={"watch": "true", "timeoutSeconds": "1"}).text == ""


def test_an_object_that_begins_or_ceases_to_fit_a_watch_is_added_or_deleted(api: Api) -> None:
    version = create(api, MAPS, "a")["metadata"]["resourceVersion"]
    for labels in ({"app": "x"}, {"app": "x", "more": "y"}, {"app": None}):
        headers = {"Content-Type": "application/merge-patch+json"}
        made(api.client.patch(f"{MAPS}/a", json={"metadata": {"labels": labels}}, headers=headers), 200)
    found = events(api, MAPS, 3, resourceVersion=version, labelSelector="app=x")
    assert names(found) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


def test_a_client_can_ask_for_the_present_state_and_the_mark_that_ends_it(api: Api) -> None:
    create(api, MAPS, "a")
    query = {"sendInitialEvents": "true", "allowWatchBookmarks": "true", "resourceVersionMatch": "NotOlderThan"}
    (added, _), (mark, document) = events(api, MAPS, 2, **query)
    assert (added, mark) == ("ADDED", "BOOKMARK")
    assert document["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


def test_a_version_that_is_too_old_is_gone() -> None:
    with running_api("--history=3") as api:
        version = create(api, MAPS, "a")["metadata"]["resourceVersion"]
        for name in ("b", "c", "d", "e"):
            create(api, MAPS, name)
        ((kind, status),) = events(api, MAPS, 1, resourceVersion=version)
    assert (kind, status["code"], status["reason"]) == ("ERROR", 410, "Expired")


def test_a_list_comes_in_pages(api: Api) -> None:
    for name in "abcde":
        create(api, MAPS, name)
    found, token = [], ""
    while page := made(api.client.get(MAPS, params={"limit": "2", "continue": token}), 200):
        found.append([item["metadata"]["name"] for item in page["items"]])
        token = page["metadata"].get("continue", "")
        if not token:
            break
    assert found == [["a", "b"], ["c", "d"], ["e"]]


@pytest.mark.parametrize(
    ("query", "fitting"),
    [
        ({"labelSelector": "app=x"}, "a"),
        ({"labelSelector": "app==x,tier in (front, back)"}, "a"),
        ({"labelSelector": "app!=x"}, "bc"),
        ({"labelSelector": "app notin (x,z)"}, "bc"),
        ({"labelSelector": "app"}, "ab"),
        ({"labelSelector": "!app"}, "c"),
        ({"fieldSelector": "metadata.name=b"}, "b"),
        ({"fieldSelector": "metadata.name!=b,data.n="}, "ac"),
    ],
)
def test_lists_are_narrowed_by_labels_and_fields(api: Api, query: dict[str, str], fitting: str) -> None:
    create(api, MAPS, "a", metadata={"labels": {"app": "x", "tier": "front"}})
    create(api, MAPS, "b", metadata={"labels": {"app": "y"}})
    create(api, MAPS, "c")
    found = made(api.client.get(MAPS, params=query), 200)["items"]
    assert "".join(item["metadata"]["name"] for item in found) == fitting


def test_a_collection_is_deleted_by_its_labels(api: Api) -> None:
    create(api, MAPS, "a", metadata={"labels": {"app": "x"}})
    create(api, MAPS, "b")
    made(api.client.delete(MAPS, params={"labelSelector": "app=x"}), 200)
    assert [item["metadata"]["name"] for item in made(api.client.get(MAPS), 200)["items"]] == ["b"]
