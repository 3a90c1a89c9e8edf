"""A later install keeps what was asked for before, unless it is told otherwise."""

from typing import Any

import pytest

from cni.contracts.installation import Desired, Request
from cni.contracts.reports import InstallReport
from cni.installer.install import dry_run, install
from tests.installer.sample_conflists import CALICO
from tests.installer.sample_node import COPY, Node

POOL = {"default_ipv4_ippool": ["blue"]}


def upgrade(node: Node, *, reset: bool = False, **given: Any) -> InstallReport:
    return install(node.tree, "1.1.0", lambda: node.folders, Request(given, reset), 0, lambda _: None)


@pytest.fixture
def asked(node: Node) -> Node:
    """A node that was installed with a copy and a setting."""
    node.install(COPY, settings=POOL)
    return node


def test_a_plain_install_keeps_the_copy_and_the_settings_and_says_so(asked: Node) -> None:
    before = asked.copy.read_text()
    report = upgrade(asked)
    assert (asked.copy.read_text(), asked.conflist.read_text()) == (before, CALICO)
    assert report.options == report.options_kept == [f"--as {COPY}", '--set default_ipv4_ippool=["blue"]']


def test_an_option_that_is_given_anew_wins_and_the_others_stay(asked: Node) -> None:
    report = upgrade(asked, settings={"log_level": "info"})
    assert asked.ipam(asked.copy) == {"type": "spiderpool", **POOL, "log_level": "info"}
    assert report.options_kept == [f"--as {COPY}", '--set default_ipv4_ippool=["blue"]']
    assert '--set log_level="info"' in report.options
    upgrade(asked, settings={"log_level": "warn"}, as_name="")
    assert asked.ipam() == {"type": "spiderpool", **POOL, "log_level": "warn"}
    assert not asked.copy.exists()


def test_reset_starts_from_the_defaults(asked: Node) -> None:
    report = upgrade(asked, reset=True)
    assert (report.options, report.options_kept) == ([], [])
    assert asked.ipam() == {"type": "spiderpool"}
    assert not asked.copy.exists()


def test_after_an_uninstall_nothing_is_kept(asked: Node) -> None:
    asked.uninstall(pending=1)  # the plugin stays
    assert upgrade(asked).options == []


def test_a_dry_run_shows_what_would_be_kept(asked: Node) -> None:
    report = dry_run(asked.folders, Request())
    assert (report.diff, len(report.options_kept)) == ("", 2)


def test_the_command_keeps_and_shows_and_resets(asked: Node) -> None:
    done = asked.run("install", "--dry-run", frozen=False)
    assert f"kept from the last installation: --as {COPY} --set default_ipv4_ippool" in done.stderr
    done = asked.run("install", "--dry-run", "--reset", frozen=False)
    assert "kept" not in done.stderr
    assert "+++ /dev/null" in done.stdout


def test_what_is_asked_for_can_be_given_as_options_again() -> None:
    everything = Desired("other", "20-x.conflist", COPY, {"log_level": "info"}, force=True)
    assert everything.options() == [
        "--plugin-type other",
        "--conf 20-x.conflist",
        f"--as {COPY}",
        '--set log_level="info"',
        "--force",
    ]
    assert Desired().options() == []
