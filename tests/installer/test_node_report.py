"""watch serves what doctor finds on its node: kept for a while, made by one at a time, never waited for too long."""

import http.client
import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from cni.contracts.doctor import NODE_REPORT
from cni.installer import node_report
from cni.installer.node_report import Reports
from tests.installer.sample_node import Node
from tests.installer.watch_process import watching
from tests.waiting import SLACK, wait_for

COUNT = 'echo x >>"$0"; sleep "$1"; echo "{\\"lines\\": $(wc -l <"$0")}"'


@pytest.fixture
def counting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Reports]:
    """Make a report whose program counts how often it was run."""
    monkeypatch.setattr(node_report, "KEPT", 1.0)
    monkeypatch.setattr(node_report, "_PATIENCE", 0.3)
    return lambda script=COUNT, seconds="0": Reports(["sh", "-c", script, str(tmp_path / "count"), seconds])


def made(reports: Reports) -> dict[str, Any]:
    """Return the first answer that has a report."""
    answers: list[tuple[HTTPStatus, bytes]] = []

    def is_made() -> bool:
        answers.append(reports.answer())
        return answers[-1][0] == HTTPStatus.OK

    wait_for(is_made, "the report to be made")
    return dict(json.loads(answers[-1][1]))


def test_it_is_kept_for_a_while(counting: Callable[..., Reports]) -> None:
    reports = counting()
    answers = [made(reports)] + [json.loads(reports.answer()[1]) for _ in range(4)]
    assert [one["report"] for one in answers] == [{"lines": 1}] * 5
    assert {one["made_at"] for one in answers} == {answers[0]["made_at"]}
    time.sleep(node_report.KEPT)
    assert made(reports)["report"] == {"lines": 2}


def test_many_who_ask_have_one_made_and_nobody_waits_long(counting: Callable[..., Reports]) -> None:
    reports = counting(seconds="1")
    started = time.monotonic()
    answers: list[HTTPStatus] = []
    threads = [threading.Thread(target=lambda: answers.append(reports.answer()[0])) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - started < 1 + SLACK
    assert answers == [HTTPStatus.SERVICE_UNAVAILABLE] * 20
    assert made(reports)["report"] == {"lines": 1}


@pytest.mark.parametrize(
    ("script", "because"),
    [
        ("sleep 30", "has not ended within 0.2 s"),
        ("echo no report", "has printed no report"),
        ("yes '[' | head -c 2000000", "has printed no report"),
    ],
)
def test_what_goes_wrong_is_told_and_not_tried_again_at_once(
    script: str, because: str, counting: Callable[..., Reports], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_report, "TIME_LIMIT", 0.2 if script.startswith("sleep") else 20.0)
    monkeypatch.setattr(node_report, "_PATIENCE", 20.0)
    reports = counting(f'exec 9>>"$0"; echo x >&9; {"exec " if script.startswith("sleep") else ""}{script}')
    assert reports.answer()[0] == HTTPStatus.INTERNAL_SERVER_ERROR
    assert because in json.loads(reports.answer()[1])["message"]


def test_a_doctor_that_no_signal_ends_is_not_waited_for_and_no_other_is_started(
    counting: Callable[..., Reports], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_report, "TIME_LIMIT", 0.5)
    monkeypatch.setattr(node_report, "_PATIENCE", 20.0)
    processes: list[subprocess.Popen[bytes]] = []
    end = subprocess.Popen.kill

    def keep(process: "subprocess.Popen[bytes]") -> None:
        processes.append(process)

    monkeypatch.setattr(subprocess.Popen, "kill", keep)
    reports = counting('exec 9>>"$0"; echo x >&9; exec sleep 30')
    started = time.monotonic()
    assert reports.answer() == (HTTPStatus.INTERNAL_SERVER_ERROR, b'{"message": "doctor has not ended within 0.5 s"}')
    assert time.monotonic() - started < 1.5 + SLACK
    time.sleep(node_report.KEPT)
    assert b"it hangs in the kernel" in reports.answer()[1]
    (process,) = processes
    end(process)
    process.wait(20)
    time.sleep(node_report.KEPT)
    assert b"has not ended within" in reports.answer()[1]  # another is started
    for process in processes:
        end(process)
        process.wait(20)


def test_watch_serves_it_where_it_is_asked_to(node: Node) -> None:
    node.install()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    address = f"--metrics-addr=127.0.0.1:{port}"
    with watching(node, address, "--report"):
        wait_for(lambda: get(port)[0] == HTTPStatus.OK, "watch to serve a report")
        found = NODE_REPORT.validate_json(get(port)[1])
        assert {one["id"] for one in found["report"]["checks"] if one["result"] == "ok"} >= {"node-installed"}
        assert b"spiderpool_ipam_in_sync" in get(port, "/metrics")[1]
    with watching(node, address):
        wait_for(lambda: get(port)[0] == HTTPStatus.OK, "watch to serve metrics")
        assert get(port)[1].startswith(b"# HELP")


def get(port: int, path: str = "/report") -> tuple[int, bytes]:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        client.request("GET", path)
        answer = client.getresponse()
        return answer.status, answer.read()
    except OSError:
        return 0, b""
    finally:
        client.close()
