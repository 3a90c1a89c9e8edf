"""`spiderpool-ipam doctor --lang`, and the language that it speaks without it: that of whoever calls it."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cni.doctor import bundle, chinese, run
from cni.doctor.checks import CHECKS
from tests import requirements
from tests.doctor.documents import CLUSTER, changed, guide
from tests.requirements import ROOT

Doctor = Callable[..., subprocess.CompletedProcess[str]]
AGENT = next(check for check in CHECKS if check.id == "node-agent")
TEXTS = chinese.TEXTS["node-agent"]


def doctor_of(*program: str) -> Doctor:
    def doctor(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*program, "doctor", *arguments],
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            env={"HOME": "/nonexistent", "PATH": "/usr/bin:/bin", **environment},
            cwd=ROOT,
        )

    return doctor


@pytest.fixture(params=["source", "frozen"])
def doctor(request: pytest.FixtureRequest) -> Doctor:
    if request.param == "source":
        # UTF-8, as the frozen program's streams are.
        return doctor_of(sys.executable, "-X", "utf8", "-m", "cni.cli")
    return doctor_of(str(requirements.need_frozen("spiderpool-ipam")))


@pytest.fixture
def broken(tmp_path: Path) -> tuple[str, ...]:
    """The options that check a bundle in which the agent has a fault."""
    facts = changed(guide(CLUSTER), "node.agent.fault", "it is gone")
    bundle.write(tmp_path / "b", facts, run.report(CHECKS, facts, run.chosen(CHECKS, [], [], pre=False), "1.0.0"))
    return ("--from", str(tmp_path / "b"), "--only", "node-agent")


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "C"}, "en"),
        ({}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "", "LC_MESSAGES": "C.UTF-8"}, "en"),
        ({"LANG": "zh_CN.utf8", "LC_TIME": "C"}, "zh"),
        ({"LANG": "zh_CN.GB18030"}, "en"),
    ],
)
def test_a_check_is_explained_in_the_callers_language(
    doctor: Doctor, environment: dict[str, str], language: str
) -> None:
    done = doctor("--explain", "node-agent", **environment)
    wanted = TEXTS if language == "zh" else (AGENT.looks_at, AGENT.why, AGENT.to_do)
    assert all(text in done.stdout for text in wanted)
    assert (done.returncode, done.stderr) == (0, "")


def test_lang_goes_before_the_callers_language(doctor: Doctor) -> None:
    assert TEXTS.why in doctor("--explain", "node-agent", "--lang", "zh", LANG="C").stdout
    assert AGENT.why in doctor("--explain", "node-agent", "--lang", "en", LANG="zh_CN.UTF-8").stdout
    lines = doctor("--list", "--lang", "zh").stdout.splitlines()
    assert ["node", "node-agent", "failure", TEXTS.looks_at] in [re.split(" {2,}", line) for line in lines]
    done = doctor("--list", "--lang", "de")
    assert (done.returncode, done.stdout) == (2, "")


def test_a_report_tells_in_chinese_why_and_where_to_read_and_what_was_seen_as_it_is(
    doctor: Doctor, broken: tuple[str, ...]
) -> None:
    done = doctor(*broken, "-o", "short", LANG="zh_CN.UTF-8")
    indent = " " * 17
    assert done.returncode == 1
    assert done.stdout.splitlines()[:4] == [
        "node",
        f"  FAILURE      node-agent  ({TEXTS.looks_at})",
        f"{indent}/var/run/spidernet/spiderpool.sock: it is gone",
        f"{indent}  说明：{TEXTS.why}",
    ]
    assert "  修复：kubectl " in done.stdout
    assert f"{indent}参见 docs/zh/doctor/node.md#node-agent\n" in done.stdout


def test_what_programs_read_is_english_unless_chinese_is_asked_for(doctor: Doctor, broken: tuple[str, ...]) -> None:
    plain = json.loads(doctor(*broken, "--json").stdout)
    assert json.loads(doctor(*broken, "--json", LANG="zh_CN.UTF-8").stdout) == plain
    asked = json.loads(doctor(*broken, "-o", "json", "--lang", "zh").stdout)
    (found,) = [check for check in asked["checks"] if check["findings"]]
    assert found["findings"][0]["why"] == TEXTS.why
    assert found["doc"] == "docs/zh/doctor/node.md#node-agent"
    assert asked["summary"] == plain["summary"]


def test_a_bundle_is_english_since_others_read_it(doctor: Doctor, broken: tuple[str, ...], tmp_path: Path) -> None:
    doctor(*broken, "--bundle", str(tmp_path / "out"), LANG="zh_CN.UTF-8")
    done = subprocess.run(["tar", "-xOzf", tmp_path / "out", "report.json"], capture_output=True, text=True, timeout=60)
    assert AGENT.why in done.stdout
    assert TEXTS.why not in done.stdout
