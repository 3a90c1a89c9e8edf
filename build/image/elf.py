"""The image as an ELF file: nothing runs it but our launcher, but gdb, perf and the kernel's log can read it. Pure.

HEADER bytes   ELF header, table of segments (the first is the note), the note
the segments   each at a multiple of the page size
the sections   what debuggers want: names of functions, and how to find a function's caller
"""

import bisect
import struct
from collections.abc import Sequence
from typing import NamedTuple

from dump import EXECUTE, PAGE
from library import Function

HEADER = 8192  # bytes
_NAME = b"spiderpool\0\0"
_FILE = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_LOAD, _NOTE = 1, 4
_BITS, _SYMBOLS, _STRINGS = 1, 2, 3  # SHT_PROGBITS, SHT_SYMTAB, SHT_STRTAB
_GLOBAL_FUNCTION = 0x12


class Segment(NamedTuple):
    """A range of memory."""

    address: int
    protection: int  # as mmap has it
    size: int
    data: bytes | None  # None: zeros


class Section(NamedTuple):
    """A part of the file with a name."""

    name: str
    kind: int
    contents: bytes | None  # None where it is a segment
    address: int = 0
    offset: int = 0
    size: int = 0
    link: int = 0  # the number of another section
    information: int = 0
    entry_size: int = 0


def head(segments: Sequence[Segment], description: bytes, entry: int, sections_at: int, sections: int) -> bytes:
    """Return the first HEADER bytes. `entry` is where a backtrace ends. ValueError: there is no room for all of it."""
    note = struct.pack("<III", len(_NAME), len(description), 1) + _NAME + description
    place = _FILE.size + _SEGMENT.size * (len(segments) + 1)
    table = [_SEGMENT.pack(_NOTE, 4, place, 0, 0, len(note), len(note), 8)]
    for one, offset in zip(segments, offsets(segments), strict=True):
        # ELF's bits are in the other order than mmap's.
        flags = (one.protection & 1) << 2 | one.protection & 2 | (one.protection & 4) >> 2
        in_file = len(one.data) if one.data else 0
        start = offset if one.data else 0
        table.append(_SEGMENT.pack(_LOAD, flags, start, one.address, one.address, in_file, one.size, PAGE))
    numbers = (_FILE.size, sections_at, 0, _FILE.size, _SEGMENT.size, len(table), _SECTION.size, sections, 1)
    file = _FILE.pack(b"\x7fELF\x02\x01\x01", 2, 62, 1, entry, *numbers)
    out = file + b"".join(table) + note
    if len(out) > HEADER:
        raise ValueError(f"the header takes {len(out)} bytes, which are more than {HEADER}")
    return out.ljust(HEADER, b"\0")


def offsets(segments: Sequence[Segment]) -> list[int]:
    """Return where in the file each segment is."""
    found, offset = [], HEADER
    for one in segments:
        found.append(offset)
        offset += len(one.data or b"")
    return found


def sections_of(segments: Sequence[Segment], functions: Sequence[Function], frames: bytes) -> list[Section]:
    """Return the sections; the second holds the names of all, and the code's come last."""
    code = [
        Section(f".text.{one.address:x}", _BITS, None, one.address, offset, one.size)
        for one, offset in zip(segments, offsets(segments), strict=True)
        if one.protection & EXECUTE
    ]
    first, names, symbols = 5, bytearray(b"\0"), bytearray(_SYMBOL.size)
    starts = [one.address for one in code]
    for function in functions:
        number = bisect.bisect_right(starts, function.address) - 1
        symbols += _SYMBOL.pack(len(names), _GLOBAL_FUNCTION, 0, first + number, function.address, function.size)
        names += function.name.encode() + b"\0"
    found = [
        Section("", 0, None),
        Section(".shstrtab", _STRINGS, b""),
        Section(".strtab", _STRINGS, bytes(names)),
        Section(".symtab", _SYMBOLS, bytes(symbols), link=2, information=1, entry_size=_SYMBOL.size),
        Section(".eh_frame", _BITS, frames),
        *code,
    ]
    found[1] = found[1]._replace(contents=b"\0".join([one.name.encode() for one in found]) + b"\0")
    return found


def tail(sections: Sequence[Section], offset: int) -> tuple[bytes, int]:
    """Return the sections' contents and their table, which are put at `offset`, and where the table is."""
    names = (sections[1].contents or b"").split(b"\0")
    starts = [sum(len(name) + 1 for name in names[:number]) for number in range(len(sections))]
    out, table = bytearray(), bytearray()
    for one, name in zip(sections, starts, strict=True):
        place, size = one.offset, one.size
        if one.contents is not None:
            place, size = offset + len(out), len(one.contents)
            out += one.contents + bytes(-size % 8)
        flags = 6 if one.kind == _BITS and one.contents is None else 0  # SHF_ALLOC, SHF_EXECINSTR
        table += _SECTION.pack(
            name,
            one.kind,
            flags,
            one.address,
            place,
            size,
            one.link,
            one.information,
            8 if one.kind else 0,
            one.entry_size,
        )
    return bytes(out + table), offset + len(out)
