"""The frozen plugin gets wrong values at every place of what it reads: it prints one object or nothing, and ends."""

import json
import queue
import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from ipaddress import ip_interface
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import requirements
from tests.e2e.full_documents import ADD_RESPONSE, ASKED_BY, ENDPOINT, RIGHT, STDIN
from tests.e2e.kept_namespace import kept_namespace
from tests.e2e.scripted_agent import Request, response, scripted_agent
from tests.plugin.test_main import ANSWERS, Agent, environments, keeps_the_promise, stdins
from tests.waiting import SLACK

WORKERS = 8  # many of the calls wait for a second
LONGEST = 5  # seconds: one of the configuration, two to give back, two to print

# JSON texts, and what is no JSON but is read as such by some.
VALUES = [
    "null", "true", "false", "0", "-1", "4.0", "1.5", "1e400", "9" * 30, "NaN", "-Infinity", "[]", "[null]",
    "[[[[[[]]]]]]", "{}", '{"a":null}', '""', '"text"', '"\\u0000"', '"a\\u0001\\u007f\\u2028b"',
    '"😀 \\ud83d\\ude00 ä"', '"10.0.0.256/33"', '"' + "x" * 100_000 + '"',
]  # fmt: skip

Place = tuple[str | int, ...]


class Case(NamedTuple):
    """A document that is right but for the value at one place: the call's stdin, or its agent's answer."""

    command: str
    status: int  # of the agent's answer that is wrong; 0: stdin is
    document: Any
    place: Place
    value: str

    def __str__(self) -> str:
        where = f"the agent's {self.status}" if self.status else "stdin"
        return f"{self.command}, {where}, {'.'.join(map(str, self.place)) or 'root'} = {self.value[:40]}"


def places(document: Any) -> Iterator[Place]:
    """Yield the place of the document itself, and those of all that it holds."""
    yield ()
    members: dict[Any, Any] = document if isinstance(document, dict) else {}
    if isinstance(document, list):
        members = dict(enumerate(document))
    for key, value in members.items():
        yield from ((key, *place) for place in places(value))


def with_value(document: Any, place: Place, value: str) -> bytes:
    """Write a document with a JSON text at one place."""

    def marked(part: Any, place: Place) -> Any:
        if not place:
            return "@VALUE@"
        copy = part.copy()
        copy[place[0]] = marked(part[place[0]], place[1:])
        return copy

    return json.dumps(marked(document, place)).replace('"@VALUE@"', value).encode()


def all_cases() -> list[Case]:
    """Return each value at each place of what the plugin reads, which it gets from its caller or from the agent."""
    documents: list[tuple[str, int, Any]] = [(command, 0, document) for command, document in STDIN.items()]
    documents += [("ADD", 200, ADD_RESPONSE), ("CHECK", 200, ENDPOINT), ("GC", 200, {"released": ["10.0.0.1"]})]
    documents += [(command, 500, "words") for command in ASKED_BY]
    return [
        Case(command, status, document, place, value)
        for command, status, document in documents
        for place in places(document)
        for value in VALUES
    ]


class Worker:
    """Makes one call at a time, in a namespace, with an agent and in a folder of its own."""

    def __init__(self, folder: Path, enter: list[str | Path]) -> None:
        self.command = [*enter, requirements.need_frozen("spiderpool")]
        self.folder = folder
        self.wrong: dict[tuple[str, str], bytes] = {}

    def answer(self, request: Request) -> bytes:
        operation = request.method, request.path
        return self.wrong.get(operation) or RIGHT.get(operation) or response(200)

    def call(self, command: str, stdin: bytes) -> "subprocess.CompletedProcess[bytes]":
        environ = {"CNI_COMMAND": command, "CNI_CONTAINERID": "c1", "CNI_NETNS": "/n", "CNI_IFNAME": "eth0"}
        environ |= {"CNI_PATH": "/", "CNI_ARGS": "K8S_POD_NAMESPACE=default;K8S_POD_NAME=pod-1;K8S_POD_UID=u1"}
        stdin = stdin.replace(b"@FOLDER@", str(self.folder).encode())
        return subprocess.run(self.command, env=environ, input=stdin, capture_output=True, timeout=60)

    def run(self, case: Case) -> tuple[str, int, float]:
        """Return what is wrong with a call's outcome, its code, and how many seconds it took."""
        damaged = with_value(case.document, case.place, case.value)
        self.wrong = {ASKED_BY[case.command]: response(case.status, damaged)} if case.status else {}
        started = time.monotonic()
        done = self.call(case.command, json.dumps(STDIN[case.command]).encode() if case.status else damaged)
        seconds = time.monotonic() - started
        try:
            code = judged(case.command.encode(), done)
            assert seconds < LONGEST + SLACK
        except (AssertionError, ValueError) as error:
            return f"{case}: {error}; status {done.returncode}, {done.stdout[:300]!r}, {done.stderr!r}", -1, seconds
        return "", code, seconds


def judged(command: bytes, done: "subprocess.CompletedProcess[bytes]") -> int:
    """Return a call's code, 0 for none; AssertionError or ValueError unless the outcome is as promised."""
    assert not done.stderr, "something is on stderr"
    keeps_the_promise(command, done.returncode, done.stdout)
    printed = json.loads(done.stdout or b"{}", parse_constant=no_constant)
    if command == b"ADD" and done.returncode == 0:
        by_family = [printed[key]["ip"] for key in ("ip4", "ip6") if key in printed]
        assert [ip_interface(text) for text in [*by_family, *(ip["address"] for ip in printed.get("ips", ()))]]
    return int(printed.get("code", 0))


def no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


@contextmanager
def workers(folder: Path) -> Iterator["queue.SimpleQueue[Worker]"]:
    """Yield workers that are idle; whoever takes one brings it back."""
    idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
    with ExitStack() as stack:
        for number in range(WORKERS):
            own = folder / str(number)
            own.mkdir()
            worker = Worker(own, stack.enter_context(kept_namespace(own)))
            stack.enter_context(scripted_agent(own / "agent.sock", worker.answer))
            idle.put(worker)
        yield idle


def sweep(folder: Path, cases: list[Case], show: Callable[[str], None]) -> None:
    """Make a call for each case; fail with all cases whose outcome is not what was promised."""
    with workers(folder) as idle, ThreadPoolExecutor(WORKERS) as executor:

        def run(case: Case) -> tuple[str, int, float]:
            worker = idle.get()
            try:
                return worker.run(case)
            finally:
                idle.put(worker)

        started = time.monotonic()
        outcomes = list(executor.map(run, cases))
        took = time.monotonic() - started
    codes = Counter(code for _, code, _ in outcomes)
    longest = max(seconds for _, _, seconds in outcomes)
    show(f"wrong values: {len(cases)} calls in {took:.0f} s, by code {dict(sorted(codes.items()))}")
    show(f"wrong values: {len({(c.command, c.status, c.place) for c in cases})} places; longest call {longest:.1f} s")
    faults = [fault for fault, _, _ in outcomes if fault]
    assert not faults, f"{len(faults)} of {len(cases)} calls:\n" + "\n".join(faults[:20])


@pytest.mark.parametrize("command", STDIN)
def test_without_a_wrong_value_each_call_succeeds(command: str, tmp_path: Path) -> None:
    with kept_namespace(tmp_path) as enter:
        worker = Worker(tmp_path, enter)
        with scripted_agent(tmp_path / "agent.sock", worker.answer) as heard:
            done = worker.call(command, json.dumps(STDIN[command]).encode())
    assert (judged(command.encode(), done), done.returncode) == (0, 0), done
    assert ASKED_BY[command] in {(request.method, request.path) for request in heard}


def test_some_wrong_values_give_one_object_or_silence(tmp_path: Path, show: Callable[[str], None]) -> None:
    sweep(tmp_path, random.Random(1).sample(all_cases(), 150), show)


@pytest.mark.slow
def test_every_wrong_value_at_every_place_gives_one_object_or_silence(
    tmp_path: Path, show: Callable[[str], None]
) -> None:
    cases = all_cases()
    assert len(cases) >= 4000
    sweep(tmp_path, cases, show)


@pytest.mark.slow
def test_any_input_gives_one_object_or_silence(tmp_path: Path, show: Callable[[str], None]) -> None:
    examples = 600
    calls = reached = 0
    agent = Agent(str(tmp_path / "agent.sock"))
    with kept_namespace(tmp_path) as enter:
        command = [*enter, requirements.need_frozen("spiderpool")]

        @settings(max_examples=examples, suppress_health_check=list(HealthCheck), database=None)
        @given(environments(), stdins(agent.path), st.sampled_from(ANSWERS) | st.binary(max_size=50))
        def any_input(environ: dict[bytes, bytes], stdin: bytes, answer: bytes) -> None:
            nonlocal calls, reached
            agent.answer = answer
            agent.heard.clear()
            done = subprocess.run(command, env=environ, input=stdin, capture_output=True, timeout=60)
            calls, reached = calls + 1, reached + bool(agent.heard)
            if environ[b"CNI_COMMAND"]:
                judged(environ[b"CNI_COMMAND"], done)

        any_input()
    agent.close()
    show(f"any input to the frozen plugin: {calls} calls, {100 * reached // calls} % of them reached the agent")
    assert calls >= examples
    assert reached >= 0.3 * calls
