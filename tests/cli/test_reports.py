"""What each command prints with --json is what its published schema says."""

import json
import subprocess
from typing import Any

import jsonschema_rs
import pytest

from cni.contracts.reports import REPORTS
from tests.installer.sample_node import COPY, Node
from tests.requirements import ROOT


def printed(node: Node, command: str, *options: str, status: int = 0, frozen: bool = True) -> Any:
    """Run a command; return its report, after holding it against the schema, and its exit status against `status`."""
    line = node.command(command, *options, "--json", frozen=frozen)
    without_root = line[:-2] if command == "version" else line
    done = subprocess.run(without_root, capture_output=True, text=True, timeout=60)
    assert done.returncode == status, done.stderr
    report = json.loads(done.stdout)
    schema = json.loads((ROOT / f"spec/report/{command}.schema.json").read_text())
    jsonschema_rs.validator_for(schema).validate(report)
    return report


def test_every_report_keeps_its_schema(node: Node) -> None:
    assert printed(node, "status", status=1)["problems"]
    assert printed(node, "install", "--dry-run", "--as", COPY)["diff"]
    assert printed(node, "install", "--wait-agent", "0")["conflistChanged"] is True
    assert printed(node, "install", "--wait-agent", "0")["conflistChanged"] is False
    assert printed(node, "status", status=1)["ipamType"] == "spiderpool"
    node.cache_result("one", json.loads(node.conflist.read_text()))
    assert printed(node, "uninstall", status=3)["pluginStays"]
    assert printed(node, "uninstall", "--force")["done"]
    assert printed(node, "pending") == {"agents": [], "dropped": 0}
    assert printed(node, "version")["components"]


@pytest.mark.parametrize(("command", "status"), [("status", 1), ("uninstall", 0), ("pending", 0), ("version", 0)])
def test_from_sources_they_keep_them_as_well(node: Node, command: str, status: int) -> None:
    printed(node, command, status=status, frozen=False)


def test_a_schema_is_published_for_each_command() -> None:
    published = {path.name.partition(".")[0] for path in (ROOT / "spec/report").glob("*.schema.json")}
    assert published == set(REPORTS) == {"install", "uninstall", "status", "pending", "version"}


def test_a_report_with_another_key_would_be_found() -> None:
    schema = json.loads((ROOT / "spec/report/uninstall.schema.json").read_text())
    assert jsonschema_rs.is_valid(schema, {"done": [], "pluginStays": []})
    assert not jsonschema_rs.is_valid(schema, {"done": [], "pluginStays": [], "reverts": 0})
    assert not jsonschema_rs.is_valid(schema, {"done": []})
