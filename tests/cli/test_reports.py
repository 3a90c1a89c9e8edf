"""What each command prints with --json is what its published schema says."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import jsonschema_rs
import pytest

from cni.cli.__main__ import COMMANDS, spiderpool_ipam
from cni.contracts.reports import REPORTS
from cni.contracts.reports_page import ELSEWHERE
from tests.cli.test_attach import RESULT, Setup
from tests.cli.test_doctor import doctor, on, saved
from tests.doctor.documents import CLUSTER, guide
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


def validate(schema: str, text: str) -> Any:
    document = json.loads(text)
    jsonschema_rs.validator_for(json.loads((ROOT / "spec" / schema).read_text())).validate(document)
    return document


@pytest.mark.parametrize("command", ["add", "check", "del", "status", "gc"])
def test_attach_prints_a_result_or_an_error_of_cni(command: str, tmp_path: Path) -> None:
    setup = Setup(tmp_path)
    of_a_pod = ["--pod", "default/a"]
    options = {"status": [], "gc": ["--keep-none"]}.get(command, of_a_pod)
    setup.answer(RESULT)
    assert validate("result/1.0.0.schema.json", setup.run("add", *of_a_pod, "--json").stdout) == RESULT
    if command != "add":
        setup.answer("")
        done = setup.run(command, *options, "--json")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        setup.run("add", *of_a_pod)
    setup.answer(RESULT)
    setup.run("add", *of_a_pod)
    setup.answer({"cniVersion": "1.0.0", "code": 11, "msg": "away"}, status=1)
    assert validate("result/1.0.0.schema.json", setup.run(command, *options, "--json").stdout)["code"] == 11


def test_doctor_prints_what_it_publishes(node: Node) -> None:
    for options in (("--node-only", *on(node)), saved(node.root, guide(CLUSTER))):
        assert validate("doctor/report.schema.json", doctor(*options, "--json").stdout)["checks"]


def commands_with_json(group: click.Group, *above: str) -> Iterator[str]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands_with_json(command, *above, name)
        elif command and any("--json" in option.opts for option in command.params):
            yield " ".join([*above, name])


def test_of_every_command_with_json_a_test_above_holds_the_output() -> None:
    of_attach = {f"attach {name}" for name in ("add", "check", "del", "status", "gc")}
    assert isinstance(spiderpool_ipam, click.Group)
    assert set(commands_with_json(spiderpool_ipam)) == {*REPORTS, "doctor", *of_attach}
    assert set(ELSEWHERE) == {"doctor", "attach"}
    assert set(COMMANDS) >= {*REPORTS, *ELSEWHERE}


@pytest.mark.parametrize("command", ["install", "uninstall", "status", "pending"])
def test_a_command_that_fails_prints_no_report(command: str, node: Node) -> None:
    done = node.run(command, "--cni-conf-dir", "/not-utf-8-\udcff", "--json", frozen=False)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)


def test_the_page_says_of_every_key_what_it_means() -> None:
    rows = re.findall(r"^\| `\w+` \|.*", (ROOT / "docs/reference/reports.md").read_text(), re.MULTILINE)
    assert len(rows) > 50
    assert not [row for row in rows if row.split("|")[-2].strip() == ""]


def test_a_schema_is_published_for_each_command() -> None:
    published = {path.name.partition(".")[0] for path in (ROOT / "spec/report").glob("*.schema.json")}
    assert published == set(REPORTS) == {"install", "uninstall", "status", "pending", "version"}


def test_a_report_with_another_key_would_be_found() -> None:
    schema = json.loads((ROOT / "spec/report/uninstall.schema.json").read_text())
    assert jsonschema_rs.is_valid(schema, {"done": [], "pluginStays": []})
    assert not jsonschema_rs.is_valid(schema, {"done": [], "pluginStays": [], "reverts": 0})
    assert not jsonschema_rs.is_valid(schema, {"done": []})
