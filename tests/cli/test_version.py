import json
import subprocess
import sys
from importlib import metadata

import pytest

from cni.cni_versions import SUPPORTED


def run(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "cni.cli", *args], capture_output=True, text=True, timeout=30)


def test_version_tells_the_package_and_the_cni_versions() -> None:
    report = json.loads(run("version", "--json").stdout)
    assert report["version"] == metadata.version("spiderpool-ipam")
    assert report["cniVersions"] == list(SUPPORTED)


def test_a_source_tree_bundles_nothing_and_says_so() -> None:
    assert json.loads(run("version", "--json").stdout)["components"] == []
    line = f"spiderpool-ipam {metadata.version('spiderpool-ipam')}, CNI {' '.join(SUPPORTED)}, from a source tree\n"
    assert run("version").stdout == line


def test_help_lists_every_command_without_loading_it() -> None:
    script = (
        "import sys; from cni.cli.__main__ import main\ntry: main()\nexcept SystemExit: print(*sys.modules, sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", script, "--help"], capture_output=True, text=True, timeout=30)
    assert all(command in done.stdout for command in ("attach", "agent", "version"))
    assert not {"starlette", "pydantic", "rich", "httpx", "cni.cli.attach"} & set(done.stdout.split())


@pytest.mark.parametrize("command", ["attach", "agent", "version"])
def test_every_command_has_help(command: str) -> None:
    done = run(command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: spiderpool-ipam " + command in done.stdout


def test_an_unknown_command_is_wrong_usage() -> None:
    done = run("instal")
    assert done.returncode == 2
    assert "instal" in done.stderr
