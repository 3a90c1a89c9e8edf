"""Request bodies and answers in the forms of upstream's agent and its HTTP layer, go-openapi; FastAPI's differ. Pure.

500 is one JSON string with a newline; 4xx is an object `{"code", "message"}` without; success without content has
neither body nor Content-Type. An answer of more than 2048 bytes is chunked, as Go's HTTP server does it: whoever reads
this agent's answers can read those of a real one.
"""

import json
from typing import Any

from fastapi import HTTPException, Response
from fastapi.responses import StreamingResponse
from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

JSON = "application/json"
MISSING = 602  # go-openapi's code for a required field that is missing or null
_CHUNKED_FROM = 2049  # bytes


def parse(contract: TypeAdapter[Any], content_type: str, body: bytes) -> Any:
    """Return a request's body as its contract's type; raise what `refusal` makes."""
    media_type = content_type.partition(";")[0].strip().lower() or "application/octet-stream"
    if media_type != JSON:
        raise refusal(415, f'unsupported media type "{media_type}", only [{JSON}] are allowed')
    if not body:
        raise refusal(422, "body in body is required", MISSING)
    try:
        fields = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise refusal(400, f'parsing body body from "" failed, because {error}') from None
    return _validated(contract, fields)


def _validated(contract: TypeAdapter[Any], fields: Any) -> Any:
    if isinstance(fields, dict):
        # To Go, null is the same as absence.
        fields = {name: value for name, value in fields.items() if value is not None}
    try:
        return contract.validate_python({} if fields is None else fields, strict=True)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
    for problem in problems:
        if problem["type"] != "missing" or len(problem["loc"]) != 1:
            field = ".".join(map(str, problem["loc"])) or "body"
            raise refusal(400, f'parsing body body from "" failed, because {field}: {problem["msg"]}')
    raise refusal(422, f"{problems[0]['loc'][0]} in body is required", MISSING)


def refusal(status: int, message: str, code: int | None = None) -> HTTPException:
    """Make the exception that is answered with an ErrorObject."""
    return HTTPException(status, {"code": code or status, "message": message})


def error_object(status: int, code: int, message: str, headers: dict[str, str] | None = None) -> Response:
    """Answer with an ErrorObject."""
    body = json.dumps({"code": code, "message": message}, separators=(",", ":"))
    return Response(body, status, headers, JSON)


def json_line(status: int, value: Any) -> Response:
    """Answer with JSON and a newline."""
    body = json.dumps(value, separators=(",", ":")).encode() + b"\n"
    if len(body) < _CHUNKED_FROM:
        return Response(body, status, media_type=JSON)
    return StreamingResponse(iter([body]), status, media_type=JSON)


def empty() -> Response:
    """Answer 200 with nothing."""
    return Response()
