"""Release 0.1.0 and this one read, write and remove each other's pending releases, in turn and at once."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import requirements
from tests.e2e.caller import Caller, pending_containers
from tests.e2e.frozen_agent import Agent
from tests.e2e.kept_namespace import kept_namespace
from tests.e2e.scripted_agent import response, scripted_agent

# Release 0.1.0 has no tag. The first commit is the last one without anything that the changelog lists after 0.1.0; the
# second one dates 0.1.0 in the changelog, and has the first changes after it.
COMMITS = ["365a9f10a456070608b61cf87e3a6b5a8bf241c4", "ae9ba6e10e265f77edcca307f5610431f4c4a2b4"]
AT_ONCE = 24  # most of the calls wait two seconds for an agent
WRITERS = 4  # of each release

Container = tuple[str, str]  # the pod's UID, the container's ID


def unpack(commit: str, folder: Path) -> Path:
    """Return a folder with the package `cni` of a commit."""
    # git refuses a checkout that belongs to another user, unless it is called safe.
    git = [requirements.need_program("git"), "-c", f"safe.directory={requirements.ROOT}", "-C", str(requirements.ROOT)]
    archive = subprocess.run([*git, "archive", commit, "cni"], capture_output=True)
    if archive.returncode:
        requirements.missing("commits of release 0.1.0 are not in this clone: git fetch --unshallow")
    folder.mkdir()
    subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
    return folder


class Node:
    """A node that is upgraded and downgraded; `old` and `new` call the two releases' plugins on its state."""

    def __init__(self, folder: Path, enter: list[str | Path], sources: Path) -> None:
        self.state = folder / "plugin-state"
        self.new = Caller([*enter, requirements.need_frozen("spiderpool")], folder)
        self.old = Caller([*enter, sys.executable, "-m", "cni.plugin"], folder, PYTHONPATH=str(sources))
        where = [*enter, sys.executable, "-c", "import cni; print(cni.__file__)"]
        found = subprocess.run(where, env={"PYTHONPATH": str(sources)}, capture_output=True, text=True, check=True)
        assert found.stdout.startswith(str(sources)), "this tree's sources would be taken for those of 0.1.0"


@pytest.fixture(params=COMMITS, ids=lambda commit: commit[:7])
def node(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Node]:
    sources = unpack(request.param, tmp_path / "0.1.0")
    with kept_namespace(tmp_path) as enter:
        yield Node(tmp_path, enter, sources)


def of_pods(first: int, count: int, letter: str) -> list[Container]:
    """Name a container of each of some pods."""
    return [(f"u{number}", f"{letter}{number}") for number in range(first, first + count)]


def call_for_each(caller: Caller, command: str, containers: list[Container]) -> None:
    with ThreadPoolExecutor(AT_ONCE) as executor:
        printed = list(executor.map(lambda container: caller.call(command, *container), containers))
    assert not [answer for answer in printed if "code" in answer]


def names(*containers: list[Container]) -> list[str]:
    return sorted(name for some in containers for _, name in some)


@pytest.mark.slow
def test_through_upgrades_and_downgrades_each_pending_release_is_kept_until_it_is_taken(
    node: Node, tmp_path: Path, show: Callable[[str], None]
) -> None:
    first = of_pods(0, 100, "a")
    second = of_pods(90, 20, "b")  # ten of them of pods of the first hundred
    third = of_pods(80, 20, "c")  # ten of a pod with one container, ten of one with two
    embedded = Agent(tmp_path)
    call_for_each(node.new, "ADD", [*first, *second, *third])
    assert len(embedded.held()) == 110
    embedded.stop()

    call_for_each(node.old, "DEL", first)
    assert pending_containers(node.state) == names(first)
    call_for_each(node.new, "DEL", second)
    assert pending_containers(node.state) == names(first, second)
    call_for_each(node.old, "DEL", third)
    assert pending_containers(node.state) == names(first, second, third)
    call_for_each(node.new, "DEL", first[:10])  # again: no second line
    assert pending_containers(node.state) == names(first, second, third)

    embedded.start()
    call_for_each(node.old, "ADD", first[:1])
    assert pending_containers(node.state) == names(first[1:], second, third)
    call_for_each(node.new, "ADD", first[1:2])
    assert pending_containers(node.state) == names(first[2:], second, third)
    assert len(embedded.held()) == 110

    # GC itself is to keep everything, so that what is freed was freed by the pending releases.
    valid = [{"containerID": name, "ifname": "eth0"} for name in names(first, second, third)]
    assert node.new.call("GC", more={"cni.dev/valid-attachments": valid}) == {}
    assert pending_containers(node.state) == []
    assert sorted(held["podUID"] for held in embedded.held()) == ["u0", "u1"]
    call_for_each(node.new, "DEL", first[:2])
    assert embedded.held() == []
    embedded.stop()
    show(f"{len(names(first, second, third))} pending releases of 0.1.0 and this release in turn: none lost")


def test_both_at_once_lose_none_of_the_lines_of_the_same_pods(node: Node, show: Callable[[str], None]) -> None:
    containers = {
        caller: [(f"u{number % 5}", f"{letter}{number}") for number in range(25 * WRITERS)]
        for caller, letter in ((node.old, "old"), (node.new, "new"))
    }

    def write(caller: Caller, writer: int) -> None:
        for container in containers[caller][writer::WRITERS]:
            assert caller.call("DEL", *container) == {}

    failure = response(500, b'"oops"')
    with scripted_agent(node.new.socket, lambda request: failure), ThreadPoolExecutor(2 * WRITERS) as executor:
        writing = [executor.submit(write, caller, writer) for caller in containers for writer in range(WRITERS)]
        for future in writing:
            future.result()
    assert pending_containers(node.state) == names(*containers.values())
    assert len(list((node.state / "pending").iterdir())) == 5
    logged = [json.loads(line) for line in node.new.log.read_text().splitlines()]
    assert ["the release is pending" in line["warning"] for line in logged] == [True] * 50 * WRITERS
    show(f"{50 * WRITERS} releases of 5 pods, {WRITERS} processes of 0.1.0 and {WRITERS} of this release: none lost")
