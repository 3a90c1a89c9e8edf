"""Calls the frozen plugin as a container runtime and a kubelet do for their pods. Side effects: those calls.

A pod's ADD is tried again until it gets its addresses; a DEL until it succeeds, and then it comes a second time. Some
calls are killed or told to end at a random moment.
"""

import json
import random
import signal
import subprocess
import threading
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

KILLED, TOLD_TO_END = 0.03, 0.03  # shares of the calls
_KILLED_WITHIN = 0.1  # seconds; so long takes a call while fifteen others run
_LIFE = 0.2  # seconds at most
_PAUSE = 0.02  # seconds before the next try
_MOST_TRIES = 200
_HANG = 60  # seconds
NETNS = "/var/run/netns/soak"  # nobody opens it: the agent asks for no detection
SILENT = ("DEL", "CHECK", "STATUS", "GC")


class Outcome(NamedTuple):
    """How one call ended."""

    started: float  # monotonic seconds
    ended: float
    status: int
    printed: dict[str, Any]  # {} for nothing, and for an object that is not complete

    @property
    def was_killed(self) -> bool:
        """Whether a signal ended it before it could print. (SIGTERM does so while the interpreter starts.)"""
        return self.status in (-signal.SIGKILL, -signal.SIGTERM)


class Lifetime(NamedTuple):
    """An address as its pod's runtime sees it: from the end of the ADD to the beginning of the DEL."""

    address: str
    pod: str
    begin: float
    end: float


class Pod(NamedTuple):
    """A pod, and the container ID of its present sandbox."""

    name: str
    container: str
    added: Outcome | None = None

    def again(self, *, is_new_sandbox: bool) -> "Pod":
        return Pod(self.name, uuid.uuid4().hex * 2 if is_new_sandbox else self.container)

    @property
    def addresses(self) -> list[str]:
        return [ip["address"] for ip in self.added.printed["ips"]] if self.added else []


class SoakError(Exception):
    """A pod that cannot be started or removed, whatever is tried."""


class Runtime:
    """Runs pods, and records what happened."""

    def __init__(self, plugin: Path, ipam: dict[str, Any], dice: random.Random) -> None:
        self.is_calm = False  # kill no call
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.seconds: dict[str, list[float]] = {}  # of the calls that no signal ended
        self.signals: Counter[str] = Counter()
        self.lifetimes: list[Lifetime] = []
        self.garbled: list[str] = []
        self.internal: list[str] = []  # errors with code 999
        self.journal: list[tuple[float, str, str]] = []  # monotonic seconds, pod, what happened
        self._plugin = plugin
        self._document = {"cniVersion": "1.1.0", "name": "soak", "type": "calico", "ipam": ipam}
        self._dice = dice
        self._lock = threading.Lock()

    def start(self, number: int) -> Pod:
        """Start a pod; return it with its addresses."""
        pod = Pod(f"pod-{number}", uuid.uuid4().hex * 2)
        for _ in range(_MOST_TRIES):
            added = self.call("ADD", pod)
            if added.status == 0:
                pod = pod._replace(added=added)
                self.call("CHECK", pod, more={"prevResult": added.printed})
                return pod
            # After an ADD that printed an error, containerd calls DEL and Calico does not. After a killed one, both do.
            if added.was_killed or self._dice.random() < 0.5:
                self._delete(pod)
            pod = pod.again(is_new_sandbox=self._dice.random() < 0.7)
            time.sleep(_PAUSE)
        raise SoakError(f"{pod.name} got no address in {_MOST_TRIES} tries: {added.printed}")

    def stop(self, pod: Pod) -> None:
        """Remove a pod, and once more, as containerd does."""
        deleted = time.monotonic()
        self._delete(pod)
        self._delete(pod, netns="")
        assert pod.added
        with self._lock:
            self.lifetimes += self.lifetimes_of(pod, deleted)

    def lifetimes_of(self, pod: Pod, end: float) -> list[Lifetime]:
        assert pod.added
        return [Lifetime(address, pod.name, pod.added.ended, end) for address in pod.addresses]

    def run(self, number: int) -> None:
        """Start a pod, let it live for a moment, remove it."""
        pod = self.start(number)
        time.sleep(self._dice.random() * _LIFE)
        self.stop(pod)

    def _delete(self, pod: Pod, netns: str = NETNS) -> None:
        for _ in range(_MOST_TRIES):
            deleted = self.call("DEL", pod, netns)
            if deleted.status == 0:
                return
            time.sleep(_PAUSE)
        raise SoakError(f"{pod.name} cannot be removed in {_MOST_TRIES} tries: {deleted.printed}")

    def call(self, command: str, pod: Pod | None, netns: str = NETNS, more: dict[str, Any] | None = None) -> Outcome:
        """Make one call, perhaps interrupt it, and record how it ended."""
        environ = {"CNI_COMMAND": command, "CNI_PATH": "/opt/cni/bin"}
        if pod:
            args = f"IgnoreUnknown=1;K8S_POD_NAMESPACE=soak;K8S_POD_NAME={pod.name};K8S_POD_UID=uid-{pod.name}"
            environ |= {
                "CNI_CONTAINERID": pod.container, "CNI_NETNS": netns, "CNI_IFNAME": "eth0", "CNI_ARGS": args,
            }  # fmt: skip
        number, delay = self._interruption()
        started = time.monotonic()
        with subprocess.Popen(
            [self._plugin], env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            stdin = json.dumps({**self._document, **(more or {})}).encode()
            try:
                stdout, stderr = process.communicate(stdin, delay if number else _HANG)
            except subprocess.TimeoutExpired:
                process.send_signal(number or signal.SIGKILL)
                stdout, stderr = process.communicate()
                self._count(command, number)
        outcome = self._judged(command, started, process.returncode, stdout, stderr)
        if pod:
            words = f"{command} {pod.container[:6]}: status {outcome.status} {outcome.printed or ''}"
            self.journal += [(started, pod.name, f"{command} begins"), (outcome.ended, pod.name, words)]
        return outcome

    def _interruption(self) -> tuple[int, float]:
        throw = self._dice.random()
        number = 0 if self.is_calm or throw >= KILLED + TOLD_TO_END else signal.SIGTERM
        return signal.SIGKILL if number and throw < KILLED else number, self._dice.random() * _KILLED_WITHIN

    def _count(self, command: str, number: int) -> None:
        with self._lock:
            if number:
                self.signals["plugin killed" if number == signal.SIGKILL else "plugin told to end"] += 1
            else:
                self.garbled.append(f"{command}: no end within {_HANG} s")

    def _judged(self, command: str, started: float, status: int, stdout: bytes, stderr: bytes) -> Outcome:
        ended = time.monotonic()
        printed = _object(stdout)
        outcome = Outcome(started, ended, status, printed or {})
        end = "killed" if outcome.was_killed else f"code {outcome.printed.get('code')}" if status else "ok"
        with self._lock:
            if printed is None or not _fits(command, outcome) or stderr:
                self.garbled.append(f"{command}, status {status}: {stdout[:300]!r} {stderr[:300]!r}")
            if outcome.printed.get("code") == 999:
                self.internal.append(f"{command}: {outcome.printed}")
            self.outcomes[command, end] += 1
            if not outcome.was_killed:
                self.seconds.setdefault(command, []).append(ended - started)
        return outcome


def _object(stdout: bytes) -> dict[str, Any] | None:
    """Return the printed JSON object; {} for nothing, None for anything else."""
    if not stdout:
        return {}
    try:
        printed = json.loads(stdout)
    except ValueError:
        return None
    return printed if isinstance(printed, dict) and printed else None


def _fits(command: str, outcome: Outcome) -> bool:
    """Tell whether a runtime can read the outcome; a killed call may have printed nothing, or a whole object."""
    printed = outcome.printed
    is_error = isinstance(printed.get("code"), int) and bool(printed.get("msg"))
    is_success = not printed if command in SILENT else bool(printed.get("ips"))
    if outcome.was_killed:
        return not printed or (outcome.status == -signal.SIGKILL and (is_error or is_success))
    return is_success if outcome.status == 0 else outcome.status == 1 and is_error


def given_twice(lifetimes: list[Lifetime]) -> list[tuple[Lifetime, Lifetime]]:
    """Return the pairs of different pods that had an address at the same time."""
    pairs = []
    last: dict[str, Lifetime] = {}  # for each address, the lifetime that ends last so far
    for lifetime in sorted(lifetimes, key=lambda one: one.begin):
        before = last.get(lifetime.address)
        if before and before.pod != lifetime.pod and lifetime.begin < before.end:
            pairs.append((before, lifetime))
        if not before or lifetime.end > before.end:
            last[lifetime.address] = lifetime
    return pairs
