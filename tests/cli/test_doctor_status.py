"""The exit statuses of `spiderpool-ipam doctor`: no failure, failures, wrong usage, nothing could be checked."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_doctor import doctor, on, report, results, saved
from tests.doctor.documents import CLUSTER, changed, guide
from tests.installer.sample_node import Node

WARNING = changed(guide(CLUSTER), "node.agent.seconds", 1.5)
FAILURE = changed(guide(CLUSTER), "node.agent.fault", "refused")
INFORMATION = changed(guide(CLUSTER), "node.start.how", "without its image: this release has none")
UNKNOWN = changed(guide(CLUSTER), "node.agent", {"unknown": "no rights"})


@pytest.mark.parametrize(
    ("facts", "options", "status"),
    [
        (guide(CLUSTER), (), 0),
        (INFORMATION, ("--fail-on", "warning"), 0),
        (WARNING, (), 0),
        (WARNING, ("--fail-on", "warning"), 1),
        (WARNING, ("--fail-on", "nothing"), 0),
        (FAILURE, (), 1),
        (FAILURE, ("--fail-on", "warning"), 1),
        (FAILURE, ("--fail-on", "nothing"), 0),
        (FAILURE, ("--skip", "node-agent"), 0),
        (FAILURE, ("--suggest",), 1),
        (FAILURE, ("-o", "json"), 1),
        (FAILURE, ("-o", "short"), 1),
        (UNKNOWN, (), 0),
        (UNKNOWN, ("--only", "node-agent"), 3),
        (UNKNOWN, ("--only", "node-agent", "--fail-on", "nothing"), 0),
        (guide(CLUSTER), ("--only", "node-agent", "--skip", "node-agent"), 3),
    ],
)
def test_it_says_what_was_found(tmp_path: Path, facts: Any, options: tuple[str, ...], status: int) -> None:
    done = doctor(*saved(tmp_path, facts), *options)
    assert (done.returncode, done.stderr) == (status, "")


def test_a_damaged_record_of_install_is_a_failure(node: Node) -> None:
    node.install()
    (node.root / "var/lib/spiderpool-ipam/folders").unlink()
    (node.conf / ".spiderpool-ipam.swap").write_text('{"version": ')
    done = doctor("--node-only", "--json", *on(node))
    assert done.returncode == 1
    assert results(report(done))["node-installed"] == "failure"
    assert results(report(done))["node-plugin-ours"] == "ok"
    assert doctor("--node-only", "--pre", *on(node)).returncode == 1


def test_a_bundle_that_cannot_be_written_is_wrong_usage(node: Node) -> None:
    done = doctor("--node-only", "--bundle", "/nonexistent/b.tar.gz", *on(node))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith("Error: --bundle: /nonexistent/b.tar.gz: No such file or directory\n")


def test_a_router_that_cannot_be_read_leaves_the_rest_to_be_checked(node: Node) -> None:
    done = doctor("--node-only", "--json", "--router", "/nonexistent", *on(node))
    (router,) = [one for one in json.loads(done.stdout)["checks"] if one["id"] == "bgp-router-view"]
    assert (done.returncode, router["result"]) == (1, "not-checked")
    assert "/nonexistent: No such file" in router["because"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--list", "--json"), "--json excludes --list"),
        (("--explain", "node-bird", "-o", "json"), "--json excludes --list"),
        (("--suggest", "--json"), "--json excludes --list"),
        (("--pod", "default/a", "--no-pods"), "--pod excludes"),
        (("--pod", "default/a", "--suggest"), "--pod excludes"),
        (("--pod", "a"), "--pod: 'a' is not NAMESPACE/NAME"),
        (("--pod", "default/"), "is not NAMESPACE/NAME"),
        (("--pod", "/a"), "is not NAMESPACE/NAME"),
        (("--pod", "default/a/b"), "is not NAMESPACE/NAME"),
        (("--node-only", "--cluster-only"), "--node-only excludes"),
        (("--node-only", "--nodes"), "--node-only excludes"),
        (("--bundle", "b.tar.gz", "--no-pods"), "--bundle excludes"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_meant_together_is_wrong_usage(tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    """A program that asks for JSON would otherwise be given something else."""
    done = doctor(*saved(tmp_path, guide(CLUSTER)), *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
