"""Make the plugin's image of the tracer's dump. Usage: assemble.py DUMP BUILD_ID OUTPUT

The image is an ELF file that nothing but our launcher runs: each range of memory is a segment at its own address, so
that gdb, perf and the kernel's log find their way in a process that was made of it. What the launcher needs beside the
segments is in a note (struct image in build/image/image.h). Header, segments' table and note are the first HEADER
bytes, with a checksum over them.
"""

import struct
import sys
from pathlib import Path
from typing import NamedTuple

import guards
from dump import PAGE, WRITE, Dump, read

HEADER = 8192  # bytes
LONG = 16 * PAGE  # so many zeros are worth a segment without contents
REGISTERS = (
    *("r15", "r14", "r13", "r12", "rbp", "rbx", "r9", "r8", "r10", "rdx", "rsi", "rdi", "rax", "rsp", "rip", "fs_base"),
)
EXPECTED_CANARIES, EXPECTED_MANGLED = 9, 4
_NAME = b"spiderpool\0\0"
_FILE = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_LOAD, _NOTE = 1, 4
_CHECKSUM_START, _CHECKSUM_FACTOR = 0xCBF29CE484222325, 0x100000001B3


class ImageError(Exception):
    """Why there is no image."""


class Segment(NamedTuple):
    """A range of memory."""

    address: int
    protection: int
    size: int
    data: bytes | None  # None: zeros


def segments_of(dump: Dump) -> list[Segment]:
    """Return the memory in as few segments as possible: each costs the launcher a system call."""
    found: list[Segment] = []
    for mapping in sorted(dump.mappings):
        pieces = split(mapping.data) if mapping.protection & WRITE else [(0, len(mapping.data), False)]
        for start, end, is_empty in pieces:
            data = None if is_empty else bytes(mapping.data[start:end])
            found.append(Segment(mapping.start + start, mapping.protection, end - start, data))
    joined: list[Segment] = []
    for segment in found:
        before = joined[-1] if joined else None
        if (
            before
            and before.address + before.size == segment.address
            and before.protection == segment.protection
            and (before.data is None) == (segment.data is None)
        ):
            data = None if segment.data is None or before.data is None else before.data + segment.data
            joined[-1] = Segment(before.address, before.protection, before.size + segment.size, data)
        else:
            joined.append(segment)
    return joined


def split(data: bytearray) -> list[tuple[int, int, bool]]:
    """Return (start, end, is it empty) of the parts of a mapping: long runs of empty pages, and what is between."""
    empty = [not any(data[start : start + PAGE]) for start in range(0, len(data), PAGE)]
    parts: list[tuple[int, int, bool]] = []
    start = 0
    while start < len(empty):
        end = start
        while end < len(empty) and empty[end] == empty[start]:
            end += 1
        is_empty = empty[start] and (end - start) * PAGE >= LONG
        if parts and parts[-1][2] == is_empty:
            parts[-1] = (parts[-1][0], end * PAGE, is_empty)
        else:
            parts.append((start * PAGE, end * PAGE, is_empty))
        start = end
    return parts


def note_of(dump: Dump, build_id: bytes, size: int, checksum: int) -> bytes:
    """Return `struct image` of image.h. ImageError."""
    found = guards.find(dump)
    if (len(found.canaries), len(found.mangled)) != (EXPECTED_CANARIES, EXPECTED_MANGLED):
        raise ImageError(f"{len(found.canaries)} canaries and {len(found.mangled)} mangled pointers were found")
    tid = dump.addresses["tid"]
    if tid != dump.registers["fs_base"] + 0x2D0:
        raise ImageError("the thread's number is not where this glibc has it")
    words = [checksum, size, *(dump.registers[name] for name in REGISTERS)]
    words += [dump.addresses[name] for name in ("tid", "robust_list", "room", "room_size")]
    words += [len(found.canaries), len(found.mangled), *found.canaries, *found.mangled]
    return build_id + struct.pack(f"<{len(words)}Q", *words)


def assemble(dump: Dump, build_id: bytes) -> bytes:
    """Return the image."""
    segments = segments_of(dump)
    table, contents, offset = [], [], HEADER
    for one in segments:
        table.append(
            _SEGMENT.pack(
                _LOAD,
                # ELF's bits are the other way round than mmap's.
                (one.protection & 1) << 2 | one.protection & 2 | (one.protection & 4) >> 2,
                offset if one.data else 0,
                one.address,
                one.address,
                len(one.data) if one.data else 0,
                one.size,
                PAGE,
            )
        )
        contents.append(one.data or b"")
        offset += len(one.data or b"")
    head = header(table, dump, build_id, offset, 0)
    return header(table, dump, build_id, offset, checksum(head)) + b"".join(contents)


def header(table: list[bytes], dump: Dump, build_id: bytes, size: int, total: int) -> bytes:
    """Return the first HEADER bytes."""
    description = note_of(dump, build_id, size, total)
    note = struct.pack("<III", len(_NAME), len(description), 1) + _NAME + description
    place = _FILE.size + _SEGMENT.size * (len(table) + 1)
    entry = _SEGMENT.pack(_NOTE, 4, place, 0, 0, len(note), len(note), 8)
    file = _FILE.pack(
        b"\x7fELF\x02\x01\x01", 2, 62, 1, dump.registers["rip"], _FILE.size, 0, 0, _FILE.size, _SEGMENT.size,
        len(table) + 1, 64, 0, 0,
    )  # fmt: skip
    out = file + entry + b"".join(table) + note
    if len(out) > HEADER:
        raise ImageError(f"the header takes {len(out)} bytes, which are more than {HEADER}")
    return out.ljust(HEADER, b"\0")


def checksum(head: bytes) -> int:
    """Return what the launcher works out: FNV-1a, over words. A change of any one word changes it."""
    total = _CHECKSUM_START
    for (word,) in struct.iter_unpack("<Q", head):
        total = (total ^ word) * _CHECKSUM_FACTOR % (1 << 64)
    return total


if __name__ == "__main__":
    Path(sys.argv[3]).write_bytes(assemble(read(Path(sys.argv[1])), bytes.fromhex(sys.argv[2])))
