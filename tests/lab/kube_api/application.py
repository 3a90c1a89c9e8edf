"""The HTTP side: which path and method means what, and what the bodies are."""

import base64
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.lab.kube_api import discovery, objects, protobuf, reviews, selectors, status_errors
from tests.lab.kube_api.cluster import Cluster
from tests.lab.kube_api.objects import Object
from tests.lab.kube_api.resources import Resource
from tests.lab.kube_api.status_errors import StatusError
from tests.lab.kube_api.watches import Selection, Watches, served

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


class _Target(NamedTuple):
    """What a path names."""

    resource: Resource
    namespace: str
    name: str
    subresource: str


def create_app(cluster: Cluster, watches: Watches) -> Starlette:
    """Make the ASGI application of a cluster."""

    async def answer(request: Request) -> Response:
        try:
            return await _answer(cluster, watches, request)
        except StatusError as error:
            return _json(error.status(), error.code)

    async def healthy(request: Request) -> Response:
        return PlainTextResponse("ok")

    probes = [Route(path, healthy) for path in ("/readyz", "/livez", "/healthz")]
    return Starlette(routes=[*probes, Route("/{path:path}", answer, methods=_METHODS)])


async def _answer(cluster: Cluster, watches: Watches, request: Request) -> Response:
    accepted = request.headers.get("accept", "*/*")
    if request.url.path == "/openapi/v2" and protobuf.OPENAPI_MEDIA_TYPE in accepted:
        return Response(protobuf.OPENAPI_V2, media_type=protobuf.OPENAPI_MEDIA_TYPE.replace("@", "."))
    if "json" not in accepted and "*/*" not in accepted and "application/*" not in accepted:
        raise status_errors.not_acceptable()
    parts = [part for part in request.path_params["path"].split("/") if part]
    document = _document(cluster, parts) if request.method == "GET" else None
    if document is not None:
        return _json(document)
    group, version, rest = _group_of(parts)
    if request.method == "POST" and rest and (reviewed := reviews.review(group, rest[-1], await _body(request))):
        return _json(reviewed, 201)
    target = _target(cluster, group, version, rest)
    if request.query_params.get("dryRun"):
        raise status_errors.bad_request("dryRun is not supported by this server")
    if target.subresource == "token" and target.resource.is_core("serviceaccounts") and request.method == "POST":
        return _json(reviews.service_account_token(target.namespace, target.name, await _body(request)), 201)
    if target.subresource and not (target.subresource == "status" and target.resource.has_status):
        raise status_errors.no_such_resource()
    if target.name:
        return await _answer_for_one(cluster, target, request)
    return await _answer_for_many(cluster, watches, target, request)


def _document(cluster: Cluster, parts: list[str]) -> Object | None:
    """Return the document at a path that names no resource."""
    resources = cluster.resources
    match parts:
        case ["version"]:
            return discovery.VERSION
        case ["openapi", "v2"]:
            return discovery.OPENAPI_V2
        case ["openapi", "v3"]:
            return discovery.OPENAPI_V3
        case ["api"]:
            return discovery.core_versions()
        case ["apis"]:
            return discovery.group_list(resources)
        case ["apis", group]:
            return discovery.group_document(resources, group)
        case ["api", version]:
            return discovery.resource_list(resources, "", version)
        case ["apis", group, version]:
            return discovery.resource_list(resources, group, version)
    return None


def _group_of(parts: list[str]) -> tuple[str, str, list[str]]:
    """Split a path into group, version and the rest."""
    match parts:
        case ["api", version, *rest]:
            return "", version, rest
        case ["apis", group, version, *rest]:
            return group, version, rest
    raise status_errors.no_such_resource()


def _target(cluster: Cluster, group: str, version: str, rest: list[str]) -> _Target:
    namespace = ""
    if len(rest) > 2 and rest[0] == "namespaces" and cluster.resources.find(group, version, rest[2]):
        _, namespace, *rest = rest
    resource = cluster.resources.find(group, version, rest[0]) if rest else None
    if not resource or len(rest) > 3:
        raise status_errors.no_such_resource()
    name, subresource, *_ = [*rest[1:], "", ""]
    return _Target(resource, namespace, name, subresource)


async def _answer_for_one(cluster: Cluster, target: _Target, request: Request) -> Response:
    resource, namespace, name, subresource = target
    if request.method == "GET":
        if request.query_params.get("watch") in ("true", "1"):
            raise status_errors.bad_request("watch a list with a fieldSelector instead")
        found = cluster.store.get(resource, namespace, name)
    elif request.method == "PUT":
        found = cluster.update(resource, namespace, name, await _body(request), subresource)
    elif request.method == "PATCH":
        patch = await _body(request)
        found = cluster.patch(resource, namespace, name, _media_type(request), patch, subresource)
    elif request.method == "DELETE":
        found = cluster.delete(resource, namespace, name, await _options(request))
    else:
        raise status_errors.not_allowed()
    return _json(served(resource, found))


async def _answer_for_many(cluster: Cluster, watches: Watches, target: _Target, request: Request) -> Response:
    resource, query = target.resource, request.query_params
    selection = Selection(resource, target.namespace, selectors.selector(query))
    if request.method == "GET" and query.get("watch") in ("true", "1"):
        return StreamingResponse(watches.stream(selection, query), media_type="application/json")
    if request.method == "GET":
        return _json(_page(cluster, selection, query))
    if request.method == "POST":
        return _json(served(resource, cluster.create(resource, target.namespace, await _body(request))), 201)
    if request.method != "DELETE":
        raise status_errors.not_allowed()
    options = await _options(request)
    for found in selection.objects_in(cluster.store):
        cluster.delete(resource, *objects.key_of(found), options)
    return _json({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"})


def _page(cluster: Cluster, selection: Selection, query: Mapping[str, str]) -> Object:
    """Return a list, or as much of it as the client wants at once; later parts are of the state at their time."""
    found = selection.objects_in(cluster.store)
    if query.get("continue"):
        last = _last_of(query["continue"])
        found = [document for document in found if objects.key_of(document) > last]
    metadata: Object = {"resourceVersion": str(cluster.store.version)}
    limit = int(query.get("limit") or 0)
    if limit and len(found) > limit:
        metadata["continue"] = base64.urlsafe_b64encode(objects.encode(objects.key_of(found[limit - 1]))).decode()
        metadata["remainingItemCount"] = len(found) - limit
        found = found[:limit]
    resource = selection.resource
    items = [served(resource, document) for document in found]
    return {"apiVersion": resource.api_version, "kind": f"{resource.kind}List", "metadata": metadata, "items": items}


def _last_of(token: str) -> tuple[str, str]:
    try:
        namespace, name = json.loads(base64.urlsafe_b64decode(token))
    except ValueError:
        raise status_errors.bad_request("the continue token is not one of this server's") from None
    return namespace, name


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "application/json").partition(";")[0].strip()


async def _body(request: Request) -> Any:
    """Return what a request holds, which must be JSON, YAML for server-side apply, or what Helm sends as protobuf."""
    media_type, content = _media_type(request), await request.body()
    if media_type == protobuf.MEDIA_TYPE:
        try:
            return protobuf.read(content)
        except (ValueError, LookupError):
            raise status_errors.unsupported_media_type(media_type) from None
    if not media_type.endswith(("json", "yaml")):
        raise status_errors.unsupported_media_type(media_type)
    try:
        document = next(objects.parse_yaml(content)) if media_type.endswith("yaml") else json.loads(content)
    except (ValueError, yaml.YAMLError, StopIteration) as error:
        raise status_errors.bad_request(f"the body cannot be decoded: {error}") from None
    if not isinstance(document, dict) and request.method != "PATCH":
        raise status_errors.bad_request("the body is no object")
    return document


async def _options(request: Request) -> Object:
    """Return the DeleteOptions of a request: its body, or what its query says."""
    options: Object = await _body(request) if await request.body() else {}
    if "gracePeriodSeconds" in request.query_params:
        options["gracePeriodSeconds"] = int(request.query_params["gracePeriodSeconds"])
    return options


def _json(document: Object, status: int = 200) -> Response:
    return Response(objects.encode(document), status, media_type="application/json")
