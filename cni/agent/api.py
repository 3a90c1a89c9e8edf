"""The spiderpool-agent's HTTP API over a lease store: the operations of contracts.agent_api. Side effect: the log.

Works as upstream's agent does, with these differences. There are no pod objects: what counts is what the request says,
and a release frees a live pod's address, too. `matchMasterSubnet` is ignored. `network` belongs to an allocation's
key; upstream's plugin sends none, which is the network "".
"""

import platform
import sqlite3
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter
from starlette.exceptions import HTTPException as StarletteHTTPException

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
)


def create_app(store: LeaseStore, detection: answers.Detection) -> FastAPI:
    """Make the ASGI application that answers out of a lease store, asking the plugin for `detection`."""
    app = FastAPI(openapi_url=None, redirect_slashes=False, dependencies=[Depends(_check_host)])
    app.state.store = store
    app.state.detection = detection
    app.include_router(_router, prefix=BASE_PATH)
    app.add_exception_handler(StarletteHTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _query_error)
    app.add_exception_handler(AllocationError, _failure)
    app.add_exception_handler(sqlite3.Error, _failure)
    app.add_exception_handler(Exception, _failure)
    return app


async def _check_host(request: Request) -> None:
    if "/" in request.headers.get("host", ""):
        raise HTTPException(400, "400 Bad Request: malformed Host header")


async def _check_accept(request: Request) -> None:
    accepted = request.headers.get("accept", "*/*")
    if not any(media_type in accepted for media_type in (bodies.JSON, "application/*", "*/*")):
        raise bodies.refusal(406, f"unsupported media type requested, only [{bodies.JSON}] are available")


async def _store(request: Request) -> LeaseStore:
    store: LeaseStore = request.app.state.store
    return store


def _body(contract: Any) -> Any:
    """Make the dependency that reads a request's body."""
    adapter = TypeAdapter(contract)

    async def read(request: Request) -> Any:
        return bodies.parse(adapter, request.headers.get("content-type", ""), await request.body())

    return Depends(read)


Store = Annotated[LeaseStore, Depends(_store)]
_router = APIRouter()
_gets: dict[str, Any] = {"dependencies": [Depends(_check_accept)]}


@_router.get("/ipam/healthy", **_gets)
async def healthy() -> Response:
    """Say that the agent serves."""
    return bodies.empty()


# All that changes something runs on the event loop, in the order in which it came: of a release whose plugin has given
# up and the pod's next ADD, a thread could do the release last, and free what the ADD was given.


@_router.post("/ipam/ip")
async def allocate(args: Annotated[IpamAddArgs, _body(IpamAddArgs)], store: Store, request: Request) -> Response:
    """Allocate addresses to a pod's interface; the same ones when asked again."""
    held, new = store.allocate(args)
    if new:
        log(f"allocated {' '.join(new)} to {_attachment(args)}")
    network = args.get("network", "")
    return bodies.json_line(200, answers.add_response(held, network, args["ifName"], request.app.state.detection))


@_router.delete("/ipam/ip")
async def release(args: Annotated[IpamDelArgs, _body(IpamDelArgs)], store: Store) -> Response:
    """Release them. Nothing known is success."""
    _log_freed(store.release(args), _attachment(args))
    return bodies.empty()


@_router.delete("/ipam/ips")
async def release_pod(args: Annotated[IpamBatchDelArgs, _body(IpamBatchDelArgs)], store: Store) -> Response:
    """Release every interface of a pod."""
    _log_freed(store.release_pod(args), f"pod {args['podNamespace']}/{args['podName']}")
    return bodies.empty()


@_router.post("/ipam/gc")
async def collect_garbage(args: Annotated[IpamGcArgs, _body(IpamGcArgs)], store: Store) -> Response:
    """Free what a network holds for attachments that are gone."""
    freed = store.collect_garbage(args)
    _log_freed(freed, f"network {args['network']}, whose attachments are gone")
    return bodies.json_line(200, {"released": freed})


@_router.get("/ipam/allocations", **_gets)
def allocations(store: Store) -> Response:
    """List every allocation."""
    return bodies.json_line(200, {"allocations": [answers.allocation(held) for held in store.all_held()]})


@_router.get("/workloadendpoint", **_gets)
async def workload_endpoint(
    store: Store,
    pod_namespace: Annotated[str, Query(alias="podNamespace")],
    pod_name: Annotated[str, Query(alias="podName")],
    container_id: Annotated[str, Query(alias="containerID")] = "",
    ifname: Annotated[str, Query(alias="ifName")] = "",
) -> Response:
    """Show what a pod holds."""
    held = store.held_by_pod(pod_namespace, pod_name, container_id)
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


async def _http_error(request: Request, error: Any) -> Response:
    path = request.scope["path"]
    if isinstance(error.detail, dict):
        return bodies.error_object(error.status_code, **error.detail)
    if error.status_code == 404:
        return bodies.error_object(404, 404, f"path {path} was not found")
    if error.status_code == 405:
        allowed = ",".join(sorted(row.method for row in OPERATIONS if BASE_PATH + row.path == path))
        text = f"method {request.method} is not allowed, but [{allowed}] are"
        return bodies.error_object(405, 405, text, {"Allow": allowed})
    return Response(error.detail, error.status_code, media_type="text/plain")


async def _query_error(request: Request, error: Any) -> Response:
    missing = error.errors()[0]["loc"][-1]
    return bodies.error_object(422, bodies.MISSING, f"{missing} in query is required")


async def _failure(request: Request, error: Exception) -> Response:
    text = str(error) if isinstance(error, AllocationError) else f"{type(error).__name__}: {error}"
    log(f"refused {request.method} {request.scope['path']}: {text}")
    return bodies.json_line(500, text)
