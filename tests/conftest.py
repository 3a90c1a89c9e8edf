"""For all tests: hypothesis' profile, REQUIRE_E2E=1, and a summary of figures and skipped tests when the run ends."""

import os
import signal
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.segment import Segment, segment

FIGURE = "figure"
DESCRIPTORS = pytest.StashKey[int]()

# A slow or busy machine must not fail a test, so there is no deadline, and no health check that measures time.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

# A shell that runs the tests in the background ignores SIGINT for them, and then the programs that they run would, too.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def show(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Give the test a function that keeps a line for the summary, such as how many cases a law was tried on."""

    def keep(line: str) -> None:
        # A property of the test, because that is what a worker sends to the process that prints the summary.
        request.node.user_properties.append((FIGURE, line))

    return keep


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the slow tests first, so that no worker is left with a long one when the others have finished.

    Those that run the lab wait for each other. So they are spread among the others: side by side, they would keep all
    workers waiting.
    """
    items.sort(key=lambda item: "slow" not in item.keywords)
    labs = [item for item in items if item.path.name == "test_lab.py"]
    others = [item for item in items if item not in labs]
    step = sum("slow" in item.keywords for item in others) // (len(labs) or 1)
    for number, lab in enumerate(labs):
        others.insert(number * (step + 1), lab)
    items[:] = others


@pytest.fixture
def tmp_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the test a folder with a short name, because the path of a socket in it may not exceed 107 bytes."""
    return tmp_path_factory.mktemp("t")


@pytest.fixture
def lan() -> Iterator[Segment]:
    with segment() as made:
        yield made


def count_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    """Keep the number of open descriptors."""
    item.stash[DESCRIPTORS] = count_descriptors()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    """Fail a test that leaves descriptors open. Those of fixtures that stay for other tests are few."""
    result = yield
    more = count_descriptors() - item.stash[DESCRIPTORS]
    assert more < 20, f"{more} more descriptors are open than before the test"
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Make a skipped test a failed one, with the same reason, where REQUIRE_E2E=1 asks for it."""
    report = yield
    if report.skipped and os.environ.get("REQUIRE_E2E") == "1":
        report.outcome = "failed"
        report.longrepr = f"REQUIRE_E2E=1, but skipped: {_reason(report)}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures that tests have kept, and how many tests were skipped for which reason."""
    reports = [report for found in terminalreporter.stats.values() for report in found]
    calls = [report for report in reports if getattr(report, "when", "") == "call"]
    figures = [line for report in calls for name, line in report.user_properties if name == FIGURE]
    _print(terminalreporter, "figures", figures)
    skipped = Counter(map(_reason, terminalreporter.stats.get("skipped", [])))
    _print(terminalreporter, "skipped tests", [f"{count:5} {reason}" for reason, count in skipped.most_common()])


def _print(terminalreporter: pytest.TerminalReporter, title: str, lines: list[str]) -> None:
    if lines:
        terminalreporter.section(title)
    for line in lines:
        terminalreporter.write_line(line)


def _reason(report: pytest.TestReport) -> str:
    """Return why a test was skipped."""
    return report.longrepr[2].removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else str(report.longrepr)
