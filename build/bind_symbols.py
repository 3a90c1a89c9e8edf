"""Bind a library's references to its own symbols. Usage: bind_symbols.py LIBRARY.

The data of libpython refers to libpython's own symbols 12,800 times, because each static object names its type. The
dynamic loader looks up each of them at every start, in case another library defines the same symbol. None does in our
bundle. So this script turns each such relocation into one that is relative to the library's load address, as linking
with -Bsymbolic would have done. (A program that is linked against the library may hold a copy of its data, which this
would break. PyInstaller's bootloader only opens the library, so it holds none.)
"""

import struct
import sys
from pathlib import Path

# ELF-64, little-endian: the file's header, and one entry of each table.
HEADER, SECTION = struct.Struct("<16sHHIQQQIHHHHHH"), struct.Struct("<IIQQQQIIQQ")
SYMBOL, RELOCATION, DYNAMIC = struct.Struct("<IBBHQQ"), struct.Struct("<QQq"), struct.Struct("<QQ")
# By e_machine (62 is x86-64, 183 is AArch64): the relocation types that mean "the address of this symbol", and the type
# that means "this distance from the load address".
RELOCATION_TYPES = {62: ((1, 6), 8), 183: ((257, 1025), 1027)}
BINDABLE = (0, 1, 2)  # STT_NOTYPE, STT_OBJECT, STT_FUNC: their offset in the library is known before run time
SHN_LORESERVE = 0xFF00  # a section number from here on is none: the symbol has no offset in the library
DT_RELACOUNT = 0x6FFFFFF9


def find_sections(image: bytearray) -> dict[str, slice]:
    """Return the range of bytes of each section, by section name."""
    header = HEADER.unpack_from(image)
    first, count, names = header[6], header[12], header[13]  # e_shoff, e_shnum, e_shstrndx
    entries = [SECTION.unpack_from(image, first + number * SECTION.size) for number in range(count)]
    texts = image[entries[names][4] :]
    return {texts[entry[0] :].split(b"\0", 1)[0].decode(): slice(entry[4], entry[4] + entry[5]) for entry in entries}


def bind(image: bytearray) -> None:
    """Rewrite the relocations of the library's data, in place."""
    section_of = find_sections(image)
    absolute, relative = RELOCATION_TYPES[HEADER.unpack_from(image)[2]]
    symbols = list(SYMBOL.iter_unpack(image[section_of[".dynsym"]]))
    bound: list[tuple[int, int, int]] = []
    others: list[tuple[int, int, int]] = []
    for offset, info, addend in RELOCATION.iter_unpack(image[section_of[".rela.dyn"]]):
        _, kind, _, section, value, _ = symbols[info >> 32]
        if info & 0xFFFFFFFF in absolute and 0 < section < SHN_LORESERVE and kind & 15 in BINDABLE:
            bound.append((offset, relative, value + addend))
        elif info == relative:
            bound.append((offset, info, addend))
        else:
            others.append((offset, info, addend))
    # The loader expects the relative relocations first, and their number in DT_RELACOUNT.
    image[section_of[".rela.dyn"]] = b"".join([RELOCATION.pack(*entry) for entry in [*sorted(bound), *others]])
    dynamic = [
        entry if entry[0] != DT_RELACOUNT else (DT_RELACOUNT, len(bound))
        for entry in DYNAMIC.iter_unpack(image[section_of[".dynamic"]])
    ]
    image[section_of[".dynamic"]] = b"".join([DYNAMIC.pack(*entry) for entry in dynamic])


def main(library: Path) -> None:
    """Bind the symbols of a library file, in place."""
    image = bytearray(library.read_bytes())
    bind(image)
    library.write_bytes(image)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
