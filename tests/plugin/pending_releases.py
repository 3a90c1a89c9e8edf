"""Pending releases for tests: writing and sending them, and an agent that answers from a script."""

import multiprocessing
import socketserver
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cni.deadline import Deadline
from cni.plugin import pending
from cni.plugin import replay as replaying
from cni.plugin.attachment import Attachment
from tests.agent.agent_process import add_args
from tests.serving import served
from tests.waiting import SLACK, wait_for

FIELDS = ("containerID", "ifName", "podNamespace", "podName", "podUID", "network")


def release(uid: str, container: str = "") -> dict[str, str]:
    args = add_args(uid, container)
    return {field: args[field] for field in FIELDS}


def path_of(of: dict[str, str], folder: Path) -> str:
    attachment = Attachment(of["containerID"], of["ifName"], "", {"K8S_POD_UID": of["podUID"]})
    return str(folder / Path(attachment.pending_path(of["network"])).name)


def write(folder: Path, socket: Path, uid: str, container: str = "") -> Path:
    of = release(uid, container)
    pending.write_down(path_of(of, folder), str(socket), of, Deadline(10))
    return Path(path_of(of, folder))


def replay(folder: Path, **options: object) -> tuple[dict[str, int], list[str]]:
    lines: list[str] = []
    outcome = replaying.replay(str(folder), report=lines.append, **options)  # type: ignore[arg-type]
    return {name: getattr(outcome, name) for name in replaying.Outcome.__slots__ if getattr(outcome, name)}, lines


@contextmanager
def scripted_agent(path: Path, answers: dict[bytes, bytes], delay: float = 0) -> Iterator[list[bytes]]:
    """Serve answers by method, as no embedded agent gives them; yields the requests' first lines."""
    heard: list[bytes] = []

    class Conversation(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            line = self.rfile.readline()
            heard.append(line)
            time.sleep(delay if line.startswith(b"DELETE") else 0)
            self.wfile.write(answers[line.split()[0]])

    with served(socketserver.ThreadingUnixStreamServer(str(path), Conversation)):
        yield heard


@contextmanager
def holding_elsewhere(hold: Callable[..., None], *arguments: object) -> Iterator[None]:
    """Run `hold(held, *arguments)` in a process of its own, which says by the event `held` that it has the lock."""
    forks = multiprocessing.get_context("fork")
    held = forks.Event()
    other = forks.Process(target=hold, args=(held, *arguments))
    other.start()
    try:
        assert held.wait(10 + SLACK)
        yield
    finally:
        other.kill()
        other.join()


@contextmanager
def sending_elsewhere(folder: Path, heard: list[bytes]) -> Iterator[None]:
    """Have a process of its own send what is pending; begin when the agent has heard a release."""
    other = multiprocessing.get_context("fork").Process(target=replaying.replay, args=(str(folder),))
    other.start()
    wait_for(lambda: any(line.startswith(b"DELETE") for line in heard), "a release")
    yield
    other.join()


def answer(status: int, body: bytes = b"") -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


UNKNOWN_PATH = answer(404, b'{"code":404,"message":"path /v1/ipam/allocations was not found"}')


EMBEDDED = answer(200, b'{"allocations":[]}')
