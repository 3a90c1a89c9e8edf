"""How the plugin has addresses probed: whether there is a link, and a child that may do anything."""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cni.deadline import Deadline
from cni.errors import ADDRESS_CONFLICT, INTERNAL, INVALID_NETNS, TRY_AGAIN_LATER, CNIError
from cni.plugin import detection, netlink
from cni.plugin.attachment import Attachment
from cni.plugin.result import Address
from tests.segment import Segment, path
from tests.waiting import SLACK

ADDRESS = {
    "version": 4,
    "address": "10.244.100.10/16",
    "nic": "eth0",
    "gateway": "10.244.0.1",
    "enableIPConflictDetection": True,
}
CLEAR = '{"code": 0, "msg": "clear", "details": ""}'

Install = Callable[[str], Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Give a function that puts a script where a frozen plugin finds `spiderpool-ipam`; it returns where that runs."""
    monkeypatch.setattr(sys, "_MEIPASS", str(tmp_path / "_internal"), raising=False)
    (tmp_path / "_internal").mkdir()

    def write(script: str) -> Path:
        program = tmp_path / "spiderpool-ipam"
        program.write_text(f"#!/bin/sh\ncd {tmp_path}\n{script}\n")
        program.chmod(0o755)
        return tmp_path

    return write


def run(netns: str, seconds: float = 20, ifname: str = "lo") -> str:
    """Ask for the probing of an address; "lo" is in every namespace."""
    return detection.run(Attachment("c", ifname, netns, {}), [Address(ADDRESS)], Deadline(seconds))


def error_of(netns: str, seconds: float = 20) -> tuple[int, str, str]:
    with pytest.raises(CNIError) as raised:
        run(netns, seconds)
    return raised.value.code, raised.value.msg, raised.value.details


def is_reaped(process: int) -> bool:
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    return True


def test_a_link_that_is_missing_is_skipped_without_a_child(lan: Segment, install: Install) -> None:
    folder = install("touch started")
    pod = path(lan.add())
    for netns in (pod, f"{pod}-gone"):
        assert run(netns, ifname="eth0") == f"skipped: eth0 is not in {netns} yet"
    assert not (folder / "started").exists()


def test_asking_for_the_link_is_no_start_of_a_process(lan: Segment, show: Callable[[str], None]) -> None:
    pod = path(lan.add())
    started = time.perf_counter()
    for _ in range(100):
        run(pod, ifname="eth0")
    took = time.perf_counter() - started
    show(f"detection where there is no interface: {10 * took:.2f} ms")
    assert took < SLACK  # a hundred starts of the child take 17 s


def test_a_link_of_our_own_namespace_does_not_count(lan: Segment) -> None:
    assert not netlink.lacks_link("/proc/self/ns/net", "lo")
    assert netlink.lacks_link(path(lan.add()), "br0")
    assert not netlink.lacks_link(path(lan.name), "br0")


def test_the_child_gets_what_it_needs_to_know_and_no_environment(lan: Segment, install: Install) -> None:
    folder = install(f"cat >request; env >env; echo '{CLEAR}'")
    assert run(path(lan.name)) == "clear"
    wanted = {"address": "10.244.100.10", "gateway": "10.244.0.1", "detectConflict": True, "detectGateway": False}
    request = {"netns": path(lan.name), "ifname": "lo", "addresses": [wanted]}
    assert json.loads((folder / "request").read_text()) == request
    assert {line.partition("=")[0] for line in (folder / "env").read_text().splitlines()} <= {
        "PWD",
        "OLDPWD",
        "SHLVL",
        "_",
    }


def test_what_the_child_found_is_the_error(lan: Segment, install: Install) -> None:
    install("""cat >/dev/null; echo '{"code": 102, "msg": "taken", "details": "by 02"}'""")
    assert error_of(path(lan.name)) == (ADDRESS_CONFLICT, "taken", "by 02")


def test_a_warning_before_the_answer_does_not_matter(lan: Segment, install: Install) -> None:
    install(f"echo careful >&2; cat >/dev/null; echo '{CLEAR}'")
    assert run(path(lan.name)) == "clear"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exit 0", "no answer"),
        ("cat >/dev/null; printf 'Traceback:\\nKeyError: x\\n' >&2; exit 1", "KeyError: x"),
        ("echo cut off >&2; kill -9 $$", "cut off"),
        ("cat >/dev/null; echo '{\"code\": 0'", '{"code": 0'),
        ("cat >/dev/null; echo '[]'", "[]"),
        ('cat >/dev/null; echo \'{"code": "none", "msg": "", "details": ""}\'', '"none"'),
        ("cat >/dev/null; yes", "y"),
        ("printf '\\377\\n'", "\ufffd"),
    ],
)
def test_a_child_that_crashes_or_talks_nonsense_is_code_999(
    script: str, words: str, lan: Segment, install: Install
) -> None:
    folder = install(f"echo $$ >pid; {script}")
    code, msg, details = error_of(path(lan.name))
    assert (code, msg) == (INTERNAL, detection.NOT_PROBED)
    assert words in details
    assert is_reaped(int((folder / "pid").read_text()))


def test_a_child_that_is_missing_or_cannot_run_is_code_999(lan: Segment, install: Install) -> None:
    folder = install("")
    (folder / "spiderpool-ipam").chmod(0o644)
    code, _, details = error_of(path(lan.name))
    assert (code, "Permission denied" in details) == (INTERNAL, True)
    (folder / "spiderpool-ipam").unlink()
    code, _, details = error_of(path(lan.name))
    assert (code, "No such file" in details) == (INTERNAL, True)


@pytest.mark.parametrize(
    "script",
    ["exec sleep 60", f"cat >/dev/null; echo '{CLEAR}'; exec sleep 60", "while :; do echo; sleep 0.1; done"],
    ids=["silent", "answered but not ended", "dripping"],
)
def test_a_child_that_hangs_is_killed_and_reaped_at_the_deadline(script: str, lan: Segment, install: Install) -> None:
    folder = install(f"echo $$ >pid; {script}")
    started = time.monotonic()
    code, msg, _ = error_of(path(lan.name), seconds=0.5)
    assert (code, "did not end in time" in msg) == (TRY_AGAIN_LATER, True)
    assert 0.4 < time.monotonic() - started < 0.5 + SLACK
    assert is_reaped(int((folder / "pid").read_text()))


def test_no_time_left_is_code_11(lan: Segment, install: Install) -> None:
    install(f"echo '{CLEAR}'")
    assert error_of(path(lan.name), seconds=-1)[0] == TRY_AGAIN_LATER


def test_nothing_stays_open(lan: Segment, install: Install) -> None:
    install(f"cat >/dev/null; echo '{CLEAR}'")
    before = len(list(Path("/proc/self/fd").iterdir()))
    run(path(lan.name))
    run(path(lan.add()), ifname="eth0")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_in_a_source_tree_the_child_is_this_pythons(lan: Segment) -> None:
    assert run(path(lan.name)) == "skipped: lo resolves no addresses"
    assert error_of("/dev/null")[0] == INVALID_NETNS
