"""Measures one CNI call of one variant. Side effects: runs the plugin, and writes its files."""

import json
import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple


class Sample(NamedTuple):
    """What one call took."""

    wall: float  # seconds, from before the start to after the end
    cpu: float  # seconds, user and system


class Variant:
    """One way to run a plugin: the program, its configuration, and the files that belong to it."""

    def __init__(self, name: str, command: list[str], folder: Path, ipam: dict[str, Any], files: list[Path]) -> None:
        self.name = name
        self.command = command
        self.files = files
        self.folder = folder / name
        self.folder.mkdir()
        self.log = self.folder / "log"
        if "ipam_unix_socket_path" in ipam:
            ipam = {**ipam, "log_file_path": str(self.log)}
        document = {"cniVersion": "1.0.0", "name": f"bench-{name}", "type": "calico", "ipam": ipam}
        self.write_stdin(document)
        self.document = document
        self.logs = "log_file_path" in ipam

    def write_stdin(self, document: dict[str, Any]) -> None:
        (self.folder / "stdin").write_text(json.dumps(document))

    def size(self) -> int:
        """Return the bytes on disk."""
        return sum(path.stat().st_size for path in self.files)

    def evict(self) -> None:
        """Remove the files from the kernel's page cache."""
        for path in self.files:
            descriptor = os.open(path, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)

    def resident(self) -> int:
        """Return how many bytes of the files are in the page cache."""
        command = ["fincore", "--bytes", "--noheadings", "--output", "RES", *map(str, self.files)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return sum(int(line) for line in done.stdout.split())


class Started(NamedTuple):
    """A call that is running."""

    variant: Variant
    pid: int
    output: Path
    at: float


def start(variant: Variant, environ: dict[str, str], output: str = "out") -> Started:
    """Start a call, with as little work of our own as possible."""
    path = variant.folder / output
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, str(variant.folder / "stdin"), os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    at = time.perf_counter()
    pid = os.posix_spawn(variant.command[0], variant.command, environ, file_actions=actions)
    return Started(variant, pid, path, at)


def finish(call: Started, right: Callable[[Any], bool]) -> Sample:
    """Wait for a call; raise SystemExit when status or output is wrong."""
    _, status, usage = os.wait4(call.pid, 0)
    return judge(call, status, Sample(time.perf_counter() - call.at, usage.ru_utime + usage.ru_stime), right)


def judge(call: Started, status: int, sample: Sample, right: Callable[[Any], bool]) -> Sample:
    """Return the sample; raise SystemExit when status or output is wrong."""
    text = call.output.read_text()
    try:
        printed = json.loads(text) if text else None
    except ValueError:
        printed = text
    if status or not right(printed):
        raise SystemExit(
            f"{call.variant.name}: exit status {os.waitstatus_to_exitcode(status)}, printed {text[:300]!r}"
        )
    return sample


def has_address(printed: Any) -> bool:
    """Tell whether an ADD printed an address of the pool."""
    return isinstance(printed, dict) and str(printed["ips"][0]["address"]).startswith("10.")


def is_silent(printed: Any) -> bool:
    """Tell whether nothing was printed."""
    return printed is None


def lists_versions(printed: Any) -> bool:
    """Tell whether VERSION printed its list."""
    return isinstance(printed, dict) and "1.0.0" in printed["supportedVersions"]


# Counts the instructions of a program and of what it executes; the output file is still to be added.
CALLGRIND = ["valgrind", "-q", "--tool=callgrind", "--trace-children=yes"]


def counted_instructions(folder: Path) -> int:
    """Return the sum of the counts in a folder of callgrind's files."""
    totals = [re.search(r"^(?:summary|totals): (\d+)", file.read_text(), re.MULTILINE) for file in folder.iterdir()]
    counted = sum(int(total[1]) for total in totals if total)
    assert counted, "callgrind counted nothing"
    return counted


def environment(command: str, netns: str, number: str) -> dict[str, str]:
    """Return what containerd would set for a pod's call."""
    return {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": number.rjust(64, "0").replace("-", "0"),
        "CNI_NETNS": netns,
        "CNI_IFNAME": "eth0",
        "CNI_PATH": "/opt/cni/bin",
        "CNI_ARGS": f"IgnoreUnknown=1;K8S_POD_NAMESPACE=bench;K8S_POD_NAME=pod-{number};K8S_POD_UID=uid-{number}",
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    }
