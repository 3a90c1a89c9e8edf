"""What is pending is reported by agent, with its age; what no agent will take can be dropped."""

import json
import socket
import subprocess
import time
from pathlib import Path

import pytest

from cni.installer.node import pending
from cni.installer.node.folders import Folders
from tests.installer.sample_node import Node
from tests.plugin.pending_releases import EMBEDDED, UNKNOWN_PATH, answer, scripted_agent, write

HOUR = 3600


def aged(path: Path, seconds: float) -> None:
    """Have a file's releases written so long ago."""
    records = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps({**record, "time": int(time.time() - seconds)}) + "\n" for record in records))


def run(node: Node, command: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(node.command(command, *options), capture_output=True, text=True, timeout=60)


@pytest.fixture
def folders(node: Node) -> Folders:
    return node.folders


@pytest.fixture
def folder(folders: Folders) -> Path:
    return folders.state / "pending"


def outside(folders: Folders, path: str) -> Path:
    """Return where a path of the node's is found, with its folder made."""
    found = Path(folders.root.resolve(path))
    found.parent.mkdir(parents=True, exist_ok=True)
    return found


def test_nothing_pending_is_no_agent(folders: Folders) -> None:
    assert pending.by_agent(folders) == []


def test_each_agent_is_named_with_what_it_is_and_the_age_of_the_oldest(folders: Folders, folder: Path) -> None:
    aged(write(folder, Path("/run/a.sock"), "u1"), 3 * HOUR)
    write(folder, Path("/run/a.sock"), "u2")
    aged(write(folder, Path("/run/b.sock"), "u3"), 50 * HOUR)
    aged(write(folder, Path("/run/c.sock"), "u4"), 150)
    write(folder, Path("/run/d.sock"), "u5")
    (folder / "damaged.release").write_text("{")
    with (
        scripted_agent(outside(folders, "/run/a.sock"), {b"GET": EMBEDDED}),
        scripted_agent(outside(folders, "/run/c.sock"), {b"GET": UNKNOWN_PATH}),
        scripted_agent(outside(folders, "/run/d.sock"), {b"GET": answer(500)}),
    ):
        found = pending.by_agent(folders)
    assert [(agent.agent_socket, agent.agent, agent.releases) for agent in found] == [
        ("/run/a.sock", "embedded", 2),
        ("/run/b.sock", "absent", 1),
        ("/run/c.sock", "real", 1),
        ("/run/d.sock", "silent", 1),
    ]
    lines = list(map(pending.describe, found))
    assert lines[0] == (
        "2 releases are pending for the agent on /run/a.sock, the oldest for 3 hours: it answers, and takes them"
        " within 10 s"
    )
    assert "the oldest for 2 days: nobody listens there" in lines[1]
    assert lines[1].endswith("spiderpool-ipam pending --drop /run/b.sock")
    assert "the oldest for 2 minutes: spiderpool-controller frees" in lines[2]
    assert "1 release is pending for the agent on /run/d.sock, the oldest for " in lines[3]
    assert list(map(pending.holds, found)) == [True, False, False, True]


def test_dropping_takes_one_agents_releases_and_no_others(folders: Folders, folder: Path) -> None:
    shared = write(folder, Path("/run/a.sock"), "u1", "c1")
    assert write(folder, Path("/run/b.sock"), "u1", "c2") == shared
    alone = write(folder, Path("/run/a.sock"), "u2")
    assert pending.drop(folders, "/run/a.sock") == 2
    assert not alone.exists()
    assert [json.loads(line)["release"]["containerID"] for line in shared.read_text().splitlines()] == ["c2"]
    assert pending.drop(folders, "/run/a.sock") == 0


def test_a_socket_is_dropped_by_either_of_its_names(folders: Folders, folder: Path) -> None:
    (run_folder := outside(folders, "/run")).mkdir(parents=True, exist_ok=True)
    outside(folders, "/var").mkdir(exist_ok=True)
    outside(folders, "/var/run").symlink_to("/run")
    assert run_folder.is_dir()
    write(folder, Path("/var/run/a.sock"), "u1")
    write(folder, Path("/run/a.sock"), "u2")
    assert pending.drop(folders, "/run/a.sock") == 2


def test_an_agent_that_restarts_is_given_time_to_take_its_releases(
    folders: Folders, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, Path("/run/a.sock"), "u1")
    path = outside(folders, "/run/a.sock")
    waits: list[float] = []
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))  # the file of an agent that was killed

    def restart(_: object, seconds: float) -> None:
        waits.append(seconds)
        path.unlink()
        agent.__enter__()

    agent = scripted_agent(path, {b"GET": EMBEDDED, b"DELETE": answer(200)})
    monkeypatch.setattr("cni.deadline.Deadline.sleep", restart)
    try:
        assert pending.replay_patiently(folders, print) == []
    finally:
        agent.__exit__(None, None, None)
    assert len(waits) == 1


def test_an_uninstall_drops_what_an_agent_that_is_gone_has_not_taken_and_says_so(node: Node, folder: Path) -> None:
    node.install()
    write(folder, Path("/run/gone.sock"), "u1")
    done = run(node, "uninstall")
    assert (done.returncode, done.stderr) == (0, "")
    assert "dropped what was pending for the agent on /run/gone.sock: 1" in done.stdout
    assert not folder.exists()


def test_the_command_shows_and_drops(node: Node, folder: Path) -> None:
    assert run(node, "pending").stdout == "no release is pending\n"
    write(folder, Path("/run/gone.sock"), "u1")
    assert run(node, "pending").stdout.startswith("1 release is pending for the agent on /run/gone.sock, the oldest ")
    dropped = run(node, "pending", "--drop", "/run/gone.sock")
    assert dropped.stdout == "dropped 1 release of the agent on /run/gone.sock\nno release is pending\n"
    assert (dropped.returncode, list(folder.iterdir())) == (0, [])


def test_status_tells_what_is_pending_with_its_age_as_a_problem(node: Node, folder: Path) -> None:
    node.install()
    aged(write(folder, Path("/run/gone.sock"), "u1"), 3 * HOUR)
    done = run(node, "status")
    assert done.returncode == 1
    assert "problem: 1 release is pending for the agent on /run/gone.sock, the oldest for 3 hours" in done.stderr
