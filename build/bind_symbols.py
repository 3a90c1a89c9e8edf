"""Bind a library's references to its own symbols. Usage: bind_symbols.py LIBRARY.

libpython's data name libpython's own symbols 12,800 times (each static object names its type), and the dynamic loader
looks each of them up at every start, in case another library puts something else in its place. None does here. So each
such relocation becomes one that is relative to where the library is loaded, as linking with -Bsymbolic would have made
it. (A program that is linked against the library may have a copy of its data; PyInstaller's only opens it.)
"""

import struct
import sys
from pathlib import Path

# ELF-64, little-endian: the file's header, and the rows of its tables.
HEADER, SECTION = struct.Struct("<16sHHIQQQIHHHHHH"), struct.Struct("<IIQQQQIIQQ")
SYMBOL, RELOCATION, DYNAMIC = struct.Struct("<IBBHQQ"), struct.Struct("<QQq"), struct.Struct("<QQ")
# By e_machine, x86-64 and AArch64: the types "this symbol's address", and the type "this far from the load address".
TYPES = {62: ((1, 6), 8), 183: ((257, 1025), 1027)}
BINDABLE = (0, 1, 2)  # STT_NOTYPE, STT_OBJECT, STT_FUNC: those whose place in the library is known before run time
SHN_LORESERVE = 0xFF00  # from here on it is no section's number, and the symbol is at no place in the library
DT_RELACOUNT = 0x6FFFFFF9


def sections(image: bytearray) -> dict[str, slice]:
    """Return where in the file each section is, by name."""
    header = HEADER.unpack_from(image)
    first, count, names = header[6], header[12], header[13]  # e_shoff, e_shnum, e_shstrndx
    rows = [SECTION.unpack_from(image, first + number * SECTION.size) for number in range(count)]
    texts = image[rows[names][4] :]
    return {texts[row[0] :].split(b"\0", 1)[0].decode(): slice(row[4], row[4] + row[5]) for row in rows}


def bind(image: bytearray) -> None:
    """Rewrite the relocations of the library's data."""
    place = sections(image)
    absolute, relative = TYPES[HEADER.unpack_from(image)[2]]
    symbols = list(SYMBOL.iter_unpack(image[place[".dynsym"]]))
    bound: list[tuple[int, int, int]] = []
    others: list[tuple[int, int, int]] = []
    for at, info, addend in RELOCATION.iter_unpack(image[place[".rela.dyn"]]):
        _, kind, _, section, value, _ = symbols[info >> 32]
        if info & 0xFFFFFFFF in absolute and 0 < section < SHN_LORESERVE and kind & 15 in BINDABLE:
            bound.append((at, relative, value + addend))
        elif info == relative:
            bound.append((at, info, addend))
        else:
            others.append((at, info, addend))
    # The loader wants the relative ones first, and to be told their number.
    image[place[".rela.dyn"]] = b"".join([RELOCATION.pack(*row) for row in [*sorted(bound), *others]])
    dynamic = [
        row if row[0] != DT_RELACOUNT else (DT_RELACOUNT, len(bound))
        for row in DYNAMIC.iter_unpack(image[place[".dynamic"]])
    ]
    image[place[".dynamic"]] = b"".join([DYNAMIC.pack(*row) for row in dynamic])


def main(library: Path) -> None:
    """Rewrite the file."""
    image = bytearray(library.read_bytes())
    bind(image)
    library.write_bytes(image)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
