"""Start-up time is imports: what a whole ADD may load, by name."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pydantic_core

from tests import vectors

ROOT = Path(__file__).parents[2]

# Beside what the interpreter itself has loaded by the time that it runs a script.
ALLOWED = {
    # built in
    "_datetime", "_imp", "_socket", "marshal", "posix", "select", "sys", "time",
    # pydantic-core's extension
    "pydantic_core._pydantic_core",
    # ours
    "cni", "cni.cni_versions", "cni.deadline", "cni.defaults", "cni.errors", "cni.syntax",
    "cni.plugin", "cni.plugin.__main__", "cni.plugin._validators", "cni.plugin.agent_client", "cni.plugin.http1",
    "cni.plugin.attachment", "cni.plugin.call", "cni.plugin.files", "cni.plugin.interrupts",
    "cni.plugin.ip_address", "cni.plugin.json_text", "cni.plugin.log", "cni.plugin.netconf", "cni.plugin.operations",
    "cni.plugin.parameters", "cni.plugin.result", "cni.plugin.validation",
}  # fmt: skip

SCRIPT = """
import sys
before = set(sys.modules)
sys.path[:0] = {path!r}
import posix
from cni.plugin.__main__ import main
status = main(posix.environ, 0, 1, 2)
posix.write(2, " ".join(sorted(set(sys.modules) - before)).encode())
posix._exit(status)
"""


def test_a_whole_add_loads_nothing_but_what_is_listed_here() -> None:
    (vector,) = [v for v in vectors.load() if v.name == "1.1.0/add-chunked-answer-with-60-routes"]
    site_packages = str(Path(pydantic_core.__file__).parents[1])
    script = SCRIPT.format(path=[str(ROOT), site_packages])
    logged: list[str] = []

    def main(environment: Mapping[bytes, bytes], stdin: int, stdout: int, stderr: int) -> int:
        document = os.read(stdin, 65536)
        command = [sys.executable, "-I", "-S", "-c", script]
        done = subprocess.run(command, env=dict(environment), input=document, stdout=stdout, stderr=stderr, timeout=20)
        log_file = Path(json.loads(document)["ipam"]["log_file_path"])
        logged.extend(log_file.read_text().splitlines())
        return done.returncode

    outcome = vectors.run(vector, main)
    assert not vectors.fault(vector, outcome)
    assert [json.loads(line)["outcome"] for line in logged] == ["ok"]
    loaded = set(outcome.stderr.decode().split())
    assert "pydantic_core._pydantic_core" in loaded
    assert loaded <= ALLOWED, sorted(loaded - ALLOWED)
