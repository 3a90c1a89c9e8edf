"""The frozen plugin runs all the time while its versions are switched, and while the agent's postStart replaces it."""

import json
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from cni.cni_versions import SUPPORTED
from cni.installer.bundle import links
from cni.installer.bundle import plugin_links as bundle
from cni.installer.conflict import CONFLICT_DRIFTS
from tests import requirements
from tests.installer.sample_node import Node, write_sums
from tests.installer.test_watch import Watch
from tests.waiting import wait_for

RUNS = 300
AT_A_TIME = 16
# What the chart of spiderpool-agent, from v0.4 on, runs in the folder of plugins at each start of the agent.
POST_START = "mv spiderpool spiderpool.old; cp {go_plugin} spiderpool; rm spiderpool.old"


def outcome(plugin: Path) -> str:
    """Run VERSION; return whose plugin answered, or how it failed."""
    try:
        done = subprocess.run(
            [plugin], env={"CNI_COMMAND": "VERSION"}, stdin=subprocess.DEVNULL, capture_output=True, timeout=30
        )
    except OSError as error:
        return f"not run: {error.strerror}"
    if done.returncode:
        return f"exit status {done.returncode}: {(done.stdout + done.stderr).decode()[:200]}"
    return "ours" if json.loads(done.stdout)["supportedVersions"] == list(SUPPORTED) else "the Go plugin's"


@contextmanager
def all_the_time(work: Callable[[], None]) -> Iterator[None]:
    """Repeat `work` in a thread while the block runs."""
    stop = threading.Event()

    def repeat() -> None:
        while not stop.is_set():
            work()

    with ThreadPoolExecutor(1) as thread:
        future = thread.submit(repeat)
        try:
            yield
        finally:
            stop.set()
        future.result()


def test_no_run_fails_while_releases_are_switched(tmp_path: Path, show: Callable[[str], None]) -> None:
    tree = requirements.need_frozen("spiderpool").parent
    other = tmp_path / "other"
    shutil.copytree(tree, other)
    (other / "another-release").touch()
    write_sums(other)
    node = Node(tmp_path / "node")
    names = [bundle.install(release, node.bin, "1.0.0").name for release in (tree, other)]
    switches = 0

    def switch() -> None:
        nonlocal switches
        links.flip(node.bin / ".spiderpool/current", names[switches % 2])
        switches += 1

    with all_the_time(switch), ThreadPoolExecutor(AT_A_TIME) as threads:
        outcomes = Counter(threads.map(outcome, [node.plugin] * RUNS))
    show(f"{RUNS} runs, {AT_A_TIME} at a time, during {switches} switches: {dict(outcomes)}")
    assert outcomes == {"ours": RUNS}
    assert switches > 10


def test_no_run_of_ours_fails_while_the_agents_post_start_conflicts_with_watch(
    tmp_path: Path, show: Callable[[str], None]
) -> None:
    go_plugin = requirements.need_tool("spiderpool-go")
    node = Node(tmp_path)
    assert node.run("install", "--wait-agent", "0").returncode == 0
    in_force = node.bin / ".spiderpool/current/spiderpool"
    took: list[float] = []
    conflicts: list[tuple[float, float]] = []

    def timed(plugin: Path) -> tuple[Path, str, float, float]:
        started = time.monotonic()
        return plugin, outcome(plugin), started, time.monotonic()

    with ThreadPoolExecutor(AT_A_TIME) as threads:
        futures: list[Future[tuple[Path, str, float, float]]] = []
        while not futures or not all(future.done() for future in futures):
            watch = Watch(node)  # a new one each time: after five changes it would slow down
            wait_for(watch.ready.exists, "watch")
            time.sleep(0.7)
            futures = futures or [threads.submit(timed, plugin) for plugin in [node.plugin, in_force] * RUNS]
            started = time.monotonic()
            for _ in range(CONFLICT_DRIFTS):
                post_start(node.bin, go_plugin)
                took.append(wait_for(lambda: bundle.current_bundle(node.bin) is not None, "our name", 1))
            conflicts.append((started, time.monotonic()))
            watch.stop()
        runs = [future.result() for future in futures]
    named = Counter(found for plugin, found, _, _ in runs if plugin == node.plugin)
    strict = [run for run in runs if run[0] == in_force]
    meanwhile = sum(any(start < end and begin < stop for start, stop in conflicts) for _, _, begin, end in strict)
    show(
        f"postStart, {len(took)} times: ours again after at most {max(took) * 1000:.0f} ms; {meanwhile} of {RUNS} runs"
        f" meanwhile; by name {dict(named)}"
    )
    assert Counter(found for _, found, _, _ in strict) == {"ours": RUNS}
    assert meanwhile > RUNS / 10
    # While the name belongs to the other plugin, its failures are not ours.
    others = {
        "the Go plugin's",
        "not run: No such file or directory",
        "not run: Text file busy",
        "not run: Exec format error",
    }
    assert set(named) <= {"ours", *others}
    assert node.answers()


def post_start(folder: Path, go_plugin: Path) -> None:
    subprocess.run(["sh", "-euc", POST_START.format(go_plugin=go_plugin)], cwd=folder, check=True)
