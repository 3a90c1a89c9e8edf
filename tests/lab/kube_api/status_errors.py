"""Why a request is refused, in the words of a real API server: an HTTP status and a body of kind Status."""

from typing import Any

from tests.lab.kube_api.resources import Resource


class StatusError(Exception):
    """A request that is refused; raised anywhere, answered in one place."""

    def __init__(self, code: int, reason: str, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code, self.reason, self.details = code, reason, details

    def status(self) -> dict[str, Any]:
        """Return the body of the answer."""
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": str(self),
            "reason": self.reason,
            "code": self.code,
        }
        return status | ({"details": self.details} if self.details else {})


def _about(resource: Resource, name: str) -> dict[str, Any]:
    return {"name": name, "group": resource.group, "kind": resource.plural}


def bad_request(message: str) -> StatusError:
    return StatusError(400, "BadRequest", message)


def no_such_resource() -> StatusError:
    return StatusError(404, "NotFound", "the server could not find the requested resource")


def not_found(resource: Resource, name: str) -> StatusError:
    return StatusError(404, "NotFound", f'{resource.qualified_name} "{name}" not found', _about(resource, name))


def not_allowed() -> StatusError:
    text = "the server does not allow this method on the requested resource"
    return StatusError(405, "MethodNotAllowed", text)


def already_exists(resource: Resource, name: str) -> StatusError:
    text = f'{resource.qualified_name} "{name}" already exists'
    return StatusError(409, "AlreadyExists", text, _about(resource, name))


def conflict(resource: Resource, name: str, why: str = "") -> StatusError:
    why = why or "the object has been modified; please apply your changes to the latest version and try again"
    text = f'Operation cannot be fulfilled on {resource.qualified_name} "{name}": {why}'
    return StatusError(409, "Conflict", text, _about(resource, name))


def expired(version: int, oldest: int) -> StatusError:
    return StatusError(410, "Expired", f"too old resource version: {version} ({oldest})")


def unsupported_media_type(given: str) -> StatusError:
    text = f"the body of the request was in an unknown format - accepted media types include: application/json: {given}"
    return StatusError(415, "UnsupportedMediaType", text)


def not_acceptable() -> StatusError:
    text = "only the following media types are accepted: application/json"
    return StatusError(406, "NotAcceptable", text)


def invalid(resource: Resource, name: str, field: str, why: str) -> StatusError:
    details = {
        "name": name,
        "group": resource.group,
        "kind": resource.kind,
        "causes": [{"reason": "FieldValueInvalid", "message": why, "field": field}],
    }
    qualified = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    return StatusError(422, "Invalid", f'{qualified} "{name}" is invalid: {field}: {why}', details)
