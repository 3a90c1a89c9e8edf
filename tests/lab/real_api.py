"""A real API server in the place of the test server: that of a kubeconfig, for the lab in its sandbox.

    python -m tests.lab.real_api KUBECONFIG

The process stays outside of the sandbox, where the server can be reached. It serves HTTP on a socket that the lab has
opened on its router, and passes all requests on with the credentials of the kubeconfig, as `kubectl proxy` does. The
socket comes over stdin, which is one end of a socket pair. When the other end is closed, the lab has ended, in whatever
way: then what has been created through this process is removed from the cluster. The exit status is 1 if some is left.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from cni.deadline import Deadline
from cni.doctor.collect import kubeconfig
from cni.doctor.collect.exec_plugin import credential
from cni.doctor.collect.kube import Kube, KubeError, page_of
from cni.doctor.collect.kubeconfig import Access
from cni.doctor.collect.tls import tls_context
from cni.installer.errors import InstallerError
from tests.lab.processes import LabError
from tests.lab.programs import ROOT

_CALICO, _DEFINITIONS = "/apis/crd.projectcalico.org/v1", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
# The lab would change these, or programs of the cluster would follow the lab's.
_ABSENT = {
    "Nodes": "/api/v1/nodes",
    "IPPools": f"{_CALICO}/ippools",
    "BGPPeers": f"{_CALICO}/bgppeers",
    "BGPConfigurations": f"{_CALICO}/bgpconfigurations",
    "SpiderIPPools": "/apis/spiderpool.spidernet.io/v2beta1/spiderippools",
}
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_REQUEST_HEADERS, _RESPONSE_HEADERS = ("accept", "content-type", "user-agent"), ("content-type", "retry-after")
_SECONDS = 20.0  # for an exec plugin, and for the first look into the cluster
_LAST_REQUESTS = 10  # seconds that those under way may take when the lab has ended
_REMOVAL = 60.0  # seconds
_FAILURES = (httpx.HTTPError, InstallerError, OSError)  # TimeoutError is an OSError


def refusal(path: Path) -> str:
    """Return why the lab must not use the cluster of a kubeconfig; nothing if it may."""
    try:
        access = kubeconfig.find(path, "", os.environ)
        with contextlib.closing(Kube(access, Deadline(_SECONDS))) as kube:
            found = [kind for kind, where in _ABSENT.items() if _has_any(kube, where)]
    except InstallerError as error:
        return str(error)
    return f"{access.server} has {', '.join(found)} already: the lab is for an empty API server" if found else ""


def _has_any(kube: Kube, where: str) -> bool:
    try:
        return bool(kube.list(where, page_of(dict[str, Any])))
    except KubeError as error:
        if error.status != httpx.codes.NOT_FOUND:
            raise
        return False


def run_with(path: Path, lock: int, run: Callable[[int], int]) -> int:
    """Run a lab, with its end of the socket pair; return its exit status, or 1 if something is left in the cluster.

    The process has the lab's lock as well, because the lab must not begin anew before all is removed.
    """
    inside, outside = socket.socketpair()
    command: list[str | Path] = [sys.executable, "-m", "tests.lab.real_api", path.absolute()]
    # Ctrl-C on a terminal is for the lab alone.
    process = subprocess.Popen(command, stdin=outside.fileno(), pass_fds=[lock], cwd=ROOT, start_new_session=True)
    outside.close()
    with inside:
        status = run(inside.fileno())
    left = process.wait(2 * (_LAST_REQUESTS + _REMOVAL))
    return status or left


def offer(address: tuple[str, int]) -> None:
    """Have the process outside serve on an address of this network namespace. It is at the other end of stdin."""
    channel = socket.fromfd(sys.stdin.fileno(), socket.AF_UNIX, socket.SOCK_STREAM)
    with channel, socket.create_server(address) as listener:
        try:
            socket.send_fds(channel, [b"."], [listener.fileno()])
        except OSError as error:
            raise LabError(f"the process that asks the real API server has ended: {error}") from None


class Cluster:
    """The cluster, asked with the credentials of its kubeconfig, and what has been created there."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._made: dict[str, str] = {}  # path of an object: its UID
        self._open()

    def _open(self) -> None:
        """Begin with credentials that hold: those of an exec plugin end some time."""
        access = self._access
        said = credential(access, access.exec, Deadline(_SECONDS)) if access.exec else None
        self._token = (said or {}).get("token", "") or access.token
        self._client = httpx.AsyncClient(
            verify=tls_context(access, said),
            proxy=access.proxy or None,
            trust_env=False,
            auth=(access.username, access.password) if access.username else None,
            timeout=httpx.Timeout(10, read=None),  # nothing may come from a watch for long
            limits=httpx.Limits(max_connections=None),
        )

    async def forward(self, request: Request) -> Response:
        """Have the server answer a request of the lab."""
        query = request.url.query
        path = request.scope["raw_path"].decode() + (f"?{query}" if query else "")
        headers = {name: request.headers[name] for name in _REQUEST_HEADERS if name in request.headers}
        try:
            answer = await self._ask(request.method, path, await request.body(), headers)
            if answer.status_code == httpx.codes.CREATED:
                self._remember(request, await answer.aread())
        except _FAILURES as error:
            return PlainTextResponse(f"{self._access.server}: {error!r}", httpx.codes.BAD_GATEWAY)
        headers = {name: answer.headers[name] for name in _RESPONSE_HEADERS if name in answer.headers}
        return StreamingResponse(_chunks(answer), answer.status_code, headers)

    async def _ask(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
        access = self._access
        for may_renew in (bool(access.exec), False):
            token = access.token_file.read_text().strip() if access.token_file else self._token
            own = {"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {token}"} if token else {})
            request = self._client.build_request(method, access.server + path, content=body, headers=headers | own)
            answer = await self._client.send(request, stream=True)
            if answer.status_code != httpx.codes.UNAUTHORIZED or not may_renew:
                break
            await answer.aclose()
            self._open()
        return answer

    def _remember(self, request: Request, document: bytes) -> None:
        """Keep what has been created; a review or a token has no UID."""
        metadata = json.loads(document).get("metadata", {})
        if uid := metadata.get("uid"):
            path = request.url.path
            self._made[f"{path}/{metadata['name']}" if request.method == "POST" else path] = uid

    async def remove(self) -> list[str]:
        """Remove what has been created, the latest first; return what is there after all."""
        deadline, left = Deadline(_REMOVAL), list(self._made)
        with contextlib.suppress(*_FAILURES):
            for path in reversed(left):
                await self._delete(path)
            while deadline.left() and (left := [path for path in left if await self._is_there(path)]):
                await asyncio.sleep(0.2)
        return left

    async def _delete(self, path: str) -> None:
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": self._made[path]}}
        _, document = await self._do("DELETE", path, options)
        # A definition's finalizer is the API server's own. Whoever would do what the others stand for has ended.
        if document.get("metadata", {}).get("finalizers") and not path.startswith(_DEFINITIONS):
            await self._do("PATCH", path, {"metadata": {"finalizers": None}}, "application/merge-patch+json")

    async def _is_there(self, path: str) -> bool:
        status, document = await self._do("GET", path)
        return status != httpx.codes.NOT_FOUND and document.get("metadata", {}).get("uid") in (None, self._made[path])

    async def _do(self, method: str, path: str, body: object = None, kind: str = "application/json") -> Any:
        """Return the status and the document of an answer."""
        content = json.dumps(body).encode() if body else b""
        async with asyncio.timeout(10):
            answer = await self._ask(method, path, content, {"Content-Type": kind})
            text = await answer.aread()
        return answer.status_code, json.loads(text) if text.startswith(b"{") else {}


async def _chunks(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.aiter_bytes():
            yield chunk
    finally:
        await answer.aclose()


async def _serve(cluster: Cluster, channel: socket.socket, listener: socket.socket) -> list[str]:
    """Serve until the lab has ended; return what cannot be removed."""
    app = Starlette(routes=[Route("/{path:path}", cluster.forward, methods=_METHODS)])
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        log_level="critical",
        timeout_graceful_shutdown=_LAST_REQUESTS,
    )
    server, loop = uvicorn.Server(config), asyncio.get_running_loop()

    def end() -> None:
        loop.remove_reader(channel)
        server.should_exit = True

    loop.add_reader(channel, end)
    await server.serve(sockets=[listener])
    return await cluster.remove()


def main(path: Path) -> int:
    """Serve until the lab has ended, and remove what it has made; return the exit status."""
    # While it serves, they end that as the lab's end does. Nothing is to end the removal.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    access = kubeconfig.find(path, "", os.environ)
    channel = socket.socket(fileno=sys.stdin.fileno())
    _, descriptors, _, _ = socket.recv_fds(channel, 1, 1)
    if not descriptors:  # the lab has ended before
        return 0
    with socket.socket(fileno=descriptors[0]) as listener:
        left = asyncio.run(_serve(Cluster(access), channel, listener))
    if left:
        print(f"this of the lab is left at {access.server}:", *left, sep="\n", file=sys.stderr)
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
