"""`spiderpool-ipam detect`, which the plugin runs. What the probes find is in tests/detection/test_probe.py."""

import json
import subprocess
import sys

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


def test_what_is_no_request_ends_with_a_traceback_and_no_answer() -> None:
    done = run("detect", stdin="{}")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == "KeyError: 'netns'"


def test_it_starts_without_pydantic() -> None:
    program = "import sys, cni.cli.detect; print('pydantic' in sys.modules, 'pyroute2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "False True\n"
