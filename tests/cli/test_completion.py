"""What the shells' scripts are told to complete, and that this loads no more than it needs."""

import os
import subprocess
import sys

import pytest

from tests.requirements import ROOT

SCRIPT = """import sys
from cni.cli.__main__ import main
try: main()
except SystemExit: print(*sys.modules, file=sys.stderr)
"""


def complete(line: str, shell: str = "bash") -> tuple[list[str], set[str]]:
    """Return what may follow, and the modules that were loaded for it."""
    words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
    environ = {**os.environ, **words, "_SPIDERPOOL_IPAM_COMPLETE": f"{shell}_complete"}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environ, cwd=ROOT, capture_output=True, text=True)
    return [line for line in done.stdout.splitlines() if line], set(done.stderr.split())


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("spiderpool-ipam un", ["plain,uninstall"]),
        ("spiderpool-ipam det", []),  # the plugin runs it, and nobody else
        ("spiderpool-ipam --ver", ["plain,--version"]),
        ("spiderpool-ipam attach ch", ["plain,check"]),
        ("spiderpool-ipam install --cni-b", ["plain,--cni-bin-dir"]),
        ("spiderpool-ipam install --cni-bin-dir /o", ["file,/o"]),
        ("spiderpool-ipam install --host-root /nowhere --cni-bin-dir /o", ["file,/o"]),
        ("spiderpool-ipam install --wait-agent no --dry", ["plain,--dry-run"]),
        ("spiderpool-ipam attach add --conf ", ["file,"]),
        ("spiderpool-ipam watch --log-format j", ["plain,json"]),
        ("spiderpool-ipam doctor --only node-bird", ["plain,node-bird", "plain,node-bird-exports"]),
        ("spiderpool-ipam doctor --only node-bird --skip calico-k", ["plain,calico-kube-controllers"]),
        ("spiderpool-ipam doctor --explain felix-", ["plain,felix-route-source", "plain,felix-ipv6"]),
        ("spiderpool-ipam doctor --explain nothing-like-it", []),
    ],
)
def test_what_may_follow_is_told(line: str, found: list[str]) -> None:
    assert complete(line)[0] == found


def test_names_of_commands_are_completed_without_their_modules() -> None:
    found, modules = complete("spiderpool-ipam ", "zsh")
    assert found[found.index("doctor") + 1] == "Find what is wrong between an annotation and the router."
    assert not {name for name in modules if name.startswith("cni.cli.")} - {"cni.cli.streams", "cni.cli.__main__"}


@pytest.mark.parametrize(
    "command", ["install", "status", "watch", "doctor", "pending", "uninstall", "agent", "attach add"]
)
def test_options_are_completed_without_what_does_the_work(command: str) -> None:
    found, modules = complete(f"spiderpool-ipam {command} --")
    assert "plain,--help" in found
    assert not {"pydantic", "rich", "httpx", "starlette", "yaml", "watchfiles"} & modules
