"""The order in which an allocation comes to the disk and to the caller, read off the system calls.

A SIGKILL does not lose what is in the page cache, so the tests with kills cannot show this; a power cut would.
"""

import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import requirements
from tests.agent.agent_process import Agent, Answer, add_args, pool, running_agent, write_pools


def traced(agent: Agent, output: Path, ask: Callable[[], Answer]) -> list[str]:
    """Return the agent's system calls while it answers one request with 200."""
    strace = requirements.need_program("strace")
    calls = "trace=recvfrom,sendto,sendmsg,write,pwrite64,fsync,fdatasync"
    command: list[str | Path] = [strace, "-f", "-y", "-e", calls, "-o", output, "-p", str(agent.process.pid)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
        assert tracer.stderr
        assert "attached" in tracer.stderr.readline()
        try:
            assert ask().status == 200
            time.sleep(0.2)
        finally:
            tracer.terminate()
            tracer.stderr.read()
    return output.read_text().splitlines()


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_a_change_is_on_disk_before_its_answer_is_sent(method: str, tmp_path: Path) -> None:
    pools = write_pools(tmp_path / "pools", pool("a", "10.244.0.1-10.244.0.9", default=True))
    with running_agent(tmp_path, pools) as agent:
        if method == "DELETE":
            agent.add(add_args("u1"))
        lines = traced(agent, tmp_path / "trace", lambda: agent.ask(method, "/ipam/ip", add_args("u1")))

    def places(pattern: str) -> list[int]:
        return [number for number, line in enumerate(lines) if re.search(pattern, line)]

    (request,) = places(rf'recvfrom\(.*"{method} /v1/ipam/ip')
    answer = places(r'(sendto|sendmsg|write)\(\d+<(socket|UNIX).*"HTTP/1\.1 200')[0]
    written = places(r"pwrite64\(\d+<.*/leases\.db-wal>")
    synced = places(r"(fdatasync|fsync)\(\d+<.*/leases\.db-wal>\) += 0")
    assert written, lines
    assert request < written[0] <= written[-1] < synced[-1] < answer, lines
