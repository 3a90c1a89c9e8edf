"""Write down in the image which parts of it calls read. Usage: hot.py PLUGIN

The launcher asks the kernel for these at once where the file is not in memory yet (`warm_up` in build/image.c). They
are found by making plain ADDs, and by looking at what is mapped when the process ends. Two builds have to find the
same:

- The kernel maps file pages in blocks of 64 KiB, and in larger ones where it keeps the file in larger pieces. So these
  are broken up first.
- What is written to is read as a whole, because where it is used depends on the lengths of texts.
- Of the rest, what most of many calls use counts, and so does a block on either side.
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
from elftools.elf.segments import Segment

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


def used(plugin: Path, ranges: list[tuple[int, int]]) -> set[int]:
    """Return where the parts of these ranges' blocks begin that most ADDs use."""
    # No probing: it runs the operator's program, which is not there yet when the bundle is built.
    run = functools.partial(touched, plugin, ranges)
    times = Counter(first for _ in range(_CALLS) for first in trial.under(plugin, run, 0, probes=False))
    return {first for first, number in times.items() if number > _CALLS // 2}


def parts(plugin: Path, loads: list[Segment]) -> list[list[int]]:
    """Return offset and size of each part of the file that an ADD reads."""
    fixed = [one for one in loads if not one["p_flags"] & WRITE]
    firsts = used(plugin, [(one["p_vaddr"], one["p_vaddr"] + one["p_filesz"]) for one in fixed])
    found: list[list[int]] = []
    for one in loads:
        start, end = one["p_vaddr"], one["p_vaddr"] + one["p_filesz"]
        for block in range(start // BLOCK * BLOCK, end, BLOCK):
            first, last = max(block, start), min(block + BLOCK, end)
            near = {max(beside, start) for beside in (block - BLOCK, block, block + BLOCK)}
            if one in fixed and not firsts & near:
                continue
            if found and sum(found[-1]) == one["p_offset"] + first - start:
                found[-1][1] += last - first
            else:
                found.append([one["p_offset"] + first - start, last - first])
    return found


def main(plugin: Path) -> None:
    """Write the parts that an ADD reads into the image's header."""
    path = plugin.parent / trial.IMAGE
    break_up(path)
    with path.open("rb") as file:
        segments = list(ELFFile(file).iter_segments())
        found = parts(plugin, [one for one in segments if one["p_type"] == "PT_LOAD" and one["p_filesz"]])
        note = segments[0]["p_offset"] + 24
    if len(found) > assemble.HOT:
        sys.exit(f"an ADD reads {len(found)} parts of the image, which are more than {assemble.HOT}")
    words = [number for one in found for number in one]
    words += [0] * (2 * assemble.HOT - len(words))
    with path.open("r+b") as file:
        head = bytearray(file.read(elf.HEADER))
        sums_at, at = note + 32, note + 32 + 8 * _WORDS_BEFORE
        head[at : at + 8 * len(words)] = struct.pack(f"<{len(words)}Q", *words)
        head[sums_at : sums_at + 8] = bytes(8)
        head[sums_at : sums_at + 8] = struct.pack("<Q", assemble.checksum(bytes(head)))
        file.seek(0)
        file.write(head)
    print(f"an ADD reads {sum(size for _, size in found) // 1024} KiB of the image, in {len(found)} parts")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
