"""Write down in the image which parts of it calls read, and which every call writes to. Usage: hot.py PLUGIN

The launcher asks the kernel for the first at once where the file is not in memory yet (`warm_up` in build/image.c), and
has it copy the second at once (`copy_written`). They are found by making calls, the installer's trial of an ADD and a
VERSION, and by looking at what is mapped when the process ends. Two builds have to find the same. The kernel maps file
pages in blocks of 64 KiB, and in larger ones where it keeps the file in larger pieces, so these are broken up first.
And a few blocks are used by one call in eight, so many calls are made, and what most of them use counts.
"""

import ctypes
import functools
import os
import signal
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import assemble
import elf
from elftools.elf.elffile import ELFFile

from cni.installer.bundle import trial

BLOCK = 65536  # bytes
_CALLS = 32
_PAGE = 4096
_TRACEME, _CONT, _SETOPTIONS, _TRACE_EXIT, _EVENT_EXIT = 0, 7, 0x4200, 0x40, 6
_PRESENT, _OF_THE_FILE = 1 << 63, 1 << 61
_WORDS_BEFORE = 2 + len(assemble.REGISTERS) + 4  # of the note, before the ranges; the build ID is before them
_libc = ctypes.CDLL(None, use_errno=True)

Range = tuple[int, int]


class Page(NamedTuple):
    """A page that a process has in its memory."""

    address: int
    is_copied: bool  # it was written to


class Segment(NamedTuple):
    """A segment of the image."""

    start: int
    end: int
    offset: int | None  # in the file; None where it is empty


def break_up(path: Path) -> None:
    """Have the kernel keep a file in single pages: it is read anew, a page at a time."""
    with path.open("rb", buffering=0) as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        while file.read(_PAGE):
            pass


def touched(plugin: Path, ranges: list[Range], environ: Mapping[str, str], stdin: bytes) -> list[Page]:
    """Run a call; return the pages of these ranges that it has used."""
    process = subprocess.Popen(
        [plugin], env=environ, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        preexec_fn=lambda: _libc.ptrace(_TRACEME, 0, 0, 0),  # noqa: PLW1509
    )  # fmt: skip
    os.waitpid(process.pid, 0)
    _libc.ptrace(_SETOPTIONS, process.pid, 0, _TRACE_EXIT)
    assert process.stdin
    process.stdin.write(stdin)
    process.stdin.close()
    number = 0
    while True:
        _libc.ptrace(_CONT, process.pid, 0, number)
        _, status = os.waitpid(process.pid, 0)
        if os.WIFEXITED(status) or os.WIFSIGNALED(status):
            sys.exit("the plugin has ended, and nobody saw it")
        if status >> 8 == signal.SIGTRAP | _EVENT_EXIT << 8:
            break
        number = os.WSTOPSIG(status)
    found = list(_present(process.pid, ranges))
    _libc.ptrace(_CONT, process.pid, 0, 0)
    process.returncode = os.waitstatus_to_exitcode(os.waitpid(process.pid, 0)[1])
    return found


def _present(pid: int, ranges: list[Range]) -> Iterator[Page]:
    with Path(f"/proc/{pid}/pagemap").open("rb") as file:
        for start, end in ranges:
            file.seek(start // _PAGE * 8)
            entries = struct.unpack(f"<{(end - start) // _PAGE}Q", file.read((end - start) // _PAGE * 8))
            for page, entry in enumerate(entries):
                if entry & _PRESENT:
                    yield Page(start + page * _PAGE, not entry & _OF_THE_FILE)


def most(calls: Iterable[Iterable[int]]) -> set[int]:
    """Return what more than half of the calls have."""
    times = Counter(one for call in calls for one in set(call))
    return {one for one, number in times.items() if number > _CALLS // 2}


def read_parts(used: set[int], segments: list[Segment]) -> list[list[int]]:
    """Return offset and size of the parts of the file that are read: the used blocks, and those beside them."""
    blocks = {block + beside for block in used for beside in (-BLOCK, 0, BLOCK)}
    parts: list[list[int]] = []
    for one in segments:
        for block in range(one.start // BLOCK * BLOCK, one.end, BLOCK):
            first, last = max(block, one.start), min(block + BLOCK, one.end)
            if block not in blocks or one.offset is None:
                continue
            if parts and sum(parts[-1]) == one.offset + first - one.start:
                parts[-1][1] += last - first
            else:
                parts.append([one.offset + first - one.start, last - first])
    return parts


def written_parts(pages: set[int], segments: list[Segment]) -> list[list[int]]:
    """Return address and size of the parts of memory that are written to. One page between two counts: a system call
    takes as long as to copy it."""
    parts: list[list[int]] = []
    for one in segments:
        for page in sorted(page for page in pages if one.start <= page < one.end):
            if parts and parts[-1][0] >= one.start and page - sum(parts[-1]) <= _PAGE:
                parts[-1][1] = page + _PAGE - parts[-1][0]
            else:
                parts.append([page, _PAGE])
    return parts


def main(plugin: Path) -> None:
    """Make the calls, and write what they have used into the image's header."""
    path = plugin.parent / trial.IMAGE
    with path.open("rb") as file:
        loads = [one for one in ELFFile(file).iter_segments() if one["p_type"] == "PT_LOAD"]
        note = next(ELFFile(file).iter_segments())["p_offset"] + 24
    segments = [
        Segment(one["p_vaddr"], one["p_vaddr"] + one["p_memsz"], one["p_offset"] if one["p_filesz"] else None)
        for one in loads
    ]
    break_up(path)
    run = functools.partial(touched, plugin, [(one.start, one.end) for one in segments])
    adds = [trial.under(plugin, run, 0) for _ in range(_CALLS)]
    versions = [run({"CNI_COMMAND": "VERSION"}, b"") for _ in range(_CALLS)]
    read = read_parts(most((page.address // BLOCK * BLOCK for page in call) for call in adds), segments)
    written = [most((page.address for page in call if page.is_copied) for call in calls) for calls in (adds, versions)]
    copied = written_parts(written[0] & written[1], segments)
    for what, parts, limit in (("reads", read, assemble.HOT), ("writes to", copied, assemble.WRITTEN)):
        if len(parts) > limit:
            sys.exit(f"an ADD {what} {len(parts)} parts of the image, which are more than {limit}")
        print(f"an ADD {what} {sum(size for _, size in parts) // 1024} KiB of the image, in {len(parts)} parts")
    words = [number for parts, limit in ((read, assemble.HOT), (copied, assemble.WRITTEN))
             for one in [*parts, *[[0, 0]] * (limit - len(parts))] for number in one]  # fmt: skip
    with path.open("r+b") as file:
        head = bytearray(file.read(elf.HEADER))
        sums_at, at = note + 32, note + 32 + 8 * _WORDS_BEFORE
        head[at : at + 8 * len(words)] = struct.pack(f"<{len(words)}Q", *words)
        head[sums_at : sums_at + 8] = bytes(8)
        head[sums_at : sums_at + 8] = struct.pack("<Q", assemble.checksum(bytes(head)))
        file.seek(0)
        file.write(head)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
