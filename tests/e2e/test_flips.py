"""The frozen plugin, run all the time while the version in force is switched and the agent's postStart interferes."""

import json
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from cni.installer import bundle
from cni.spec_versions import SUPPORTED
from tests import requirements
from tests.installer.node import Node
from tests.installer.test_watch import Watch, until

RUNS = 300
AT_A_TIME = 16
# What the chart of spiderpool-agent runs at each start of the agent (FACTS: v0.4 to HEAD), in the folder of plugins.
POST_START = "mv spiderpool spiderpool.old; cp {go_plugin} spiderpool; rm spiderpool.old"


def outcome(plugin: Path) -> str:
    """Run VERSION; say whose plugin answered, or how it failed."""
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
    node = Node(tmp_path / "node")
    names = [bundle.install(release, node.bin, "1.0.0").name for release in (tree, other)]
    switches = 0

    def switch() -> None:
        nonlocal switches
        bundle.flip(node.bin / ".spiderpool/current", names[switches % 2])
        switches += 1

    with all_the_time(switch), ThreadPoolExecutor(AT_A_TIME) as threads:
        outcomes = Counter(threads.map(outcome, [node.plugin] * RUNS))
    show(f"{RUNS} runs, {AT_A_TIME} at a time, during {switches} switches: {dict(outcomes)}")
    assert outcomes == {"ours": RUNS}
    assert switches > 50


def test_no_run_of_ours_fails_while_the_agents_post_start_fights_with_watch(
    tmp_path: Path, show: Callable[[str], None]
) -> None:
    go_plugin = requirements.need_tool("spiderpool-go")
    node = Node(tmp_path)
    assert node.run("install", "--wait-agent", "0").returncode == 0
    watch = Watch(node)
    until(watch.ready.exists, 10)
    time.sleep(0.7)
    took = []

    def post_start() -> None:
        subprocess.run(["sh", "-euc", POST_START.format(go_plugin=go_plugin)], cwd=node.bin, check=True)
        took.append(until(lambda: bundle.state(node.bin) is not None, 1.0))

    in_force = node.bin / ".spiderpool/current/spiderpool"
    with ThreadPoolExecutor(AT_A_TIME) as threads:
        by_name = threads.map(outcome, [node.plugin] * RUNS)
        by_link = threads.map(outcome, [in_force] * RUNS)
        for _ in range(5):
            post_start()
        ours, named = Counter(by_link), Counter(by_name)
    watch.stop()
    show(f"postStart, {len(took)} times: ours again after at most {max(took) * 1000:.0f} ms; by name {dict(named)}")
    assert ours == {"ours": RUNS}
    # While the name is another's, what it leads to is the other's to answer for.
    others = {
        "the Go plugin's",
        "not run: No such file or directory",
        "not run: Text file busy",
        "not run: Exec format error",
    }
    assert set(named) <= {"ours", *others}
    assert node.answers()
