"""`make bench` [PEER=/path/to/another/plugin]: measure, print, write dist/bench.json and tests/bench/bench.svg.

With PEER the chart is dist/bench.svg, because the README shows tests/bench/bench.svg, which is about upstream's plugin.

One call of each variant is made in turn, with the same embedded agent and the same network namespace, so that what else
runs on the machine affects all variants alike. Each turn has an order of its own: a call is slower after one that has
filled the CPU's caches with other things. Result, exit status and log line of every call are checked. The folder
of pending releases is the bench's own, because each DEL lists it. Ours is measured in both ways: from its image, and
without.
"""

import json
import os
import platform
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests import own_state, requirements
from tests.bench import memory, promises, report, watch_log
from tests.bench.calls import (
    CALLGRIND,
    Sample,
    Started,
    Variant,
    counted_instructions,
    environment,
    finish,
    has_address,
    is_silent,
    judge,
    lists_versions,
    start,
)
from tests.segment import add_namespace, remove_namespace

ROOT = Path(__file__).parents[2]
TREE = ROOT / "dist/spiderpool-ipam"
TOOLS = ("strace", "valgrind", "fincore")
ONE_BY_ONE, WARM_UP, BURST, COLD = 200, 10, 300, 30
POOL = """
apiVersion: spiderpool.spidernet.io/v2beta1
kind: SpiderIPPool
metadata: {name: bench}
spec: {ipVersion: 4, subnet: 10.0.0.0/8, ips: [10.1.0.1-10.9.255.254], default: true}
"""

_STATE = "SPIDERPOOL_BENCH_STATE"  # the folder of pending releases, once the bench has one of its own

Figures = dict[str, dict[str, dict[str, float]]]


def main() -> None:
    """Run the phases in order; the exit status is 1 when a limit is exceeded."""
    if os.geteuid():
        sys.exit("make bench needs root: the Go plugin enters the pod's network namespace")
    if _STATE not in os.environ:
        with tempfile.TemporaryDirectory(prefix="spiderpool-bench.") as state:
            command = own_state.with_own_state(Path(state), sys.executable, "-m", "tests.bench")
            sys.exit(subprocess.run(command, env={**os.environ, _STATE: state}).returncode)
    peer = Path(os.environ.get("PEER") or ROOT / ".tools/bin/spiderpool-go")
    for program in (TREE / "spiderpool", peer, ROOT / ".tools/bin/host-local", "/usr/bin/time", *TOOLS):
        if not shutil.which(program):
            sys.exit(f"{program} is missing: a bench without it would be a shorter table")
    with (
        # In memory, because the agent waits for its disk at each change, and disks are not compared here.
        tempfile.TemporaryDirectory(dir="/dev/shm", prefix="spiderpool-bench.") as folder,
        # On a disk, because what lies in memory is never cold.
        tempfile.TemporaryDirectory(dir=ROOT / "dist", prefix=".bench.") as on_disk,
        pod() as path,
        agent(Path(folder)) as socket_path,
    ):
        bench = Bench(Path(folder), Path(on_disk), socket_path, path, peer)
        bench.run()
        progress("promises")
        others = [*bench.others_to_reach(), *promises.measure(Path(folder)), *watch_log.measure(Path(folder))]
    facts = bench.facts()
    reached = report.show(bench.figures, facts, others)
    machine = {"cpus": os.cpu_count(), "kernel": platform.release(), "python": platform.python_version()}
    figures = {"machine": machine, "peer": str(peer), "phases": bench.figures, "facts": facts}
    (ROOT / "dist/bench.json").write_text(json.dumps(figures, indent=1))
    report.chart(bench.figures, ROOT / ("dist" if os.environ.get("PEER") else "tests/bench") / "bench.svg")
    sys.exit(0 if reached else 1)


@contextmanager
def pod() -> Iterator[str]:
    """Make a network namespace; give its path."""
    name = f"spiderpool-bench-{os.getpid()}"
    add_namespace(name)
    try:
        yield f"/var/run/netns/{name}"
    finally:
        remove_namespace(name)


@contextmanager
def agent(folder: Path) -> Iterator[str]:
    """Serve the embedded agent; give its socket."""
    (folder / "pool.yaml").write_text(POOL)
    socket_path = str(folder / "agent.sock")
    options = ["--socket", socket_path, "--pool", str(folder / "pool.yaml"), "--state", str(folder / "state")]
    # From a copy, because the page cache keeps files that a running process has mapped.
    shutil.copytree(TREE, folder / "agent-tree", symlinks=True)
    command = [str(folder / "agent-tree/spiderpool-ipam"), "agent", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout
        process.stdout.readline()
        yield socket_path
    finally:
        process.terminate()
        process.wait()


def progress(text: str) -> None:
    """Show what is being measured, if stderr is a terminal."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


class Bench:
    """The variants, and what was measured."""

    def __init__(self, folder: Path, on_disk: Path, socket_path: str, netns_path: str, peer: Path) -> None:
        self.netns = netns_path
        self.figures: Figures = {}
        self._number = 0
        self._chance = random.Random(0)
        ipam = {"type": "spiderpool", "ipam_unix_socket_path": socket_path}
        local = {"type": "host-local", "dataDir": str(folder / "host-local.d"), "ranges": [[{"subnet": "10.0.0.0/8"}]]}
        # Copies, so that both ways' files come into the page cache alike.
        self.ours, self.plain = [
            Variant(name, [str(_copied(on_disk / name, *left_out) / "spiderpool")], folder, ipam, [])
            for name, left_out in ((report.OURS, ()), (report.PLAIN, ("_internal/spiderpool.image",)))
        ]
        for variant in (self.ours, self.plain):
            variant.files = self._hot_files(variant)
        self.go = Variant(report.PEER, [str(peer)], folder, ipam, [peer])
        host_local = ROOT / ".tools/bin/host-local"
        self.local = Variant("host-local", [str(host_local)], folder, local, [host_local])
        python = str(Path(sys.executable).resolve())
        self.floor = Variant("python -c pass", [python, "-I", "-S", "-c", "pass"], folder, {}, [])

    def run(self) -> None:
        """Measure everything."""
        plugins = [self.ours, self.plain, self.go, self.local]
        # The time to map a file depends on how it came into the page cache: it was written just now, or read.
        self._one_by_one("ADD, files just written", [self.ours, self.plain], [("ADD", has_address)])
        for variant in plugins:
            variant.evict()
        self._one_by_one("VERSION", plugins, [("VERSION", lists_versions)])
        self._one_by_one("ADD", [*plugins, self.floor], [("ADD", has_address), ("DEL", is_silent)])
        for variant in (self.ours, self.plain):
            self._ours_alone(variant)
        for at_a_time in (8, 32):
            self._burst(f"{BURST} ADDs, {at_a_time} at a time", plugins, at_a_time)
        self._cold(plugins)
        for variant in plugins:
            self.figures.setdefault("peak RSS of ADD", {})[variant.name] = {"mb": self._peak_rss(variant)}
            self.figures.setdefault("private memory of ADD", {})[variant.name] = {
                "mb": memory.private(self._command_and_environment(variant), variant.folder / "stdin") / 1e6
            }
            self.figures.setdefault("on disk", {})[variant.name] = {
                "files": len(variant.files),
                "mb": variant.size() / 1e6,
            }
        progress("")
        self.figures["instructions of ADD"] = {
            variant.name: {"count": self._instructions(variant)} for variant in (self.ours, self.plain)
        }

    def facts(self) -> list[str]:
        """Return the figures that are not distributions of times, a line for each."""
        phases = ("peak RSS of ADD", "private memory of ADD", "on disk")
        lines = [
            f"{phase}: " + ", ".join(_with_units(*item) for item in self.figures[phase].items()) for phase in phases
        ]
        counts = [f"{name} {int(found['count']):,}" for name, found in self.figures["instructions of ADD"].items()]
        return [*lines, f"instructions of ADD: {', '.join(counts)}"]

    def others_to_reach(self) -> list[tuple[str, float, float]]:
        """Return the limits that are not shares of the Go plugin's: title, limit, measured value."""
        medians = {name: found["median_ms"] for name, found in self.figures["ADD"].items()}
        tarball = requirements.need_tarball()
        return [
            ("ADD, times host-local's", 0.95, medians[report.OURS] / medians[self.local.name]),
            ("ADD, millions of instructions", 1.5, self.figures["instructions of ADD"][report.OURS]["count"] / 1e6),
            (
                "ADD without the image, times `python -I -S -c pass`",
                1.5,
                medians[report.PLAIN] / medians[self.floor.name],
            ),
            ("files that an ADD opens, MB", 22, self.ours.size() / 1e6),
            ("files that an ADD without the image opens, MB", 18, self.plain.size() / 1e6),
            ("release tarball, MB", 30, tarball.stat().st_size / 1e6),
        ]

    def _next(self) -> str:
        self._number += 1
        return f"{self._number}"

    def _one_by_one(self, phase: str, variants: list[Variant], steps: list[tuple[str, Callable[[Any], bool]]]) -> None:
        samples: dict[str, dict[str, list[Sample]]] = {command: {v.name: [] for v in variants} for command, _ in steps}
        for turn in range(WARM_UP + ONE_BY_ONE):
            progress(f"{phase}: {turn} of {WARM_UP + ONE_BY_ONE}")
            for variant in self._chance.sample(variants, len(variants)):
                number = self._next()
                for command, right in steps:
                    sample = self._checked_call(variant, command, number, right)
                    if turn >= WARM_UP:
                        samples[command][variant.name].append(sample)
        for command, by_variant in samples.items():
            self._keep(phase if command == steps[0][0] else command, by_variant)

    def _checked_call(self, variant: Variant, command: str, number: str, right: Callable[[Any], bool]) -> Sample:
        if variant is self.floor:
            return finish(start(variant, {}), is_silent)
        before = _length(variant)
        sample = finish(start(variant, environment(command, self.netns, number)), right)
        if variant.logs and command != "VERSION" and _length(variant) == before:
            raise SystemExit(f"{variant.name}: {command} wrote no log line")
        return sample

    def _ours_alone(self, variant: Variant) -> None:
        """Measure CHECK and STATUS of our plugin alone, because the Go plugin's do nothing."""
        variant.write_stdin({**variant.document, "cniVersion": "1.1.0"})
        number = self._next()
        added = start(variant, environment("ADD", self.netns, number))
        finish(added, has_address)
        prev_result = json.loads(added.output.read_text())
        variant.write_stdin({**variant.document, "cniVersion": "1.1.0", "prevResult": prev_result})
        for command in ("CHECK", "STATUS"):
            progress(command)
            calls = [self._checked_call(variant, command, number, is_silent) for _ in range(WARM_UP + ONE_BY_ONE)]
            walls, cpus = [call.wall for call in calls[WARM_UP:]], [call.cpu for call in calls[WARM_UP:]]
            self.figures.setdefault(command, {})[variant.name] = report.summary(walls, cpus)
        variant.write_stdin(variant.document)

    def _burst(self, phase: str, variants: list[Variant], at_a_time: int) -> None:
        for turn in range(3):
            for variant in variants:
                progress(f"{phase}: {variant.name}, {turn + 1} of 3")
                first = self._number + 1
                total, samples = self._at_a_time(variant, at_a_time)
                logged = variant.log.read_text() if variant.logs else ""
                silent = [n for n in range(first, first + BURST) if variant.logs and f'uid-{n}"' not in logged]
                if silent:
                    raise SystemExit(f"{variant.name}: {phase}: {len(silent)} calls wrote no log line")
                kept = self.figures.setdefault(phase, {}).get(variant.name)
                if kept is None or total < kept["total_s"]:
                    walls, cpus = [s.wall for s in samples], [s.cpu for s in samples]
                    self.figures[phase][variant.name] = {**report.summary(walls, cpus), "total_s": total}

    def _at_a_time(self, variant: Variant, at_a_time: int) -> tuple[float, list[Sample]]:
        running: dict[int, Started] = {}
        samples: list[Sample] = []
        environments = [environment("ADD", self.netns, self._next()) for _ in range(BURST)]
        began = time.perf_counter()
        while environments or running:
            while environments and len(running) < at_a_time:
                call = start(variant, environments.pop(), f"out-{len(environments)}")
                running[call.pid] = call
            pid, status, usage = os.wait3(0)
            if pid in running:
                call = running.pop(pid)
                sample = Sample(time.perf_counter() - call.at, usage.ru_utime + usage.ru_stime)
                samples.append(judge(call, status, sample, has_address))
        return time.perf_counter() - began, samples

    def _cold(self, variants: list[Variant]) -> None:
        samples: dict[str, list[Sample]] = {variant.name: [] for variant in variants}
        os.sync()
        for turn in range(COLD):
            progress(f"page cache cold: {turn} of {COLD}")
            for variant in self._chance.sample(variants, len(variants)):
                variant.evict()
                if variant.resident():
                    raise SystemExit(f"{variant.name}: {variant.resident()} bytes are still in the page cache")
                samples[variant.name].append(self._checked_call(variant, "ADD", self._next(), has_address))
        self._keep("ADD, page cache cold", samples)

    def _peak_rss(self, variant: Variant) -> float:
        """Return MB, measured by GNU time: for a child of ours the kernel would count our own memory as well."""
        figures = []
        for _ in range(5):
            figures.append(int(self._add_under(["/usr/bin/time", "-f", "%M"], variant).split()[-1]))
        return sorted(figures)[2] * 1024 / 1e6

    def _instructions(self, variant: Variant) -> int:
        folder = variant.folder / "callgrind"
        folder.mkdir()
        self._add_under([*CALLGRIND, f"--callgrind-out-file={folder}/%p"], variant)
        return counted_instructions(folder)

    def _hot_files(self, variant: Variant) -> list[Path]:
        """Return the files of the bundle that an ADD opens."""
        trace = self._add_under(["strace", "-f", "-e", "trace=open,openat,execve"], variant)
        opened = re.findall(r'(?:AT_FDCWD, |execve\(|open\()"([^"]+)".* = \d+$', trace, re.MULTILINE)
        tree = Path(variant.command[0]).parent
        return sorted({path.resolve() for path in map(Path, opened) if path.is_relative_to(tree) and path.is_file()})

    def _command_and_environment(self, variant: Variant) -> tuple[list[str], dict[str, str]]:
        return variant.command, environment("ADD", self.netns, self._next())

    def _add_under(self, tool: list[str], variant: Variant) -> str:
        """Run an ADD under a tool that writes on stderr; return what it wrote."""
        environ = environment("ADD", self.netns, self._next())
        with (variant.folder / "stdin").open() as stdin:
            command = [*tool, *variant.command]
            done = subprocess.run(command, env=environ, stdin=stdin, capture_output=True, text=True, check=True)
        return done.stderr

    def _keep(self, phase: str, samples: dict[str, list[Sample]]) -> None:
        self.figures[phase] = {
            name: report.summary([s.wall for s in found], [s.cpu for s in found]) for name, found in samples.items()
        }


def _copied(folder: Path, *left_out: str) -> Path:
    """Copy the bundle, without these files; return the copy."""
    shutil.copytree(TREE, folder, symlinks=True)
    for name in left_out:
        (folder / name).unlink()
    return folder


def _length(variant: Variant) -> int:
    return variant.log.read_bytes().count(b"\n") if variant.logs and variant.log.exists() else 0


def _with_units(name: str, found: dict[str, float]) -> str:
    files = f" in {found['files']} file{'s' * (found['files'] != 1)}" if "files" in found else ""
    return f"{name} {found['mb']:.1f} MB{files}"


if __name__ == "__main__":
    main()
