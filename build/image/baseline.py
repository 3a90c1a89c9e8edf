"""Whether the image runs on every amd64 machine: which variants of libc's and libm's functions are bound. Runs objdump.

glibc has variants of its functions for newer CPUs, and chooses one where the program starts. The tracer has it choose
those for the oldest CPU. That this was done is seen in its result: in every word that a choice was written to, and in
the instructions of every function that was chosen. (An emulator would not show all of it: where a CPU lacks LZCNT, it
executes another instruction in its place without a word.)
"""

import bisect
import re
import subprocess
from collections.abc import Sequence

from dump import Dump
from frames import Frame
from library import Library

# What x86-64 did not have from the beginning, by the beginnings of objdump's names: SSE3 and newer, the extensions for
# bits, and all that begins with v (AVX), but for two old instructions.
_NEWER = re.compile(
    r"v(?!er[rw]\b)|[tl]zcnt|popcnt|andn\b|bextr|bls(i|r|msk)|bzhi|pdep|pext\b|mulx|rorx|[sr]arx|sh[lr]x|movbe|crc32|xsave"
    r"|xrstor|xgetbv|rd(rand|seed|[fg]sbase)|wr[fg]sbase|ad[co]x|lddqu|mov(ddup|shdup|sldup)|h(add|sub)p|addsubp|fisttp"
    r"|pshufb|palignr|pabs|ph(add|sub)|pmaddubs|pmulhrs|psign|pmin(sb|u[wd]|sd)|pmax(sb|u[wd]|sd)|ptest|pextr[bdq]"
    r"|pinsr[bdq]|pmov[sz]x|round[ps]|p?blend|dpp|insertps|extractps|mpsadbw|pcmp(eqq|gtq|[ei]str)|packusdw|pmul(dq|ld)"
    r"|phminpos|movntdqa|aes|pclmul|sha(1|256)|cmpxchg16b|sahf|lahf|prefetchw"
)

_INSTRUCTION = re.compile(
    r"^ *([0-9a-f]+):\t(?:(?:rep[nz]*|lock|bnd|notrack|data16|[cdefgs]s|\{\w+\}) +)*(\S+)", re.MULTILINE
)


class BaselineError(Exception):
    """A function was chosen that not every CPU can execute."""


def require(dump: Dump, libraries: Sequence[Library], frames: Sequence[Frame]) -> int:
    """Raise BaselineError unless every choice is the oldest variant; return the number of choices."""
    choosing: set[str] = set().union(*[library.choosing_functions() for library in libraries])
    slots = [slot for library in libraries for slot in library.chosen_slots(choosing)]
    # glibc has two functions run as choices that choose nothing: they look at the CPU, and return 0.
    chosen = sorted({dump.word(slot) for slot in slots} - {0})
    code = {library.name: _instructions(library) for library in libraries if _has_any(library, dump, chosen)}
    starts = [frame.start for frame in frames]
    for address in chosen:
        mapping = dump.mapping_of(address)
        name = mapping.path.rpartition("/")[2] if mapping else ""
        frame = frames[max(bisect.bisect_right(starts, address) - 1, 0)]
        if name not in code or not frame.start <= address < frame.end:
            raise BaselineError(f"a function was chosen, at {address:#x}, that no library has")
        addresses, names = code[name]
        for index in range(bisect.bisect_left(addresses, frame.start), bisect.bisect_left(addresses, frame.end)):
            if _NEWER.match(names[index]):
                raise BaselineError(f"{name} has chosen a function with {names[index]}, at {addresses[index]:#x}")
    return len(slots)


def _has_any(library: Library, dump: Dump, addresses: Sequence[int]) -> bool:
    return any((found := dump.mapping_of(one)) and found.path == str(library.path) for one in addresses)


def _instructions(library: Library) -> tuple[list[int], list[str]]:
    """Return the addresses of a library's instructions, and their names."""
    command = ["objdump", "--disassemble", "--no-show-raw-insn", str(library.path)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = _INSTRUCTION.findall(text)
    return [library.base + int(address, 16) for address, _ in found], [name for _, name in found]
