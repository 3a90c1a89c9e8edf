"""Reads request bodies and makes responses as upstream's agent and its HTTP layer, go-openapi, do. Pure.

The body of a 500 is one JSON string with a newline. The body of a 4xx is an object `{"code", "message"}` without a
newline. A success without content has neither a body nor a Content-Type. So a client that reads the responses of this
agent can read those of a real one.
"""

import json
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json
from starlette.responses import Response

from cni.contracts import faults

JSON = "application/json"
MISSING = 602  # go-openapi's code for a required field that is missing or null


class RequestError(Exception):
    """A request that is answered with an ErrorObject; its code is the status where no other one is given."""

    def __init__(self, status: int, message: str, code: int = 0, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code or status
        self.headers = headers


def read(contract: TypeAdapter[Any], content_type: str, body: bytes) -> Any:
    """Return a request's body as its contract's type; raise RequestError."""
    media_type = content_type.partition(";")[0].strip().lower() or "application/octet-stream"
    if media_type != JSON:
        raise RequestError(415, f'unsupported media type "{media_type}", only [{JSON}] are allowed')
    if not body:
        raise RequestError(422, "body in body is required", MISSING)
    try:
        fields = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise RequestError(400, f'parsing body body from "" failed, because {error}') from None
    return _validated(contract, fields)


def _validated(contract: TypeAdapter[Any], fields: Any) -> Any:
    if isinstance(fields, dict):
        # In Go, null means the same as absence.
        fields = {name: value for name, value in fields.items() if value is not None}
    try:
        return contract.validate_python({} if fields is None else fields, strict=True)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
    for problem in problems:
        if problem["type"] != "missing" or len(problem["loc"]) != 1:
            field = ".".join(map(str, problem["loc"])) or "body"
            raise RequestError(400, f'parsing body body from "" failed, because {field}: {faults.message(problem)}')
    raise RequestError(422, f"{problems[0]['loc'][0]} in body is required", MISSING)


def error_object(error: RequestError) -> Response:
    """Make a response with an ErrorObject."""
    body = json.dumps({"code": error.code, "message": error.message}, separators=(",", ":"))
    return Response(body, error.status, error.headers, JSON)


def json_line(status: int, value: Any) -> Response:
    """Make a response with JSON and a newline."""
    return Response(json.dumps(value, separators=(",", ":")).encode() + b"\n", status, media_type=JSON)


def empty() -> Response:
    """Make a response with status 200 and nothing in it."""
    return Response()
