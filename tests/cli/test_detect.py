"""`spiderpool-ipam detect`, which the plugin runs. What the probes find is in tests/detection/test_probe.py."""

import json
import subprocess
import sys

import pytest

from tests.requirements import ROOT


def run(*arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "cni.cli", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, cwd=ROOT, timeout=30)


def test_help_does_not_list_it() -> None:
    shown = run("--help")
    assert shown.returncode == 0
    assert "version" in shown.stdout
    assert "detect" not in shown.stdout


def test_an_error_is_an_answer_with_status_0() -> None:
    done = run("detect", stdin=json.dumps({"netns": "/no/such", "ifname": "eth0", "addresses": []}))
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {
        "code": 8,
        "msg": "cannot enter the pod's network namespace",
        "details": "/no/such: No such file or directory",
    }


@pytest.mark.parametrize(
    ("stdin", "problem"),
    [
        ("{}", "netns: Field required"),
        ('{"netns": "/n", "ifname": "eth0", "addresses": [{}]}', "addresses.0.address: Field required"),
        ('{"netns": 1, "ifname": "eth0", "addresses": []}', "netns: Input should be a valid string"),
        ("{", "JSON: Invalid JSON: EOF while parsing an object at line 1 column 1"),
    ],
)
def test_what_is_no_request_is_one_line_and_no_answer(stdin: str, problem: str) -> None:
    done = run("detect", stdin=stdin)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"Error: stdin is not a detection request: {problem}\n"
