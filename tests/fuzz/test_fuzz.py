"""A short fuzzing finds no fault, and it does find a function that is broken on purpose."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from tests import requirements
from tests.fuzz.__main__ import NAMES

pytestmark = pytest.mark.slow

RUNS = 50000


def fuzz(*arguments: str) -> subprocess.CompletedProcess[str]:
    requirements.need_root()
    requirements.need_package("atheris")
    command = [sys.executable, "-m", "tests.fuzz", *arguments]
    return subprocess.run(command, cwd=requirements.ROOT, capture_output=True, text=True, timeout=600)


def test_no_input_ends_in_anything_but_what_is_promised(show: Callable[[str], None]) -> None:
    done = fuzz("--runs", str(RUNS))
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert len(lines) == 1 + len(NAMES)
    show("fuzz: " + "; ".join(" ".join(line.split()) for line in lines))


@pytest.mark.parametrize("name", NAMES)
def test_a_target_that_is_broken_is_found(name: str) -> None:
    """One function of each target raises an exception that no target expects."""
    broken = {
        "stdin": "cni.plugin.netconf.NetConf.valid_attachments",
        "cni_args": "cni.plugin.parameters.read",
        "agent": "cni.plugin.result.render",
        "conflist": "cni.installer.conflist.document.Document.with_ipam",
        "pools": "cni.agent.pools._documents",
    }[name]
    done = fuzz("--runs", "2000", "--break", broken, name)
    assert done.returncode == 1
    assert "FOUND" in done.stdout
