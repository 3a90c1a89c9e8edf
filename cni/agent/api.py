"""Serves the operations of contracts.agent_api, the spiderpool-agent's HTTP API, out of a lease store.

Side effects: the lease store and the log.

It works as upstream's agent does, with these differences. It knows no pod objects, so it believes what the request
says, and a release also frees the address of a live pod. It ignores `matchMasterSubnet`. The `network` is part of an
allocation's key; upstream's plugin sends none, which is the network "".

The table of operations does all the routing. A web framework would send errors in other forms than upstream, and its
routes and dependencies made each ADD wait 0.3 ms longer.
"""

import asyncio
import platform
import sqlite3
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple

from pydantic import TypeAdapter
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from cni.agent import answers, bodies
from cni.agent.allocator import AllocationError
from cni.agent.change_log import log
from cni.agent.lease_store import LeaseStore
from cni.contracts.agent_api import (
    BASE_PATH,
    OPERATIONS,
    IpamAddArgs,
    IpamBatchDelArgs,
    IpamDelArgs,
    IpamGcArgs,
    Operation,
)

_CHUNKED_ABOVE = 2048  # bytes; Go's HTTP server sends a longer body in chunks


class _Agent(NamedTuple):
    """What every operation is given."""

    store: LeaseStore
    detection: answers.Detection


def create_app(store: LeaseStore, detection: answers.Detection) -> ASGIApp:
    """Make the ASGI application; its responses to ADD ask the plugin for the probes of `detection`."""
    agent = _Agent(store, detection)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await _respond(agent, request)
        except ClientDisconnect:
            return
        except asyncio.CancelledError:
            response = bodies.json_line(503, "the agent is being stopped")
        except bodies.RequestError as error:
            response = bodies.error_object(error)
        except Exception as error:
            response = bodies.json_line(500, _logged(request, error))
        if len(response.body) > _CHUNKED_ABOVE and not _is_http_1_0(request):
            del response.headers["content-length"]  # which makes uvicorn send it in chunks
        await response(scope, receive, send)

    return app


async def _respond(agent: _Agent, request: Request) -> Response:
    hosts = request.headers.getlist("host")
    if len(hosts) > 1 or "/" in "".join(hosts) or not (hosts or _is_http_1_0(request)):
        return PlainTextResponse("400 Bad Request: missing or malformed Host header", 400)
    if "upgrade" in request.headers:
        # httptools would take the body for the next request, so nothing more may be read from this connection.
        raise bodies.RequestError(
            400, "an upgrade to another protocol is not supported", headers={"Connection": "close"}
        )
    operation = _operation(request.method, request.scope["path"])
    arguments = await _arguments(operation, request)
    respond = _RESPONDERS[operation.method, operation.path]
    if respond is _allocations:
        return await asyncio.to_thread(respond, agent, arguments)
    # What changes something runs on the event loop, in the order in which the requests came. Threads could swap a
    # release whose plugin has given up and the pod's next ADD, and so free the address that this ADD was given.
    return respond(agent, arguments)


def _is_http_1_0(request: Request) -> bool:
    return bool(request.scope["http_version"] == "1.0")


def _logged(request: Request, error: Exception) -> str:
    """Log why a request failed, with the traceback of an unexpected error; return the text for the caller."""
    text = str(error) if isinstance(error, AllocationError) else f"{type(error).__name__}: {error}"
    log(f"refused {request.method} {request.scope['path']}: {text}")
    if not isinstance(error, (AllocationError, sqlite3.Error)):
        for line in "".join(traceback.format_exception(error)).splitlines():
            log(line)
    return text


def _operation(method: str, path: str) -> Operation:
    operations = _BY_PATH.get(path)
    if not operations:
        raise bodies.RequestError(404, f"path {path} was not found")
    if method not in operations:
        allowed = ",".join(sorted(operations))
        raise bodies.RequestError(
            405, f"method {method} is not allowed, but [{allowed}] are", headers={"Allow": allowed}
        )
    return operations[method]


async def _arguments(operation: Operation, request: Request) -> Any:
    """Return the request's body, or the parameters of its query; raise RequestError."""
    if operation.request:
        body = await request.body()
        return bodies.read(_CONTRACTS[operation.request], request.headers.get("content-type", ""), body)
    accepted = request.headers.get("accept", "*/*")
    if not any(media_type in accepted for media_type in (bodies.JSON, "application/*", "*/*")):
        raise bodies.RequestError(406, f"unsupported media type requested, only [{bodies.JSON}] are available")
    for name, required in operation.query:
        if required and name not in request.query_params:
            raise bodies.RequestError(422, f"{name} in query is required", bodies.MISSING)
    return {name: request.query_params.get(name, "") for name, _ in operation.query}


def _healthy(agent: _Agent, query: dict[str, str]) -> Response:
    return bodies.empty()


def _allocate(agent: _Agent, args: IpamAddArgs) -> Response:
    held, new = agent.store.allocate(args)
    if new:
        log(f"allocated {' '.join(new)} to {_attachment(args)}")
    return bodies.json_line(200, answers.add_response(held, args.get("network", ""), args["ifName"], agent.detection))


def _release(agent: _Agent, args: IpamDelArgs) -> Response:
    _log_freed(agent.store.release(args), _attachment(args))
    return bodies.empty()


def _release_pod(agent: _Agent, args: IpamBatchDelArgs) -> Response:
    _log_freed(agent.store.release_pod(args), f"pod {args['podNamespace']}/{args['podName']}")
    return bodies.empty()


def _collect_garbage(agent: _Agent, args: IpamGcArgs) -> Response:
    freed = agent.store.collect_garbage(args)
    _log_freed(freed, f"network {args['network']}, whose attachments are gone")
    return bodies.json_line(200, {"released": freed})


def _allocations(agent: _Agent, query: dict[str, str]) -> Response:
    return bodies.json_line(200, {"allocations": [answers.allocation(held) for held in agent.store.all_held()]})


def _workload_endpoint(agent: _Agent, query: dict[str, str]) -> Response:
    pod_namespace, pod_name = query["podNamespace"], query["podName"]
    container_id, ifname = query["containerID"], query["ifName"]
    held = agent.store.held_by_pod(pod_namespace, pod_name, container_id)
    held = [interface for interface in held if ifname in ("", interface.ifname)]
    if not held:
        what = f"{pod_namespace}/{pod_name}" if pod_name else f"of container {container_id}"
        return bodies.json_line(404, f"SpiderEndpoint {what} not found")
    return bodies.json_line(200, answers.endpoint_status(held, platform.node()))


def _attachment(args: IpamAddArgs | IpamDelArgs) -> str:
    pod = f"{args['podNamespace']}/{args['podName']}"
    return f"{args['ifName']} of pod {pod}, container {args['containerID']}, network {args.get('network', '')}"


def _log_freed(freed: list[str], whose: str) -> None:
    if freed:
        log(f"freed {' '.join(freed)} of {whose}")


_RESPONDERS: dict[tuple[str, str], Callable[[_Agent, Any], Response]] = {
    ("GET", "/ipam/healthy"): _healthy,
    ("POST", "/ipam/ip"): _allocate,
    ("DELETE", "/ipam/ip"): _release,
    ("DELETE", "/ipam/ips"): _release_pod,
    ("GET", "/workloadendpoint"): _workload_endpoint,
    ("GET", "/ipam/allocations"): _allocations,
    ("POST", "/ipam/gc"): _collect_garbage,
}
_BY_PATH: dict[str, dict[str, Operation]] = {}
for _row in OPERATIONS:
    _BY_PATH.setdefault(BASE_PATH + _row.path, {})[_row.method] = _row
_CONTRACTS = {row.request: TypeAdapter(row.request) for row in OPERATIONS if row.request}
