"""Builds the OpenAPI 3.1 document of the agent's API from the table of operations. Pure."""

from typing import Any

from pydantic import TypeAdapter

from cni.contracts import agent_api


def document() -> dict[str, Any]:
    """Build the document; our own operations have `x-extension: true`."""
    schemas: dict[str, Any] = {}
    paths: dict[str, Any] = {}
    for operation in agent_api.OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "spiderpool-agent API",
            "version": "v1",
            "description": "HTTP/1.1 on a unix socket. Upstream's api/v1/agent/openapi.yaml, corrected where real "
            "agents answer otherwise, with the extensions of spiderpool-ipam's embedded agent (x-extension).",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": agent_api.BASE_PATH}],
        "paths": paths,
        "components": {"schemas": dict(sorted(schemas.items()))},
    }


def _operation(operation: agent_api.Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {
        "operationId": (operation.method.lower() + operation.path).replace("/", "-"),
        "summary": operation.summary,
    }
    if operation.extension:
        out["x-extension"] = True
    if operation.query:
        out["parameters"] = [
            {"name": name, "in": "query", "required": required, "schema": {"type": "string"}}
            | ({} if required else {"x-extension": True})
            for name, required in operation.query
        ]
    if operation.request is not None:
        out["requestBody"] = {"required": True, "content": _content(operation.request, schemas)}
    out["responses"] = {
        str(status): {"description": "Success" if status == 200 else "Failure"}
        | ({} if body is None else {"content": _content(body, schemas)})
        for status, body in operation.responses.items()
    }
    return out


def _content(body: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    schema = TypeAdapter(body).json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(schema.pop("$defs", {}))
    if schema.get("type") == "object":
        schemas[schema["title"]] = schema
        schema = {"$ref": f"#/components/schemas/{schema['title']}"}
    return {"application/json": {"schema": schema}}
