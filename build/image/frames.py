"""How debuggers find a function's caller: one .eh_frame of all libraries, with absolute addresses. Pure.

In a library, the table holds distances from its own place. In the image there is one table for all of them, so each
entry is written anew. What only exceptions need (personality routines and their data) is left out: the libraries' own
tables are in memory for that. (DWARF 4, section 6.4; Linux Standard Base, "Exception Frames".)
"""

import struct
from typing import NamedTuple

_ABSOLUTE = 0x00  # DW_EH_PE_absptr
_PC_RELATIVE, _FORMAT, _OMIT = 0x10, 0x0F, 0xFF
_FORMATS = {0x00: "<Q", 0x02: "<H", 0x03: "<I", 0x04: "<Q", 0x0A: "<h", 0x0B: "<i", 0x0C: "<q"}


class _Common(NamedTuple):
    """A CIE: what several functions have in common."""

    place: int  # in the new table
    encoding: int  # of addresses in its FDEs


class Frame(NamedTuple):
    """A function, as the table knows it."""

    start: int
    end: int


class FrameError(Exception):
    """The table is not understood."""


def rewrite(address: int, data: bytes, place: int) -> tuple[bytes, list[Frame]]:
    """Return a library's table for its new place, without its end, and the functions in it. FrameError."""
    out, frames = bytearray(), []
    commons: dict[int, _Common] = {}
    position = 0
    while position + 4 <= len(data):
        (size,) = struct.unpack_from("<I", data, position)
        if size == 0:
            break
        if size == 0xFFFFFFFF:
            raise FrameError("a table of 64 bits")
        start, end = position + 4, position + 4 + size
        (pointer,) = struct.unpack_from("<I", data, start)
        if pointer == 0:
            encoding, entry = _common(data[start + 4 : end])
            commons[position] = _Common(place + len(out), encoding)
            out += _entry(struct.pack("<I", 0) + entry)
        else:
            common = commons[start - pointer]
            frame, rest = _function(address, data, start + 4, end, common.encoding)
            frames.append(frame)
            back = struct.pack("<I", place + len(out) + 4 - common.place)
            out += _entry(back + struct.pack("<QQ", frame.start, frame.end - frame.start) + b"\0" + rest)
        position = end
    return bytes(out), frames


def _entry(contents: bytes) -> bytes:
    padded = contents + bytes(-(len(contents) + 4) % 8)  # zero is DW_CFA_nop
    return struct.pack("<I", len(padded)) + padded


def _common(data: bytes) -> tuple[int, bytes]:
    """Return the encoding of addresses, and the new CIE behind its number."""
    version = data[0]
    augmentation, _, rest = data[1:].partition(b"\0")
    if version != 1 or not augmentation.startswith(b"z"):
        raise FrameError(f"a CIE of version {version} with {augmentation!r}")
    at = 0
    for _ in range(3):  # the alignments of code and data, the register of the return address
        at += _size_of_number(rest[at:])
    alignments, rest = rest[:at], rest[at:]
    length = rest[0]
    if length > 127:
        raise FrameError("a CIE with much augmentation")
    encoding, at = 0, 1
    for letter in augmentation[1:].decode():
        if letter == "R":
            encoding, at = rest[at], at + 1
        elif letter == "L":
            at += 1
        elif letter == "P":
            at += 1 + (struct.calcsize(_FORMATS[rest[at] & _FORMAT]) if rest[at] != _OMIT else 0)
    signal = b"S" if b"S" in augmentation else b""
    return encoding, bytes([1]) + b"zR" + signal + b"\0" + alignments + bytes([1, _ABSOLUTE]) + rest[1 + length :]


def _function(address: int, data: bytes, at: int, end: int, encoding: int) -> tuple[Frame, bytes]:
    """Return a function's range, and the instructions of its FDE."""
    form = _FORMATS[encoding & _FORMAT]
    width = struct.calcsize(form)
    (start,) = struct.unpack_from(form, data, at)
    (size,) = struct.unpack_from(form.upper() if width == 8 else form, data, at + width)
    if encoding & _PC_RELATIVE:
        start += address + at
    at += 2 * width
    return Frame(start, start + size), data[at + 1 + data[at] : end]


def _size_of_number(data: bytes) -> int:
    return next(index for index, byte in enumerate(data) if byte < 128) + 1
