"""Where a process keeps its stack canary, and the pointers that glibc has mangled. Pure.

Both are made of AT_RANDOM, so they are the same in every process of an image, unless the launcher sets them anew. So
all that are still used have to be found: a function that returns compares the canary in its frame, on the stack, with
the one in the thread control block; longjmp and exit unmangle what setjmp and atexit have stored.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from dump import EXECUTE, WRITE, Dump, Mapping

RANDOM = bytes.fromhex("5ac39669a53c78e11eb44bd22d8759a6")  # RANDOM_BYTES of tracer.h
_CANARY, _POINTER_GUARD = 0x28, 0x30  # in the thread control block (glibc's tcbhead_t)
_WORD = 1 << 64
_JUMP_BUFFER = (-48, -8, 0)  # bytes from a jmp_buf's program counter to the frame pointer, stack pointer, itself


class Guards(NamedTuple):
    """Addresses of words that are to be set anew."""

    canaries: list[int]
    mangled: list[int]


class GuardError(Exception):
    """They are not where they are expected."""


def find(dump: Dump) -> Guards:
    """Return all copies. GuardError."""
    canary = int.from_bytes(b"\0" + RANDOM[1:8], "little")
    guard = int.from_bytes(RANDOM[8:], "little")
    block = dump.registers["fs_base"]
    if dump.word(block + _CANARY) != canary or dump.word(block + _POINTER_GUARD) != guard:
        raise GuardError("the thread control block is not glibc's: canary and pointer guard are elsewhere")
    stack = dump.mapping_of(dump.registers["rsp"])
    assert stack
    # Elsewhere, a canary is padding that was copied from a stack: pydantic-core's validators hold some of it.
    canaries = [block + _CANARY, *[address for address, value in _words(stack) if value == canary]]
    writable = [mapping for mapping in dump.mappings if mapping.protection & WRITE]
    words = [word for mapping in writable for word in _words(mapping)]
    mangled = {address for address, value in words if value and _is_code(dump, _unmangled(value, guard))}
    for address in [one for one in mangled if stack.start <= one < stack.end]:  # libc's start-up keeps a jmp_buf there
        mangled |= {address + distance for distance in _JUMP_BUFFER}
    return Guards(canaries, sorted(mangled))


def _words(mapping: Mapping) -> Iterator[tuple[int, int]]:
    """Return each address with its word."""
    return ((mapping.start + 8 * n, word) for n, (word,) in enumerate(struct.iter_unpack("<Q", mapping.data)))


def _unmangled(value: int, guard: int) -> int:
    return ((value >> 17 | value << 47) % _WORD) ^ guard


def _is_code(dump: Dump, address: int) -> bool:
    mapping = dump.mapping_of(address)
    return mapping is not None and bool(mapping.protection & EXECUTE)
