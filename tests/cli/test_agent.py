"""`spiderpool-ipam agent`: its help, its usage errors, its refusals."""

import subprocess
import sys
from pathlib import Path

from tests.agent.agent_process import ROOT, pool, write_pools


def _run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-X", "importtime", "-m", "cni.cli", "agent", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=30)


def _stderr(result: "subprocess.CompletedProcess[str]") -> list[str]:
    return [line for line in result.stderr.splitlines() if not line.startswith("import time:")]


def test_help_names_the_options_and_their_defaults_and_imports_no_server() -> None:
    result = _run("--help")
    assert result.returncode == 0
    for text in (
        "--socket",
        "/var/run/spidernet/spiderpool.sock",
        "--pool",
        "--state",
        "/var/lib/spiderpool-ipam/agent",
    ):
        assert text in result.stdout
    for package in ("starlette", "uvicorn", "pydantic", "yaml", "sqlite3"):
        assert f" {package}\n" not in result.stderr


def test_without_a_pool_the_usage_is_shown_with_status_2() -> None:
    result = _run()
    assert (result.returncode, result.stdout) == (2, "")
    assert "Missing option '--pool'" in result.stderr


def test_a_wrong_pool_is_refused_in_one_line_with_status_1_and_leaves_nothing_behind(tmp_path: Path) -> None:
    file = write_pools(tmp_path / "p.yaml", pool("a", "10.245.0.1"))
    result = _run("--pool", str(file), "--socket", str(tmp_path / "s" / "x"), "--state", str(tmp_path / "state"))
    assert (result.returncode, result.stdout) == (1, "")
    assert _stderr(result) == [f"Error: {file}: spec.ips[0]: 10.245.0.1 is not in spec.subnet 10.244.0.0/16"]
    assert [path.name for path in tmp_path.iterdir()] == ["p.yaml"]


def test_relative_paths_are_the_callers(tmp_path: Path) -> None:
    write_pools(tmp_path / "p.yaml", pool("a", "10.244.0.1"))
    command = [sys.executable, "-m", "cni.cli", "agent", "--pool", "p.yaml", "--socket", "s/x", "--state", "state"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline().endswith(" on s/x\n")
        assert ((tmp_path / "s/x").is_socket(), (tmp_path / "state/leases.db").is_file()) == (True, True)
        process.terminate()
