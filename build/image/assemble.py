"""Put the image together: the dump's memory in segments, and in the note what the launcher needs beside it. Pure."""

import struct
from collections.abc import Sequence

import elf
import guards
from dump import PAGE, WRITE, Dump
from elf import Segment
from library import Function

LONG = 96 * PAGE  # so many zeros are worth a segment without contents: each segment is a system call
# In the order of struct image_registers.
REGISTERS = (
    *("r15", "r14", "r13", "r12", "rbp", "rbx", "r9", "r8", "r10", "rdx", "rsi", "rdi", "rax", "rsp", "rip", "fs_base"),
)
# What this CPython, glibc and bootloader have at the stop. Another number means that something is not understood.
EXPECTED_CANARIES, EXPECTED_MANGLED = 9, 4
HOT, WRITTEN = 96, 128  # IMAGE_HOT and IMAGE_WRITTEN of build/image.h
_THREAD_ID = 0x2D0  # in the thread control block of glibc 2.36
_CHECKSUM_START, _CHECKSUM_FACTOR = 0xCBF29CE484222325, 0x100000001B3


class ImageError(Exception):
    """Why there is no image."""


def assemble(dump: Dump, build_id: bytes, entry: int, functions: Sequence[Function], frames: bytes) -> bytes:
    """Return the image. `entry` is where the process began; `frames` is its .eh_frame. ImageError."""
    segments = segments_of(dump)
    sections = elf.sections_of(segments, functions, frames)
    end = elf.HEADER + sum(len(one.data or b"") for one in segments)
    tail, sections_at = elf.tail(sections, end)
    size = end + len(tail)
    unsealed = elf.head(segments, note_of(dump, build_id, size, 0), entry, sections_at, len(sections))
    head = elf.head(segments, note_of(dump, build_id, size, checksum(unsealed)), entry, sections_at, len(sections))
    return b"".join([head, *[one.data for one in segments if one.data], tail])


def segments_of(dump: Dump) -> list[Segment]:
    """Return the memory in as few segments as possible: each costs the launcher a system call."""
    joined: list[Segment] = []
    for mapping in sorted(dump.mappings):
        pieces = split(mapping.data) if mapping.protection & WRITE else [(0, len(mapping.data), False)]
        for start, end, is_empty in pieces:
            data = None if is_empty else bytes(mapping.data[start:end])
            segment = Segment(mapping.start + start, mapping.protection, end - start, data)
            if joined and _is_continued(joined[-1], segment):
                before = joined.pop()
                both = None if data is None or before.data is None else before.data + data
                segment = Segment(before.address, before.protection, before.size + segment.size, both)
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


def note_of(dump: Dump, build_id: bytes, size: int, total: int) -> bytes:
    """Return `struct image` of build/image.h. ImageError."""
    found = guards.find(dump)
    if (len(found.canaries), len(found.mangled)) != (EXPECTED_CANARIES, EXPECTED_MANGLED):
        raise ImageError(f"{len(found.canaries)} canaries and {len(found.mangled)} mangled pointers were found")
    if dump.addresses["tid"] != dump.registers["fs_base"] + _THREAD_ID:
        raise ImageError("the thread's number is not where this glibc has it")
    words = [total, size, *[dump.registers[name] for name in REGISTERS]]
    words += [dump.addresses[name] for name in ("tid", "robust_list", "room", "room_size")]
    words += [0, 0] * (HOT + WRITTEN)  # hot.py fills them in
    words += [len(found.canaries), len(found.mangled), *found.canaries, *found.mangled]
    return build_id + struct.pack(f"<{len(words)}Q", *words)


def checksum(head: bytes) -> int:
    """Return what the launcher works out: FNV-1a, over words. A change of any one word changes it."""
    total = _CHECKSUM_START
    for (word,) in struct.iter_unpack("<Q", head):
        total = (total ^ word) * _CHECKSUM_FACTOR % (1 << 64)
    return total


def _is_continued(before: Segment, after: Segment) -> bool:
    return (
        before.address + before.size == after.address
        and before.protection == after.protection
        and (before.data is None) == (after.data is None)
    )
