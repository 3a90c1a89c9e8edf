"""`make lab`: the guide and its breakages, run as people run them; nothing of it is left, however it ends."""

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import requirements
from tests.lab import programs, sandbox
from tests.lab.api_process import Api, create, everything
from tests.lab.breakages import BREAKAGES
from tests.waiting import wait_for

pytestmark = pytest.mark.slow
LAB = [sys.executable, "-m", "tests.lab"]


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    """Run one test at a time, whichever worker has it, because a second lab of a checkout refuses to run."""
    if reasons := programs.missing():
        requirements.missing("; ".join(reasons))
    with Path(__file__).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # it ends with its holder, and each test has a limit
        yield


def run(*options: str, seconds: int = 400) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*LAB, *options], cwd=requirements.ROOT, capture_output=True, text=True, timeout=seconds)


def expect_the_guide(lab: subprocess.CompletedProcess[str]) -> None:
    """Expect that all 17 steps have been seen."""
    assert (lab.returncode, lab.stderr) == (0, ""), lab.stdout + lab.stderr
    assert "17 " in lab.stdout
    assert "Not there: Felix, Typha, kubelet." in lab.stdout


@contextmanager
def running(*options: str, until: str) -> Iterator["subprocess.Popen[str]"]:
    """Run a lab until the block ends; the block begins when it has printed a text."""
    command = [sys.executable, "-u", *LAB[1:], *options]
    with subprocess.Popen(command, cwd=requirements.ROOT, stdout=subprocess.PIPE, text=True) as lab:
        try:
            assert lab.stdout
            seen = ""
            while until not in seen:
                line = lab.stdout.readline()
                assert line, f"the lab has ended without {until!r}: {seen}"
                seen += line
            yield lab
        finally:
            lab.kill()
    wait_for(lambda: not in_a_sandbox(), "the end of all processes of the lab")


def in_a_sandbox() -> list[int]:
    """Return the processes of labs."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if b"tests.lab\0--inside" in (path / "cmdline").read_bytes():
                found.append(int(path.name))
        except OSError:  # it has ended meanwhile
            continue
    return found


def left() -> list[str]:
    """Return what a lab has left on the machine: its mounts, its links, and files where its nodes have theirs."""
    mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if " lab " in line]
    links = subprocess.run(["ip", "-brief", "link"], capture_output=True, text=True, timeout=10).stdout.splitlines()
    files = (
        "/run/lab",
        "/run/calico",
        "/var/lib/calico",
        "/etc/calico",
        "/opt/cni/bin/calico",
        "/var/tmp/frr",
        "/root/.history_frr",
    )
    return [
        *mounts,
        *(line for line in links if line.startswith(("node1", "node2"))),
        *(path for path in files if Path(path).exists()),
    ]


def is_occupied() -> bool:
    """Tell whether a lab, or what removes the objects of one, runs."""
    try:
        with sandbox.alone():
            return False
    except sandbox.OccupiedError:
        return True


def test_guide_holds_twice_in_a_row_with_upstreams_agent() -> None:
    for _ in range(2):
        expect_the_guide(run())


def test_each_breakage_shows_what_it_has_to_and_is_named_and_mended_by_doctor() -> None:
    lab = run("--break", "all", seconds=1200)
    assert (lab.returncode, lab.stderr) == (0, ""), lab.stdout + lab.stderr
    assert all(breakage.name in lab.stdout for breakage in BREAKAGES)
    assert lab.stdout.count("doctor names ") == lab.stdout.count(": silent after ") == len(BREAKAGES)


def test_race_gives_no_address_twice_and_leaves_none(show: Callable[[str], None]) -> None:
    lab = run("--race")
    assert (lab.returncode, lab.stderr) == (0, ""), lab.stdout + lab.stderr
    figures = re.findall(r"^ +with .*|^Calico's whole call.*", lab.stdout, re.MULTILINE)
    assert len(figures) == 4
    for line in figures:
        show(line)


def test_second_lab_says_that_there_is_one_and_has_an_exit_status_of_its_own() -> None:
    with running("--agent", "embedded", until=" 1 "):
        second = run()
        assert second.returncode == 3
        assert second.stdout == ""
        assert second.stderr == "another lab is running out of this checkout: wait for it, or end it\n"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_lab_that_is_ended_in_the_middle_leaves_nothing(number: signal.Signals) -> None:
    before = left()  # by others, such as an FRR of the machine, which has files in /var/tmp/frr
    with running("--agent", "embedded", until=" 5 ") as lab:
        lab.send_signal(number)
        lab.wait(10)
    assert left() == before


def test_guide_holds_with_the_embedded_agent_straight_after_a_lab_that_was_killed() -> None:
    with running("--agent", "embedded", until=" 8 ") as lab:
        lab.kill()
        lab.wait(10)
    expect_the_guide(run("--agent", "embedded"))


# Which agent it is makes no difference to the other breakages, so they are not run with the embedded one.
def test_lab_with_a_breakage_stays_and_says_how_to_look_around_and_ends_by_what_it_says() -> None:
    with running("--agent", "embedded", "--break", "agent-stopped", until="kill ") as lab:
        pid = in_a_sandbox()
        line = ["nsenter", f"--target={min(pid)}", "--mount", "--net", "--pid", "--uts", "--ipc"]
        environ = ["env", f"PATH=/run/lab/bin:{os.environ['PATH']}"]
        shown = subprocess.run(
            [*line, *environ, "vtysh", "-c", "show ip route bgp"], capture_output=True, text=True, timeout=30
        )
        assert "10.244.100.0/32" in shown.stdout, shown
        status = subprocess.run(
            [*line, *environ, "node1", "spiderpool-ipam", "status"], capture_output=True, text=True, timeout=30
        )
        assert status.returncode == 1, status
        lab.terminate()
        lab.wait(10)


def test_each_panel_of_the_dashboard_has_data_of_the_labs_nodes(tmp_path: Path) -> None:
    requirements.need_tool("prometheus")
    with running("--agent", "embedded", "--keep", until="kill "):
        line = ["nsenter", f"--target={min(in_a_sandbox())}", "--mount", "--net", "--pid", "--uts", "--ipc"]
        environ = ["env", f"PATH=/run/lab/bin:{os.environ['PATH']}", f"PYTHONPATH={requirements.ROOT}"]
        program = [sys.executable, "-m", "tests.lab.panels", str(tmp_path)]
        done = subprocess.run([*line, *environ, *program], capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stdout.split()) == (0, []), done


def test_breakage_that_was_mended_is_made_once_more_for_people_to_look_at() -> None:
    with running("--break", "no-ippool", until="kill ") as lab:
        line = ["nsenter", f"--target={min(in_a_sandbox())}", "--mount", "--net", "--pid", "--uts", "--ipc"]
        environ = ["env", f"PATH=/run/lab/bin:{os.environ['PATH']}", "KUBECONFIG=/run/lab/kubeconfig"]
        doctor = ["node1", "spiderpool-ipam", "doctor", "--json", "--only", "calico-pool-covers"]
        said = subprocess.run([*line, *environ, *doctor], capture_output=True, text=True, timeout=60)
        (check,) = (one for one in json.loads(said.stdout)["checks"] if one["result"] != "skipped")
        assert (check["id"], check["result"]) == ("calico-pool-covers", "failure")
        lab.terminate()
        lab.wait(10)


def test_guide_holds_with_the_api_server_of_a_kubeconfig_which_is_then_as_it_was(real: Api, tmp_path: Path) -> None:
    before = everything(real)
    lab = run("--kubeconfig", str(tmp_path / "kubeconfig"))
    expect_the_guide(lab)
    assert "the API server is v1." in lab.stdout
    assert everything(real) == before


def test_lab_that_is_killed_leaves_nothing_at_the_api_server_of_a_kubeconfig(real: Api, tmp_path: Path) -> None:
    before = everything(real)
    with running("--kubeconfig", str(tmp_path / "kubeconfig"), until=" 4 ") as lab:
        assert len(everything(real)) > len(before)
        lab.kill()
        lab.wait(10)
    wait_for(lambda: not is_occupied(), "the end of the process that removes what the lab has made")
    assert everything(real) == before


def test_api_server_with_nodes_of_its_own_is_refused_in_one_line(real: Api, tmp_path: Path) -> None:
    create(real, "/api/v1/nodes", "of-the-cluster")
    lab = run("--kubeconfig", str(tmp_path / "kubeconfig"))
    assert (lab.returncode, lab.stdout) == (2, "")
    assert lab.stderr == f"{real.url} has Nodes already: the lab is for an empty API server\n"


def test_without_go_one_line_says_what_the_lab_lacks(tmp_path: Path) -> None:
    (tmp_path / "dirname").symlink_to("/usr/bin/dirname")
    script = requirements.ROOT / "build/lab_tools.sh"
    built = subprocess.run(["/bin/bash", script], env={"PATH": str(tmp_path)}, capture_output=True, text=True)
    assert built.returncode == 1
    assert built.stderr == "go is missing: install Go 1.25 or later to build Calico for the lab\n"


def test_break_with_a_name_that_is_not_in_the_table_names_those_that_are() -> None:
    lab = run("--break", "nothing-like-it")
    assert lab.returncode == 2
    assert "no-default-route" in lab.stderr
