"""The log of changes never holds the agent up."""

import subprocess
import sys

from tests.agent.agent_process import ROOT


def _log(lines: int) -> "subprocess.Popen[bytes]":
    program = f"from cni.agent.change_log import log\nfor n in range({lines}): log(f'line {{n}}' + 'x' * 2000)"
    return subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, cwd=ROOT)


def test_a_line_has_the_time_and_at_most_1000_bytes() -> None:
    with _log(2) as process:
        _, stderr = process.communicate()
    first, second = stderr.splitlines()
    assert first[20:28] == b" line 0x" and second[20:28] == b" line 1x"
    assert len(first) == 1000


def test_lines_are_dropped_when_nobody_reads_them() -> None:
    with _log(1000) as process:
        assert process.wait(30) == 0
        assert process.stderr
        assert 10 < len(process.stderr.read().splitlines()) < 100
