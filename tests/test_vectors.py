"""The published vectors, run against the plugin: in process, frozen, and with the agent's bytes one at a time."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from pydantic import TypeAdapter

from cni.cni_versions import SUPPORTED
from cni.contracts.agent_api import BASE_PATH, OPERATIONS
from cni.contracts.log import LogLine
from cni.contracts.result import RESULTS, Error, VersionResult
from tests import requirements
from tests.vectors import FILES, FOLDER, TIME_LIMIT, Main, Outcome, Vector, executable, fault, load, run, staged_stdin

VECTORS = load()
JUDGE = Path(__file__).parent / "go" / "judge"
CODES = {1, 2, 4, 6, 7, 11, 50, 100, 104, 105}

each_vector = pytest.mark.parametrize("vector", VECTORS, ids=[vector.name for vector in VECTORS])


@pytest.fixture
def plugin_main(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Main]:
    """The plugin's entry point, with a time limit and away from the node's log file."""
    from cni.plugin import operations
    from cni.plugin.__main__ import main

    def too_long(_signal: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"no answer in {TIME_LIMIT} s")

    monkeypatch.setattr("cni.defaults.LOG_PATH", str(tmp_path / "log"))
    monkeypatch.setattr("cni.defaults.PENDING_FOLDER", str(tmp_path / "pending"))
    limits = {command: (*limit[:2], 0.1 if limit[2] else 0) for command, limit in operations.LIMITS.items()}
    monkeypatch.setattr(operations, "LIMITS", limits)
    monkeypatch.setattr("cni.plugin.check.RETRY", 0.1)
    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(TIME_LIMIT)
    yield main
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


LOG_LINE = TypeAdapter(LogLine)


def assert_ours_holds(vector: Vector, outcome: Outcome) -> None:
    """Judge our own plugin: what every plugin must do, and what we promise on top."""
    assert fault(vector, outcome) == "", (outcome, vector.stdout)
    distinct = [request for i, request in enumerate(outcome.requests) if request not in outcome.requests[:i]]
    assert distinct == vector.requests
    if "CNI_COMMAND" in vector.environment:
        assert outcome.stderr == b""
    for line in outcome.log:
        LOG_LINE.validate_json(line, strict=True)
    if vector.stdout is not None and "code" in vector.stdout:
        printed = TypeAdapter(Error).validate_json(outcome.stdout)
        assert printed["cniVersion"] == vector.stdout["cniVersion"]
        assert printed["msg"]
        details = printed.get("details", "")
        assert "\n" not in printed["msg"] + details
        assert len(details.encode()) <= 300


@each_vector
def test_holds_in_process(vector: Vector, plugin_main: Main) -> None:
    outcome = run(vector, plugin_main)
    assert_ours_holds(vector, outcome)
    if outcome.status == 0:
        assert len(outcome.log) == (vector.environment.get("CNI_COMMAND", "VERSION") != "VERSION")


@each_vector
@pytest.mark.slow
def test_holds_when_the_agent_answers_byte_by_byte(vector: Vector, plugin_main: Main) -> None:
    assert_ours_holds(vector, run(vector, plugin_main, bytewise=True))


@each_vector
def test_holds_on_the_frozen_plugin(vector: Vector) -> None:
    assert_ours_holds(vector, run(vector, executable(requirements.need_frozen("spiderpool"))))


def test_every_version_family_and_shape_is_there() -> None:
    cases = {(vector.version, vector.case) for vector in VECTORS}
    forms = [f"add-{shape}-{family}" for shape in ("calico", "subnet") for family in ("ipv4", "ipv6", "dual-stack")]
    wanted = {(version, case) for version in SUPPORTED for case in [*forms, "add-calico-multi-interface"]}
    assert wanted <= cases


def test_every_command_and_error_code_is_there() -> None:
    assert {vector.environment.get("CNI_COMMAND") for vector in VECTORS} >= {
        "ADD",
        "DEL",
        "CHECK",
        "STATUS",
        "GC",
        "VERSION",
    }
    assert {vector.stdout["code"] for vector in VECTORS if vector.stdout and "code" in vector.stdout} == CODES


@each_vector
def test_expected_stdout_obeys_the_contract(vector: Vector) -> None:
    if vector.stdout is None:
        return
    assert vector.stdout["cniVersion"] == vector.version
    if "code" in vector.stdout:
        assert vector.stdout.keys() == {"cniVersion", "code"}
        TypeAdapter(Error).validate_python(vector.stdout | {"msg": "texts are not part of vectors"})
    elif vector.environment["CNI_COMMAND"] == "VERSION":
        TypeAdapter(VersionResult).validate_python(vector.stdout)
    else:
        TypeAdapter[Any](RESULTS[vector.version]).validate_python(vector.stdout)


@each_vector
def test_files_hold_no_forgotten_placeholder(vector: Vector) -> None:
    folder = FOLDER / vector.name
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    assert not re.search(rb"@[A-Z]+@", staged_stdin(vector, "/tmp"))
    assert not any(re.search("@[A-Z]+@", (folder / name).read_text()) for name in FILES if name != "stdin.json")
    if any(request for request in vector.requests) or vector.agent is None:
        ipam = json.loads(vector.stdin)["ipam"]
        assert (ipam["ipam_unix_socket_path"], ipam["log_file_path"]) == ("@SOCKET@", "@LOG@")


@each_vector
def test_requests_obey_the_agents_contract(vector: Vector) -> None:
    operations = {(operation.method, BASE_PATH + operation.path): operation for operation in OPERATIONS}
    for request in vector.requests:
        operation = operations[request["method"], request["target"].partition("?")[0]]
        assert ("body" in request) == (operation.request is not None)
        if operation.request:
            known = TypeAdapter[Any](operation.request).validate_python(request["body"], strict=True)
            assert known == request["body"]  # what a type does not know, it drops


def judge(*folders: Path) -> subprocess.CompletedProcess[str]:
    go = shutil.which("go") or requirements.missing("go is not installed: install Go 1.25 or later")
    environment = os.environ | {"GOFLAGS": "-buildvcs=false"}
    return subprocess.run(
        [go, "run", ".", *folders], cwd=JUDGE, env=environment, capture_output=True, text=True, timeout=600
    )


def test_containernetworkings_types_accept_every_expected_stdout() -> None:
    done = judge(*sorted(FOLDER.glob("*/*/")))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == f"{len([vector for vector in VECTORS if vector.stdout])} judged, 0 bad\n"


DAMAGES: dict[str, tuple[str, Any]] = {
    "address without prefix": ("ips", [{"version": "4", "address": "10.244.100.10"}]),
    "address without version": ("ips", [{"address": "10.244.100.10/32"}]),
    "gateway with prefix": ("ips", [{"version": "4", "address": "10.244.100.10/16", "gateway": "10.244.0.1/16"}]),
    "route without prefix": ("routes", [{"dst": "10.0.0.0"}]),
    "dns as a list": ("dns", []),
    "another version": ("cniVersion", "0.4.0"),
    "a key that is not CNI's": ("addresses", []),
    "error code 0": ("code", 0),
}


@pytest.mark.parametrize(("key", "value"), DAMAGES.values(), ids=DAMAGES.keys())
def test_containernetworkings_types_refuse_a_damaged_result(tmp_path: Path, key: str, value: object) -> None:
    damaged = tmp_path / "0.3.1" / "add-calico-ipv4"
    shutil.copytree(FOLDER / "0.3.1" / "add-calico-ipv4", damaged)
    result = json.loads((damaged / "stdout.json").read_text())
    (damaged / "stdout.json").write_text(json.dumps(result | {key: value}))
    done = judge(damaged)
    assert done.returncode == 1
    assert done.stdout.startswith("0.3.1/add-calico-ipv4: ")
    assert done.stdout.endswith("\n1 judged, 1 bad\n")


def outcome(stdout: object, status: int = 0) -> Outcome:
    return Outcome(status, json.dumps(stdout).encode(), b"", [], [])


def expecting(stdout: object) -> Vector:
    return Vector("0.2.0", "case", {}, b"", [], stdout)


def test_empty_dns_and_routes_are_equal_to_absence() -> None:
    bare = {"cniVersion": "0.2.0", "ip4": {"ip": "10.0.0.1/32"}}
    padded = {"cniVersion": "0.2.0", "ip4": {"ip": "10.0.0.1/32", "routes": []}, "dns": {}, "routes": []}
    assert fault(expecting(bare), outcome(padded)) == ""
    assert fault(expecting(padded), outcome(bare)) == ""


@pytest.mark.parametrize(
    "printed",
    [
        {"cniVersion": "0.2.0", "ip4": {"ip": "10.0.0.1/24"}},
        {"cniVersion": "0.1.0", "ip4": {"ip": "10.0.0.1/32"}},
        {"cniVersion": "0.2.0", "ip4": {"ip": "10.0.0.1/32"}, "dns": []},
        {"cniVersion": "0.2.0", "ip4": {"ip": "10.0.0.1/32"}, "interfaces": []},
        {"cniVersion": "0.2.0", "ip4": {"ip": "10.0.0.1/32", "routes": [{"dst": "0.0.0.0/0"}]}},
        [],
    ],
)
def test_any_other_difference_in_a_result_counts(printed: object) -> None:
    assert fault(expecting({"cniVersion": "0.2.0", "ip4": {"ip": "10.0.0.1/32"}}), outcome(printed)) != ""


def test_errors_are_compared_by_code_version_and_status() -> None:
    expected = expecting({"cniVersion": "0.2.0", "code": 7})
    assert fault(expected, outcome({"code": 7, "msg": "no cniVersion, as containernetworking's own type"}, 1)) == ""
    assert fault(expected, outcome({"cniVersion": "1.0.0", "code": 7, "msg": "x"}, 1)) != ""
    assert fault(expected, outcome({"cniVersion": "0.2.0", "code": 4, "msg": "x"}, 1)) != ""
    assert fault(expected, outcome({"cniVersion": "0.2.0", "code": 7, "msg": "x"}, 0)) != ""


def talk(request: bytes, *, half_close: bool = False) -> list[bytes]:
    """Send a request to a scripted agent that answers byte by byte; return what each read gave."""
    reads: list[bytes] = []

    def client(_environment: object, stdin: int, _stdout: int, _stderr: int) -> int:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(os.read(stdin, 200))
            connection.sendall(request)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
            reads.extend(iter(lambda: connection.recv(65536), b""))
        return 0

    answer = {
        "request": {"method": "POST", "target": "/x"},
        "response": {"status": 200, "body": {}, "framing": "close"},
    }
    run(Vector("1.0.0", "case", {}, b"@SOCKET@", [answer], None), client, bytewise=True)
    return reads


POST = b"POST /x HTTP/1.1\r\nHost:\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


def test_the_scripted_agent_can_answer_byte_by_byte() -> None:
    reads = talk(POST)
    assert {len(read) for read in reads} == {1}
    assert b"".join(reads).startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"".join(reads).endswith(b"\r\n\r\n{}\n")


def test_the_scripted_agent_drops_a_caller_that_shuts_down_its_writing_side() -> None:
    assert talk(POST, half_close=True) == [b"H"]


@pytest.mark.parametrize(
    ("removed", "status"), [(b"Host:\r\n", b"400"), (b"Content-Type: application/json\r\n", b"415")]
)
def test_the_scripted_agent_refuses_a_request_without_a_needed_header(removed: bytes, status: bytes) -> None:
    request = POST.replace(removed, b"").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    assert b"".join(talk(request)).startswith(b"HTTP/1.1 " + status)
