"""For all tests: REQUIRE_E2E=1 makes a skip a failure, and figures that tests measured are shown when the run ends."""

import os
from collections.abc import Callable, Generator

import pytest

FIGURES = pytest.StashKey[list[str]]()


@pytest.fixture
def show(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Give the test a function that keeps a line for the end: a law that held on nothing would be green as well."""
    return pytestconfig.stash.setdefault(FIGURES, []).append


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and os.environ.get("REQUIRE_E2E") == "1":
        report.outcome = "failed"
        report.longrepr = f"REQUIRE_E2E=1, but skipped: {report.longrepr[2] if report.longrepr else ''}"  # type: ignore
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    figures = config.stash.get(FIGURES, [])
    if figures:
        terminalreporter.section("figures")
        for line in figures:
            terminalreporter.write_line(line)
