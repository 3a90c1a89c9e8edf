"""Write down in the image which parts of it calls read. Usage: hot.py PLUGIN

The launcher asks the kernel for these at once where the file is not in memory yet (`warm_up` in build/image.c). They
are found by making calls, the installer's trial of an ADD, and by looking at what is mapped when the process ends. Two
builds have to find the same. The kernel maps file pages in blocks of 64 KiB, and in larger ones where it keeps the file
in larger pieces, so these are broken up first. A few blocks are used by some calls only, so many calls are made, what
most of them use counts, and so do two blocks on either side. What is written to is read as a whole: where it is
used depends on the lengths of texts.
"""

import ctypes
import functools
import os
import signal
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import assemble
import elf
from dump import WRITE
from elftools.elf.elffile import ELFFile

from cni.installer.bundle import trial

BLOCK = 65536  # bytes
_CALLS = 32
_PAGE = 4096
_TRACEME, _CONT, _SETOPTIONS, _TRACE_EXIT, _EVENT_EXIT = 0, 7, 0x4200, 0x40, 6
_PRESENT = 1 << 63
_WORDS_BEFORE = 2 + len(assemble.REGISTERS) + 4  # of the note, before the ranges; the build ID is before them
_libc = ctypes.CDLL(None, use_errno=True)


def break_up(path: Path) -> None:
    """Have the kernel keep a file in single pages: it is read anew, a page at a time."""
    with path.open("rb", buffering=0) as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        while file.read(_PAGE):
            pass


def touched(plugin: Path, ranges: list[tuple[int, int]], environ: Mapping[str, str], stdin: bytes) -> set[int]:
    """Run a call; return where the parts of these ranges' blocks begin that it has used."""
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
    found = set(_present(process.pid, ranges))
    _libc.ptrace(_CONT, process.pid, 0, 0)
    process.returncode = os.waitstatus_to_exitcode(os.waitpid(process.pid, 0)[1])
    return found


def _present(pid: int, ranges: list[tuple[int, int]]) -> Iterator[int]:
    with Path(f"/proc/{pid}/pagemap").open("rb") as file:
        for start, end in ranges:
            file.seek(start // _PAGE * 8)
            entries = struct.unpack(f"<{(end - start) // _PAGE}Q", file.read((end - start) // _PAGE * 8))
            for page, entry in enumerate(entries):
                if entry & _PRESENT:
                    yield max(start, (start + page * _PAGE) // BLOCK * BLOCK)


def main(plugin: Path) -> None:
    """Make an ADD, and write the ranges into the image's header."""
    path = plugin.parent / trial.IMAGE
    with path.open("rb") as file:
        loads = [one for one in ELFFile(file).iter_segments() if one["p_type"] == "PT_LOAD" and one["p_filesz"]]
        segments = [(one["p_vaddr"], one["p_vaddr"] + one["p_filesz"], one["p_offset"]) for one in loads]
        note = next(ELFFile(file).iter_segments())["p_offset"] + 24
    break_up(path)
    fixed = [(one["p_vaddr"], one["p_vaddr"] + one["p_filesz"]) for one in loads if not one["p_flags"] & WRITE]
    run = functools.partial(touched, plugin, fixed)
    times = Counter(first for _ in range(_CALLS) for first in trial.under(plugin, run, 0))
    used = {first for first, number in times.items() if number > _CALLS // 2}
    ranges: list[list[int]] = []
    for start, end, offset in segments:
        for block in range(start // BLOCK * BLOCK, end, BLOCK):
            first, last = max(block, start), min(block + BLOCK, end)
            near = {max(block + beside * BLOCK, start) for beside in range(-2, 3)}
            if (start, end) in fixed and not used & near:
                continue
            if ranges and sum(ranges[-1]) == offset + first - start:
                ranges[-1][1] += last - first
            else:
                ranges.append([offset + first - start, last - first])
    if len(ranges) > assemble.HOT:
        sys.exit(f"an ADD reads {len(ranges)} parts of the image, which are more than {assemble.HOT}")
    words = [number for one in ranges for number in one]
    words += [0] * (2 * assemble.HOT - len(words))
    with path.open("r+b") as file:
        head = bytearray(file.read(elf.HEADER))
        sums_at, at = note + 32, note + 32 + 8 * _WORDS_BEFORE
        head[at : at + 8 * len(words)] = struct.pack(f"<{len(words)}Q", *words)
        head[sums_at : sums_at + 8] = bytes(8)
        head[sums_at : sums_at + 8] = struct.pack("<Q", assemble.checksum(bytes(head)))
        file.seek(0)
        file.write(head)
    print(f"an ADD reads {sum(size for _, size in ranges) // 1024} KiB of the image, in {len(ranges)} parts")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
