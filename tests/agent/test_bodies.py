"""Which request bodies are read, and what is said about the others."""

import json
from typing import Any

import pytest
from pydantic import TypeAdapter

from cni.agent import bodies
from cni.contracts.agent_api import IpamAddArgs
from tests.agent.agent_process import add_args

ADD = add_args("u")


def _read(body: bytes, content_type: str = "application/json") -> Any:
    return bodies.read(TypeAdapter(IpamAddArgs), content_type, body)


def _refusal(body: bytes, content_type: str = "application/json") -> tuple[int, int, str]:
    with pytest.raises(bodies.RequestError) as error:
        _read(body, content_type)
    return error.value.status, error.value.code, error.value.message


def _without(field: str) -> dict[str, Any]:
    return {name: value for name, value in ADD.items() if name != field}


def test_unknown_fields_are_ignored_and_null_means_absence() -> None:
    assert _read(json.dumps({**ADD, "unknown": {"a": 1}, "defaultIPv4IPPool": None}).encode()) == ADD


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON"])
def test_json_may_be_declared_with_a_charset_and_in_any_case(content_type: str) -> None:
    assert _read(json.dumps(ADD).encode(), content_type) == ADD


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/jsonp"])
def test_a_body_that_is_not_declared_json_is_415(content_type: str) -> None:
    status, code, message = _refusal(json.dumps(ADD).encode(), content_type)
    assert (status, code) == (415, 415)
    assert message.startswith("unsupported media type ")


@pytest.mark.parametrize("field", ["containerID", "ifName", "netNamespace", "podNamespace", "podName", "podUID"])
def test_a_required_field_that_is_missing_or_null_is_422_with_code_602(field: str) -> None:
    expected = (422, 602, f"{field} in body is required")
    assert _refusal(json.dumps(_without(field)).encode()) == expected
    assert _refusal(json.dumps({**ADD, field: None}).encode()) == expected


@pytest.mark.parametrize("body", [b"", b"{}", b"null"])
def test_an_empty_body_and_an_empty_object_are_422_with_code_602(body: bytes) -> None:
    assert _refusal(body)[:2] == (422, 602)


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'"text"',
        b"\xff",
        b'{"podName": "\\ud800"}',
        b"[" * 10000,
        json.dumps({**ADD, "podName": 7}).encode(),
        json.dumps({**ADD, "cleanGateway": "true"}).encode(),
        json.dumps({**ADD, "defaultIPv4IPPool": "four"}).encode(),
        json.dumps({**ADD, "defaultIPv4IPPool": [1]}).encode(),
        json.dumps({**_without("podUID"), "podName": 7}).encode(),
    ],
)
def test_broken_json_and_wrong_types_are_400(body: bytes) -> None:
    assert _refusal(body)[:2] == (400, 400)
