"""The rehearsal before the image is made leaves nothing behind: every global of the plugin's modules, and what Python
keeps for a process, is what it was."""

import gc
import posix
import sys
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

import pytest

from cni.plugin import image, interrupts, operations
from cni.plugin.call import Call
from tests.image.test_hot_modules import MODULES


def contents(value: Any, depth: int = 4) -> Any:
    """Return which object this is and what it holds, in a form that can be compared with a later one."""
    held: Any = None
    if isinstance(value, dict):
        held = list(value.items())
    elif isinstance(value, list | tuple | set | frozenset):
        held = list(value)
    elif isinstance(value, bytearray):
        held = bytes(value)
    elif isinstance(value, FunctionType) or (isinstance(value, type) and value.__module__.startswith("cni.")):
        held = list(vars(value).items())
    if isinstance(held, list) and depth:
        # A pair of a dictionary's is made for this list: it has no identity of its own.
        pairs = isinstance(value, dict | type | FunctionType)
        held = [[contents(part, depth - 1) for part in (one if pairs else [one])] for one in held]
    return id(value), held if isinstance(held, list | bytes) else None


def state() -> dict[str, Any]:
    """Return all that a call could leave behind, by name."""
    globals_of = {
        f"{module}.{name}": contents(value)
        for module in MODULES
        if module in sys.modules
        for name, value in vars(sys.modules[module]).items()
        if name not in ("__builtins__", "__spec__", "__loader__")
    }
    return globals_of | {
        "sys.modules": sorted(sys.modules),
        "sys.path": contents(sys.path),
        "sys.argv": contents(sys.argv),
        "environ": dict(posix.environ),
        "descriptors": sorted(set(posix.listdir("/proc/self/fd"))),
        "garbage": list(gc.garbage),
    }


@pytest.fixture(autouse=True)
def everything_is_imported() -> Iterator[None]:
    """As in the image. The first time, what functions import is imported."""
    image.rehearse()
    yield


def test_nothing_is_left_behind() -> None:
    before = state()
    image.rehearse()
    after = state()
    assert [name for name in before | after if before.get(name) != after.get(name)] == []


@pytest.mark.parametrize(
    "leave",
    [
        lambda: interrupts._told.append("SIGTERM"),
        lambda: setattr(interrupts, "_wakeup", 3),
        lambda: operations.LIMITS.update(STATUS=(1, 1, 1)),
        lambda: setattr(Call, "count", 1),
        lambda: setattr(operations.run, "calls", 1),
        lambda: posix.environ.update({b"REHEARSAL": b"1"}),
    ],
)
def test_what_is_left_behind_is_noticed(leave: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupts, "_told", [])
    monkeypatch.setattr(interrupts, "_wakeup", -1)
    monkeypatch.setattr(operations, "LIMITS", dict(operations.LIMITS))
    monkeypatch.setattr(operations.run, "__dict__", {})
    before = state()
    leave()
    try:
        assert state() != before
    finally:
        posix.environ.pop(b"REHEARSAL", None)
        if hasattr(Call, "count"):
            del Call.count


def test_it_makes_whole_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    printed: list[dict[str, Any]] = []
    monkeypatch.setattr(image, "encode", printed.append)
    image.rehearse()
    assert [list(one or ()) for one in printed] == [["cniVersion", "ips"], [], ["cniVersion", "supportedVersions"]]
