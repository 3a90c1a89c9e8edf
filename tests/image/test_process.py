"""What the kernel knows of a process from the image is what it knows of one without; and what is secret is its own."""

import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import requirements
from tests.e2e.test_signals import wait_until_it_handles_signals
from tests.image.bundles import TIME_LIMIT, Bundles
from tests.image.calls import Calls
from tests.image.launchers import NOTE

# In /proc/PID/status; sizes, times and numbers of processes are not compared.
LINES = ("Umask", "Uid", "Gid", "FDSize", "Groups", "Threads", "SigQ", "SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt")
MORE = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Cpus_allowed", "THP_enabled")
CANARY, POINTER_GUARD = 0x28, 0x30  # in the thread control block (glibc's tcbhead_t)
# What both were made of when the image was made (RANDOM_BYTES of build/image/tracer.h).
OLD_CANARY = bytes.fromhex("00c39669a53c78e1")
OLD_GUARD = bytes.fromhex("1eb44bd22d8759a6")
STACK, BASE, THREAD = 2 + 13, 2 + 15, 2 + 16  # words of `struct image` (build/image.h) after the build ID


def words() -> tuple[int, ...]:
    """Return `struct image` in the frozen image, as words behind the build ID."""
    header = requirements.need_image().read_bytes()[:8192]
    place = int.from_bytes(header[72:80], "little") + NOTE + 32  # behind the build ID
    found: tuple[int, ...] = struct.unpack_from("<19Q", header, place)
    return found


@contextmanager
def waiting(calls: Calls, program: Path, *before: str) -> Iterator[int]:
    """Run a call that waits for its configuration, by the command line `before`; yield its number."""
    reader, writer = os.pipe()
    with calls.start(program, *before, stdin=reader) as process:
        os.close(reader)
        try:
            wait_until_it_handles_signals(process.pid)
            yield process.pid
        finally:
            process.kill()
            process.communicate(timeout=TIME_LIMIT)
            os.close(writer)


def memory(pid: int, address: int, size: int) -> bytes:
    with Path(f"/proc/{pid}/mem").open("rb") as file:
        file.seek(address)
        return file.read(size)


def status(pid: int) -> dict[str, str]:
    found = dict(re.findall(r"^(\w+):[ \t]*(.*)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE))
    return {name: found[name] for name in (*LINES, *MORE) if name in found}


def descriptors(pid: int) -> dict[str, str]:
    return {path.name: re.sub(r"\d+", "N", str(path.readlink())) for path in Path(f"/proc/{pid}/fd").iterdir()}


def test_signals_rights_and_descriptors_are_those_of_a_process_without_the_image(
    bundles: Bundles, calls: Calls
) -> None:
    with waiting(calls, bundles.imaged) as one, waiting(calls, bundles.plain) as other:
        assert status(one) == status(other)
        assert descriptors(one) == descriptors(other)
        assert Path(f"/proc/{one}/limits").read_text() == Path(f"/proc/{other}/limits").read_text()


def test_the_thread_knows_its_own_number(bundles: Bundles, calls: Calls) -> None:
    with waiting(calls, bundles.imaged) as pid:
        assert int.from_bytes(memory(pid, words()[THREAD], 4), "little") == pid


def stack_of(pid: int) -> bytes:
    """Return the part of the image's stack that is used."""
    pointer = words()[STACK]
    for start, end in re.findall(r"^([0-9a-f]+)-([0-9a-f]+) rw", Path(f"/proc/{pid}/maps").read_text(), re.MULTILINE):
        if int(start, 16) <= pointer < int(end, 16):
            return memory(pid, pointer, int(end, 16) - pointer)
    raise AssertionError("the stack is not where it was")


def test_the_stack_canary_and_the_pointer_guard_are_new_in_each_process(bundles: Bundles, calls: Calls) -> None:
    base, seen = words()[BASE], set()
    for _ in range(5):
        with waiting(calls, bundles.imaged) as pid:
            canary, guard = memory(pid, base + CANARY, 8), memory(pid, base + POINTER_GUARD, 8)
            assert canary[0] == 0  # so that no text can hold it
            stack = stack_of(pid)
            assert canary in stack and OLD_CANARY not in stack
            seen |= {canary, guard}
    assert len(seen) == 10
    assert not seen & {OLD_CANARY, OLD_GUARD}


def test_nothing_is_both_writable_and_executable(bundles: Bundles, calls: Calls) -> None:
    with waiting(calls, bundles.imaged) as pid:
        rights = re.findall(r"^\S+ (\S+)", Path(f"/proc/{pid}/maps").read_text(), re.MULTILINE)
    assert not [right for right in rights if "w" in right and "x" in right]
    assert not [right for right in rights if right[3] == "s"]
