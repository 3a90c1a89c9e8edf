"""`make soak` [N=10000]: pods come and go while agent, socket, plugin and the disk of the log fail.

    python -m tests.soak [--attachments N] [--seed S]

It runs the frozen plugin and the embedded agent, with a proxy between them. The exit status is 1 if two pods had the
same address at the same time, if an address stays allocated that no pod has, or if a runtime could not read what a call
printed.
"""

import argparse
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from cni.deadline import Deadline
from cni.defaults import PENDING_FOLDER
from cni.plugin import pending
from cni.plugin.replay import replay
from tests import requirements
from tests.e2e.frozen_agent import Agent
from tests.own_state import with_own_state
from tests.soak.proxy import CHANCES, Proxy
from tests.soak.runtime import Lifetime, Pod, Runtime, given_twice

AT_A_TIME = 16
STAY = 16  # pods that live on until the end
REQUEST_TIMEOUT = 3  # seconds: how long a call waits for an agent that hangs
REPLAY_EVERY = 10  # seconds, as watch does it
QUIET = 1.5  # seconds at most between two faults
LOG_DISK = 4  # MB
# The folder to work in. The second of two processes gets it, which has a mount namespace of its own.
_INSIDE = "--inside"


class Verdict(NamedTuple):
    """Something that must not happen, and how often it did."""

    title: str
    found: int
    examples: list[str] = []  # noqa: RUF012  (never changed)
    pods: list[str] = []  # noqa: RUF012


class Trouble:
    """Makes agent, socket and disk fail, one after the other, until `stop` is set."""

    def __init__(self, agent: Agent, proxy: Proxy, log_disk: Path, dice: random.Random) -> None:
        self.done: Counter[str] = Counter()
        self._agent, self._proxy, self._log_disk, self._dice = agent, proxy, log_disk, dice
        self._kinds: dict[str, Callable[[], None]] = {
            "agent killed and restarted": self._kill,
            "agent stopped, and going on": self._freeze,
            "connections refused": self._refuse,
            "log's disk full": self._fill,
        }
        self._replayed = time.monotonic()

    def run(self, stop: threading.Event) -> None:
        while not stop.wait(self._dice.random() * QUIET):
            kind = self._dice.choice(list(self._kinds))
            self._kinds[kind]()
            self.done[kind] += 1
            if time.monotonic() - self._replayed > REPLAY_EVERY:
                replay(PENDING_FOLDER)
                self._replayed = time.monotonic()

    def _kill(self) -> None:
        # The plugin sees a socket without a listener, or connections that end.
        with self._proxy.refusing() if self._dice.random() < 0.5 else nullcontext():
            self._agent.kill()
            self._agent.start()

    def _freeze(self) -> None:
        with self._agent.frozen():
            time.sleep(self._dice.random() * 1.5 * REQUEST_TIMEOUT)

    def _refuse(self) -> None:
        with self._proxy.refusing():
            time.sleep(self._dice.random() * 4)  # seconds; ADD waits for 3

    def _fill(self) -> None:
        path = self._log_disk / "filler"
        with path.open("wb", buffering=0) as filler:
            try:
                while filler.write(bytes(65536)):
                    pass
            except OSError:
                time.sleep(self._dice.random())
        path.unlink()


class Soak:
    """One run, in a folder of its own."""

    def __init__(self, folder: Path, dice: random.Random, *, gives_twice: bool) -> None:
        self.agent = Agent(folder, log=folder / "agent.log")
        self.proxy = Proxy(folder / "proxy.sock", self.agent.socket, dice, gives_twice=gives_twice)
        log_disk = folder / "log"
        log_disk.mkdir()
        # The mount ends with the mount namespace of this process.
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={LOG_DISK}m", "none", log_disk], check=True)
        ipam = {
            "type": "spiderpool",
            "ipam_unix_socket_path": str(folder / "proxy.sock"),
            "log_file_path": str(log_disk / "spiderpool.log"),
            "log_file_max_size": 1,
            "log_file_max_count": 1,
            "request_timeout": REQUEST_TIMEOUT,
        }
        self.runtime = Runtime(requirements.TREE / "spiderpool", ipam, dice)
        self.trouble = Trouble(self.agent, self.proxy, log_disk, dice)

    def run(self, attachments: int, progress: Callable[[int], None]) -> list[Pod]:
        """Have pods come and go; return those that stay."""
        stop = threading.Event()
        trouble = threading.Thread(target=self.trouble.run, args=(stop,))
        trouble.start()
        try:
            with ThreadPoolExecutor(AT_A_TIME) as workers:
                todo = [workers.submit(self.runtime.run, number) for number in range(attachments - STAY)]
                _await(todo, progress)
                staying = list(workers.map(self.runtime.start, range(attachments - STAY, attachments)))
        finally:
            stop.set()
            trouble.join()
        progress(attachments)
        return staying

    def settle(self, staying: list[Pod]) -> list[Verdict]:
        """Send the pending releases, collect garbage, stop the last pods; return what is left after each step."""
        self.proxy.is_calm = self.runtime.is_calm = True
        replay(PENDING_FOLDER, deadline=Deadline(math.inf))
        left = pending.count(PENDING_FOLDER)
        wanted = {address: pod.name for pod in staying for address in pod.addresses}
        stray = _difference("addresses held after replay that no pod has", self._held(), wanted)
        valid = [{"containerID": pod.container, "ifname": "eth0"} for pod in staying]
        self.runtime.call("GC", None, more={"cni.dev/valid-attachments": valid})
        after_gc = _difference("addresses held after GC that no pod has", self._held(), wanted)
        lost = _difference("addresses of living pods that are not held", wanted, self._held())
        for pod in staying:
            self.runtime.stop(pod)
        at_the_end = _difference("addresses held in the end", self._held(), {})
        return [stray, after_gc, lost, at_the_end, Verdict("releases pending after replay", left)]

    def _held(self) -> dict[str, str]:
        """Return the pod of each address that the agent has allocated."""
        families = (("ipv4", "/32"), ("ipv6", "/128"))
        held = self.agent.held()
        return {row[key].partition("/")[0] + length: row["podName"] for row in held for key, length in families}


def _difference(title: str, found: dict[str, str], wanted: dict[str, str]) -> Verdict:
    """Return the addresses that are found and not wanted, each with its pod."""
    more = sorted(found.items() - wanted.items())
    examples = [f"{address} of {pod}" for address, pod in more]
    return Verdict(title, len(more), examples, [pod for _, pod in more])


def _await(todo: list["Future[None]"], progress: Callable[[int], None]) -> None:
    """Wait for all; raise what the first failing one has raised."""
    left = set(todo)
    while left:
        done, left = wait(left, timeout=0.5, return_when=FIRST_COMPLETED)
        progress(len(todo) - len(left))
        for one in done:
            if one.exception():
                for other in left:
                    other.cancel()
            one.result()


def main() -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--attachments", type=int, default=10000, metavar="N", help="pods that come and go")
    parser.add_argument("--seed", type=int, default=0, help="of what happens; 0: another one each time")
    parser.add_argument("--give-twice", action="store_true", help="have an agent that is broken: a check of this check")
    parser.add_argument(_INSIDE, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.attachments < STAY:
        parser.error(f"at least {STAY} attachments")
    if os.geteuid():
        parser.error("it mounts a disk for the log: run as root")
    if not (requirements.TREE / "spiderpool").exists():
        parser.error("the plugin is not frozen: `make build`")
    if options.inside:
        return soak(options.inside, options.attachments, options.seed or int(time.time()), options.give_twice)
    with tempfile.TemporaryDirectory(prefix="spiderpool-soak.") as folder:
        state = Path(folder) / "plugin"
        state.mkdir()
        command = with_own_state(state, sys.executable, "-m", "tests.soak", *sys.argv[1:], _INSIDE, folder)
        return subprocess.run(command, cwd=requirements.ROOT).returncode


def soak(folder: Path, attachments: int, seed: int, gives_twice: bool) -> int:
    """Run, report, return the exit status."""
    print(f"seed {seed}", flush=True)
    started = time.monotonic()
    it = Soak(folder, random.Random(seed), gives_twice=gives_twice)
    try:
        with progress_of(attachments) as progress:
            staying = it.run(attachments, progress)
        lifetimes = it.runtime.lifetimes + [life for pod in staying for life in it.runtime.lifetimes_of(pod, math.inf)]
        verdicts = [*verdicts_of(it.runtime, lifetimes), *it.settle(staying)]
    finally:
        it.agent.process.kill()
        it.agent.process.communicate()
    show(it, verdicts, lifetimes, time.monotonic() - started)
    return int(any(verdict.found for verdict in verdicts))


def verdicts_of(runtime: Runtime, lifetimes: list[Lifetime]) -> list[Verdict]:
    """Judge what the calls printed."""
    pairs = given_twice(lifetimes)
    twice = [f"{one.address}: {one.pod} and {other.pod}" for one, other in pairs]
    pods = [life.pod for pair in pairs for life in pair]
    return [
        Verdict("addresses given twice", len(twice), twice, pods),
        Verdict("answers that were not one JSON object", len(runtime.garbled), runtime.garbled),
        Verdict("internal errors", len(runtime.internal), runtime.internal),
        Verdict("CHECKs that found a difference", runtime.outcomes["CHECK", "code 104"]),
    ]


@contextmanager
def progress_of(total: int) -> Iterator[Callable[[int], None]]:
    """Show the progress: as a bar on a terminal, elsewhere as a line for each tenth."""
    if sys.stderr.isatty():
        columns = (TextColumn("pods"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("", total=total)
            yield lambda done: bar.update(task, completed=done)
        return
    said = 0

    def say(done: int) -> None:
        nonlocal said
        if done * 10 // total > said:
            said = done * 10 // total
            print(f"{done} of {total} pods", file=sys.stderr, flush=True)

    yield say


def show(it: Soak, verdicts: list[Verdict], lifetimes: list[Lifetime], seconds: float) -> None:
    """Print the tables."""
    console = Console(width=100, highlight=False)
    calls = Table("calls", box=None, header_style="bold", pad_edge=False)
    for title in ("in all", "median ms", "p99", "max", "how they ended"):
        calls.add_column(title, justify="left" if title.startswith("how") else "right")
    for command, found in it.runtime.seconds.items():
        ends = {end: count for (name, end), count in it.runtime.outcomes.items() if name == command}
        ranked = sorted(1000 * second for second in found)
        figures = (statistics.median(ranked), ranked[int(0.99 * len(ranked))], ranked[-1])
        words = ", ".join(f"{end} {ends[end]}" for end in sorted(ends, key=lambda end: -ends[end]))
        calls.add_row(command, str(sum(ends.values())), *(f"{figure:.0f}" for figure in figures), words)
    console.print(calls)
    faults = Table("faults", "times", box=None, header_style="bold", pad_edge=False)
    met = {kind: it.proxy.met[kind] for kind in CHANCES}
    for kind, count in {**met, **it.runtime.signals, **it.trouble.done}.items():
        faults.add_row(kind, str(count))
    console.print(faults)
    cuts = ", ".join(f"{method} {lengths}" for method, lengths in it.proxy.cuts.coverage().items())
    console.print(f"lengths at which answers were cut: {cuts}")
    console.print(
        f"{len(lifetimes)} lifetimes of {len({life.address for life in lifetimes})} addresses, {seconds:.0f} s"
    )
    judged = Table("must be 0", "", box=None, header_style="bold", pad_edge=False)
    for verdict in verdicts:
        judged.add_row(verdict.title, str(verdict.found), style="red" if verdict.found else "")
        for example in verdict.examples[:3]:
            judged.add_row(f"  {example}")
    console.print(judged)
    pods = dict.fromkeys(pod for verdict in verdicts for pod in verdict.pods)
    journal = sorted(it.runtime.journal + it.proxy.journal)
    for pod in list(pods)[:2]:
        console.print(f"\nwhat happened to {pod}, in seconds:")
        for at, whose, words in journal:
            if whose == pod:
                console.print(f"{at - journal[0][0]:9.3f} {words}"[:160], soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
