"""The builder's folder is made again by somebody else, with traps in it: no path of it is ever opened on the node.

The rare paths run: a child for detection, an address that is given back, a pending release, a log that is set aside.
"""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import requirements
from tests.e2e.scripted_agent import Request, response, scripted_agent
from tests.image.bundles import FROM_IMAGE, TIME_LIMIT, how_it_starts
from tests.image.moved import NOBODY, Moved
from tests.own_state import with_own_state
from tests.segment import Segment, path


class Node:
    """Calls under strace, with a state and a log of their own."""

    def __init__(self, folder: Path, moved: Moved) -> None:
        self.folder, self.moved = folder, moved
        self.trace, self.log, self.state = folder / "trace", folder / "log", folder / "state"
        self.state.mkdir()

    def call(self, command: str, netns: str = "/n", **more: str) -> tuple[int, dict[str, object]]:
        """Run a call; return status and what it printed, {} for nothing. No file of the builder may be touched."""
        ipam = {"ipam_unix_socket_path": f"{self.folder}/agent.sock", "log_file_path": str(self.log), **more}
        document = {"cniVersion": "1.1.0", "name": "net", "type": "macvlan", "ipam": ipam}
        document["cni.dev/valid-attachments"] = []
        environ = {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": "c1",
            "CNI_NETNS": netns,
            "CNI_IFNAME": "eth0",
            "CNI_PATH": "/",
            "CNI_ARGS": "K8S_POD_NAMESPACE=default;K8S_POD_NAME=pod-1;K8S_POD_UID=u1",
        }
        strace: list[str | Path] = [
            requirements.need_program("strace"),
            "-f",
            "-qq",
            "-y",
            "-s",
            "4096",
            "-o",
            self.trace,
        ]
        done = subprocess.run(
            with_own_state(self.state, *strace, self.moved.program),
            env=environ, input=json.dumps(document).encode(), capture_output=True, timeout=TIME_LIMIT,
        )  # fmt: skip
        assert done.stderr == b""
        trace, name = self.trace.read_text(errors="replace"), self.moved.builder.name
        assert name not in trace, [line for line in trace.splitlines() if name in line][:5]
        assert "spiderpool.image" in trace and '/spiderpool.bin"]' not in trace  # no other way was taken
        return done.returncode, json.loads(done.stdout or b"{}")


@pytest.fixture
def node(tmp_path: Path, moved: Moved) -> Node:
    return Node(tmp_path, moved)


@contextmanager
def answering(node: Node, found: dict[str, object], release: int = 200) -> Iterator[None]:
    """Serve an agent that answers an ADD with one address, and a release with a status."""

    def answer(request: Request) -> bytes:
        if request.method == "POST":
            return response(200, json.dumps({"ips": [{"version": 4, "nic": "eth0", **found}]}).encode())
        return response(release)

    socket = node.folder / "agent.sock"
    with scripted_agent(socket, answer):
        yield
    socket.unlink()


def test_it_starts_from_its_image_and_the_traps_are_there(moved: Moved) -> None:
    assert how_it_starts(moved.program) == FROM_IMAGE
    assert subprocess.run([moved.builder / "spiderpool-ipam"], capture_output=True).returncode == 99
    assert (moved.builder / "_internal").stat().st_uid == NOBODY


@pytest.mark.parametrize("command", ["ADD", "DEL", "STATUS", "GC", "VERSION", "CHECK", "NONSENSE"])
def test_a_usual_call(node: Node, command: str) -> None:
    with answering(node, {"address": "10.244.100.10/16"}):
        node.call(command)


def test_detection_runs_the_bundles_own_program(node: Node, lan: Segment) -> None:
    pod = lan.join(up=False)
    found = {"address": "10.244.100.10/16", "enableIPConflictDetection": True}
    with answering(node, found):
        status, printed = node.call("ADD", netns=path(pod))
    assert (status, "ips" in printed) == (0, True)
    assert f'execve("{node.moved.program.parent}/_internal/../spiderpool-ipam"' in node.trace.read_text()


def test_an_address_is_given_back_or_written_down_and_sent_later(node: Node) -> None:
    with answering(node, {"address": "nonsense"}, release=500):
        assert node.call("ADD")[0] == 1
        assert node.call("DEL") == (0, {})
    written = list((node.state / "pending").glob("*.release"))
    assert len(written) == 1
    with answering(node, {"address": "10.244.100.10/16"}):
        assert node.call("GC")[0] == 0
        assert node.call("ADD")[0] == 0


def test_a_long_log_is_set_aside(node: Node) -> None:
    node.log.write_text('{"msg":"long ago"}\n' * 100_000)
    with answering(node, {"address": "10.244.100.10/16"}):
        assert node.call("ADD", log_file_max_size="1")[0] == 0
    assert [found for found in node.folder.iterdir() if found.name.startswith("log") and found != node.log]


def test_without_an_agent_the_error_is_the_usual_one(node: Node) -> None:
    status, printed = node.call("ADD", request_timeout="1")
    assert (status, printed["code"]) == (1, 11)
