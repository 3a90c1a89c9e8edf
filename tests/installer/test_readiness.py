"""What probes are told: the files that watch touches, and the line that says why a node is not ready."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cni.installer import readiness
from cni.installer.readiness import ALIVE_FOR, READY_FOR
from tests.installer.sample_conflists import CALICO
from tests.installer.sample_node import Node
from tests.installer.watch_process import ROOT, watching
from tests.waiting import SLACK, wait_for

Probe = Callable[..., tuple[int, str]]


@pytest.fixture
def probe(node: Node) -> Probe:
    def run(*options: str) -> tuple[int, str]:
        done = node.run("status", f"--readiness-file={node.root / 'ready'}", *options, frozen=False)
        assert done.stdout == ""
        return done.returncode, done.stderr

    return run


def date(path: Path, seconds: float) -> None:
    os.utime(path, (time.time() + seconds,) * 2)


def test_a_probe_which_is_run_all_the_time_loads_nothing_of_the_installer(node: Node) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "cni.cli", "status", f"--readiness-file={node.root / 'ready'}"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=20)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert {"click", "cni.installer.readiness"} <= loaded
    assert not loaded & {"pydantic", "json", "socket", "cni.installer.discovery", "cni.installer.status"}


def test_without_a_file_the_probe_says_that_no_watch_runs(node: Node, probe: Probe) -> None:
    words = f"{node.root}/ready is not there: no watch runs with this --readiness-file\n"
    assert probe() == (1, f"Error: not ready: {words}")
    assert probe("--liveness") == (1, f"Error: not alive: {words}")


def test_while_the_node_is_in_sync_both_probes_say_nothing(node: Node, probe: Probe) -> None:
    readiness.update(node.root / "ready", "")
    assert probe() == probe("--liveness") == (0, "")


def test_while_it_is_not_the_probe_says_why_and_watch_is_alive(node: Node, probe: Probe) -> None:
    file = node.root / "ready"
    for fault in ("", "10-calico.conflist: not JSON", "10-calico.conflist: not JSON", "it is gone"):
        readiness.update(file, fault)
    assert not file.exists()
    assert probe() == (1, "Error: not ready: it is gone\n")
    assert probe("--liveness") == (0, "")
    readiness.update(file, "")
    assert probe() == (0, "")
    readiness.remove(file)
    assert not [path for path in node.root.iterdir() if path.name.startswith("ready")]


def test_a_date_in_the_future_is_not_fresh_whichever_file_has_it(node: Node, probe: Probe) -> None:
    file = node.root / "ready"
    for fault in ("", "a fault"):
        readiness.remove(file)
        readiness.update(file, fault)
        date(next(node.root.glob("ready*")), 3600)
        for status, text in (probe(), probe("--liveness")):
            assert status == 1
            assert "s in the future, and watch does not touch it: it hangs, or has ended" in text


def is_told(text: str, limit: float) -> bool:
    """Tell whether a probe says that a file is a second older than it may be, and what the probe itself took."""
    found = re.search(r"ready for (\d+) s: it hangs, or has ended", text)
    return found is not None and limit + 1 <= int(found[1]) <= limit + 1 + SLACK


def test_an_old_date_is_not_ready_and_a_very_old_one_not_alive(node: Node, probe: Probe) -> None:
    file = node.root / "ready"
    readiness.update(file, "")
    date(file, -READY_FOR - 1)
    assert is_told(probe()[1], READY_FOR)
    assert probe("--liveness") == (0, "")
    date(file, -ALIVE_FOR - 1)
    assert is_told(probe("--liveness")[1], ALIVE_FOR)


def test_an_old_fault_is_not_told_as_if_it_were_present(node: Node, probe: Probe) -> None:
    readiness.update(node.root / "ready", "a fault")
    date(node.root / "ready.fault", -READY_FOR - 1)
    assert "a fault" not in probe()[1]


def test_a_folder_that_cannot_be_read_is_one_line(node: Node) -> None:
    done = node.run("status", f"--readiness-file={node.conflist}/ready", frozen=False)
    assert (done.returncode, done.stderr) == (1, f"Error: {node.conflist}/ready: Not a directory\n")


def test_liveness_without_a_file_is_wrong_usage(node: Node) -> None:
    done = node.run("status", "--liveness", frozen=False)
    assert (done.returncode, "--readiness-file" in done.stderr) == (2, True)


def test_watch_tells_the_probe_why_its_node_is_not_ready(node: Node, probe: Probe) -> None:
    node.install()
    ready = node.root / "ready"
    with watching(node, f"--readiness-file={ready}", stderr=subprocess.DEVNULL):
        wait_for(ready.exists, "watch to be ready")
        node.write(CALICO[:150])
        wait_for(lambda: not ready.exists(), "the fault")
        status, text = probe()
        assert (status, "not JSON" in text, probe("--liveness")) == (1, True, (0, ""))


def test_a_readiness_file_that_cannot_be_written_any_more_ends_no_watch(node: Node) -> None:
    node.install()
    folder, log = node.root / "run", node.root / "log"
    folder.mkdir()
    with log.open("w") as stderr, watching(node, f"--readiness-file={folder / 'ready'}", stderr=stderr) as watch:
        wait_for((folder / "ready").exists, "watch to be ready")
        folder.rename(node.root / "gone")
        wait_for(lambda: "the readiness file cannot be written: " in log.read_text(), "the line", 2)
        (node.root / "gone").rename(folder)
        node.write()
        wait_for(lambda: "swapped" in log.read_text(), "the swap")
        assert watch.poll() is None
        watch.terminate()
        assert watch.wait(10 + SLACK) == 0
