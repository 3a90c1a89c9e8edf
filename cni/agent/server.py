"""Serves the agent on a unix socket. Side effects: the socket, the locks, the state folder, signal handlers.

The socket is bound here, because uvicorn's own `uds=` would give it the mode 0666 and take it over from a live agent.
"""

import fcntl
import os
import signal
import socket
import sqlite3
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from cni.agent import pending
from cni.agent.answers import Detection
from cni.agent.api import create_app
from cni.agent.change_log import log
from cni.agent.lease_store import LeaseStore
from cni.agent.pools import Pool, read_pools
from cni.agent.ranges import count

_STOP_TIMEOUT = 1  # seconds for the requests that are under way when the agent is stopped
_CONNECT_TIMEOUT = 1  # seconds; only the full queue of a live agent makes a connection wait


class ServeError(Exception):
    """The agent cannot serve; the text is one line that says why."""


def serve(socket_path: Path, pool_paths: Sequence[Path], state: Path, detection: Detection) -> None:
    """Serve until SIGTERM or SIGINT ends the process with status 0; raise PoolError and ServeError."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    pools = read_pools(pool_paths, log)
    with ExitStack() as stack:
        try:
            store = stack.enter_context(_opened_store(state, pools))
            listener = stack.enter_context(_bound(socket_path))
        except OSError as error:
            raise ServeError(f"{error.filename or socket_path}: {error.strerror or error}") from None
        _announce(pools, socket_path)
        # A daemon: it may be in the middle of a request to this agent when the agent is stopped.
        threading.Thread(target=pending.take_for_ever, args=(socket_path, threading.Event()), daemon=True).start()
        _uvicorn(create_app(store, detection)).run(sockets=[listener])


def _stop(number: int, frame: FrameType | None) -> None:
    """End the process. uvicorn has handlers of its own while it serves, and raises the signal again when it is done."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(0)


@contextmanager
def _opened_store(state: Path, pools: list[Pool]) -> Iterator[LeaseStore]:
    """Open the lease store in the state folder, which no other agent may use, even one on another socket."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    database = state / "leases.db"
    with _locked(state / "lock"):
        try:
            store = LeaseStore(database, pools)
        except sqlite3.Error as error:
            raise ServeError(f"{database}: {error}") from None
        with closing(store):
            yield store


@contextmanager
def _bound(path: Path) -> Iterator[socket.socket]:
    """Listen on a unix socket that belongs to this agent alone; remove it in the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(Path(f"{path}.lock")):
        _remove_stale(path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            umask = os.umask(0o177)
            try:
                listener.bind(str(path))
            finally:
                os.umask(umask)
            listener.listen()
            bound = path.stat()
            try:
                yield listener
            finally:
                # A real agent takes no lock, so it may have put its own socket in this place meanwhile.
                if path.exists() and os.path.samestat(path.stat(), bound):
                    path.unlink()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock file. It is never removed, because two other agents could then each lock a file of this name."""
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ServeError(f"another agent holds {path}") from None
        yield


def _remove_stale(path: Path) -> None:
    """Remove the socket of an agent that was killed; raise ServeError for that of a live one and for any other file."""
    if not os.path.lexists(path):
        return
    if not path.is_socket():
        raise ServeError(f"{path} is not a socket: not replaced")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_CONNECT_TIMEOUT)
        try:
            connection.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
        except TimeoutError:
            raise ServeError(f"another agent has {path} and does not answer") from None
        else:
            raise ServeError(f"another agent answers on {path}")


def _announce(pools: list[Pool], path: Path) -> None:
    addresses = sum(count(pool.ranges) for pool in pools)
    what = f"{len(pools)} pool{'s' * (len(pools) != 1)} ({addresses} address{'es' * (addresses != 1)})"
    print(f"spiderpool-ipam agent: serving {what} on {path}", flush=True)


def _uvicorn(app: ASGIApp) -> uvicorn.Server:
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_STOP_TIMEOUT,
    )
    return uvicorn.Server(config)
