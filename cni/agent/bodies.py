"""Request bodies and answers in the forms of upstream's agent and its HTTP layer, go-openapi. Pure.

500 is one JSON string with a newline; 4xx is an object `{"code", "message"}` without; success without content has
neither body nor Content-Type. Whoever reads this agent's answers can read those of a real one.
"""

import json
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json
from starlette.responses import Response

JSON = "application/json"
MISSING = 602  # go-openapi's code for a required field that is missing or null


class Refusal(Exception):  # noqa: N818  (what the caller is told)
    """What is answered with an ErrorObject: status, message, the code in it where it is not the status."""

    def __init__(self, status: int, message: str, code: int = 0, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code or status
        self.headers = headers


def parse(contract: TypeAdapter[Any], content_type: str, body: bytes) -> Any:
    """Return a request's body as its contract's type; raise Refusal."""
    media_type = content_type.partition(";")[0].strip().lower() or "application/octet-stream"
    if media_type != JSON:
        raise Refusal(415, f'unsupported media type "{media_type}", only [{JSON}] are allowed')
    if not body:
        raise Refusal(422, "body in body is required", MISSING)
    try:
        fields = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise Refusal(400, f'parsing body body from "" failed, because {error}') from None
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
            raise Refusal(400, f'parsing body body from "" failed, because {field}: {problem["msg"]}')
    raise Refusal(422, f"{problems[0]['loc'][0]} in body is required", MISSING)


def error_object(refusal: Refusal) -> Response:
    """Answer with an ErrorObject."""
    body = json.dumps({"code": refusal.code, "message": refusal.message}, separators=(",", ":"))
    return Response(body, refusal.status, refusal.headers, JSON)


def json_line(status: int, value: Any) -> Response:
    """Answer with JSON and a newline."""
    return Response(json.dumps(value, separators=(",", ":")).encode() + b"\n", status, media_type=JSON)


def empty() -> Response:
    """Answer 200 with nothing."""
    return Response()
