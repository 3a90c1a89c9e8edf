"""What `make spec` publishes: valid by the standards themselves, true to the types, up to date."""

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from cni.cni_versions import SUPPORTED
from cni.contracts import agent_api, core_schemas
from cni.contracts.__main__ import RARE_VALIDATORS, VALIDATORS, publish

ROOT = Path(__file__).parents[2]
SPEC = ROOT / "spec"


def test_the_published_files_are_what_the_contracts_say() -> None:
    stale = [str(path) for path, text in publish(ROOT).items() if path.read_text() != text]
    assert not stale, "run `make spec`"


@pytest.mark.parametrize("path", sorted(SPEC.glob("*/*.schema.json")), ids=lambda path: path.name)
def test_a_json_schema_keeps_its_own_meta_schema(path: Path) -> None:
    jsonschema_rs.meta.validate(json.loads(path.read_text()))


@pytest.mark.parametrize("version", SUPPORTED)
def test_result_schemas_take_their_own_version_only(version: str) -> None:
    schema = jsonschema_rs.validator_for(json.loads((SPEC / f"result/{version}.schema.json").read_text()))
    ip = {"address": "10.0.0.1/32"} if version >= "1" else {"version": "4", "address": "10.0.0.1/32"}
    result: dict[str, Any] = {"ips": [ip]} if version >= "0.3" else {"ip4": {"ip": "10.0.0.1/32"}}
    assert schema.is_valid({"cniVersion": version, **result})
    assert schema.is_valid({"cniVersion": version, "code": 11, "msg": "x"})
    assert not schema.is_valid({"cniVersion": "9", **result})
    assert not schema.is_valid({"cniVersion": version, **result, "interfaces": []})
    assert not schema.is_valid({"cniVersion": version, "ips": []})


def test_openapi_lists_every_operation_and_marks_ours() -> None:
    document = yaml.safe_load((SPEC / "agent/openapi.yaml").read_text())
    for operation in agent_api.OPERATIONS:
        described = document["paths"][operation.path][operation.method.lower()]
        assert described.get("x-extension", False) == operation.extension
        assert set(described["responses"]) == {str(status) for status in operation.responses}
    assert "#/$defs" not in json.dumps(document)
    for name, schema in document["components"]["schemas"].items():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})
        assert f"#/components/schemas/{name}" in json.dumps(document)


def test_a_construct_that_the_plugin_cannot_afford_is_refused_when_publishing() -> None:
    from typing import Annotated

    from pydantic import Field

    with pytest.raises(TypeError, match="not allowed"):
        core_schemas.plain(Annotated[str, Field(pattern="x")])


@pytest.mark.parametrize(("name", "contract"), [*VALIDATORS.items(), *RARE_VALIDATORS.items()])
def test_the_plugins_validators_are_plain_data(name: str, contract: Any) -> None:
    assert core_schemas.plain(contract)["type"] == "typed-dict", name
