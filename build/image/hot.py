"""Write down in the image which parts of it calls read, and which every call writes to. Usage: hot.py PLUGIN

They are found by making calls, and by looking at what is mapped when the process ends. Two builds have to find the
same.

Parts that are read (`warm_up` in build/image.c), by plain ADDs:

- The kernel maps file pages in blocks of 64 KiB, and in larger ones where it keeps the file in larger pieces. So these
  are broken up first.
- What is written to is read as a whole, because where it is used depends on the lengths of texts.
- Of the rest, what most of many calls use counts, and so does a block on either side.

Pages that are written to (`copy_written`), by a VERSION that is told the same everywhere. Other calls write to these as
well, and to more.
"""

import os
import struct
import sys
import tempfile
from collections import Counter
from pathlib import Path

import assemble
import elf
import traced
from dump import WRITE
from elftools.elf.elffile import ELFFile
from elftools.elf.segments import Segment

from cni.installer.bundle import trial

BLOCK = 65536  # bytes
_CALLS = 32
_ROOM = 2 + len(assemble.REGISTERS) + 2  # the word of the note that says where the room is
_WORDS_BEFORE = _ROOM + 2  # of the note, before the ranges; the build ID is before them


def break_up(path: Path) -> None:
    """Have the kernel keep a file in single pages: it is read anew, a page at a time."""
    with path.open("rb", buffering=0) as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        while file.read(traced.PAGE):
            pass


def blocks(plugin: Path, ranges: list[tuple[int, int]]) -> set[int]:
    """Return where the parts of these ranges' blocks begin that most ADDs use."""
    # No probing: it runs the operator's program, which is not there yet when the bundle is built.
    times = Counter[int]()
    for _ in range(_CALLS):
        with tempfile.TemporaryDirectory() as name, trial.add(plugin, Path(name), 0, probes=False) as call:
            pages = traced.used(plugin, ranges, call.environ, call.stdin, folder=call.folder)
        used = [page.address for page in pages]
        for start, end in ranges:
            times.update({max(start, page // BLOCK * BLOCK) for page in used if start <= page < end})
    return {first for first, number in times.items() if number > _CALLS // 2}


def parts_read(plugin: Path, loads: list[Segment]) -> list[list[int]]:
    """Return offset and size of each part of the file that an ADD reads."""
    fixed = [one for one in loads if not one["p_flags"] & WRITE]
    firsts = blocks(plugin, [(one["p_vaddr"], one["p_vaddr"] + one["p_filesz"]) for one in fixed])
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


def parts_written(plugin: Path, segments: list[Segment], room: int) -> list[list[int]]:
    """Return address and size of each part of the memory that a VERSION writes to.

    One page between two counts as well: another system call would take longer than to copy it.
    """
    ranges = [(one["p_vaddr"], one["p_vaddr"] + one["p_memsz"]) for one in segments if one["p_flags"] & WRITE]
    told = traced.fixed(b"spiderpool", CNI_COMMAND=b"VERSION")
    calls = [traced.used(plugin, ranges, {"CNI_COMMAND": "VERSION"}, b"", (room, told)) for _ in range(_CALLS)]
    pages = set.intersection(*[{page.address for page in call if page.is_copied} for call in calls])
    found: list[list[int]] = []
    for start, end in ranges:
        for page in sorted(page for page in pages if start <= page < end):
            if found and found[-1][0] >= start and page - sum(found[-1]) <= traced.PAGE:
                found[-1][1] = page + traced.PAGE - found[-1][0]
            else:
                found.append([page, traced.PAGE])
    return found


def words(what: str, parts: list[list[int]], limit: int) -> list[int]:
    """Return parts as the header has them, and say how many they are."""
    if len(parts) > limit:
        sys.exit(f"{what} {len(parts)} parts of the image, which are more than {limit}")
    print(f"{what} {sum(size for _, size in parts) // 1024} KiB of the image, in {len(parts)} parts")
    return [number for one in [*parts, *[[0, 0]] * (limit - len(parts))] for number in one]


def main(plugin: Path) -> None:
    """Write the parts into the image's header."""
    path = plugin.parent / trial.IMAGE
    break_up(path)
    with path.open("rb") as file:
        segments = list(ELFFile(file).iter_segments())
        note = segments[0]["p_offset"] + 24
        file.seek(note + 32 + 8 * _ROOM)
        (room,) = struct.unpack("<Q", file.read(8))
    loads = [one for one in segments if one["p_type"] == "PT_LOAD"]
    numbers = words("an ADD reads", parts_read(plugin, [one for one in loads if one["p_filesz"]]), assemble.HOT)
    numbers += words("a VERSION writes to", parts_written(plugin, loads, room), assemble.WRITTEN)
    with path.open("r+b") as file:
        head = bytearray(file.read(elf.HEADER))
        sums_at, at = note + 32, note + 32 + 8 * _WORDS_BEFORE
        head[at : at + 8 * len(numbers)] = struct.pack(f"<{len(numbers)}Q", *numbers)
        head[sums_at : sums_at + 8] = bytes(8)
        head[sums_at : sums_at + 8] = struct.pack("<Q", assemble.checksum(bytes(head)))
        file.seek(0)
        file.write(head)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
