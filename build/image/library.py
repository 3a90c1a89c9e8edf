"""An ELF file that is mapped in the dump: where it lies, its functions, what it refers to. Reads the file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from dump import Dump
from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection

_IRELATIVE = 37  # R_X86_64_IRELATIVE: the function that returns it has chosen a variant for this CPU
_BY_SYMBOL = (1, 6, 7)  # R_X86_64_64, GLOB_DAT, JUMP_SLOT


class Function(NamedTuple):
    """A function that a library exports."""

    name: str
    address: int
    size: int


class Library:
    """One file."""

    def __init__(self, path: Path, base: int) -> None:
        self.name = path.name
        self.path = path
        self.base = base  # what is added to an address in the file
        self._elf = ELFFile(path.open("rb"))
        self.entry = base + self._elf["e_entry"]

    def functions(self) -> list[Function]:
        """Return what it exports, by address."""
        found = {
            Function(symbol.name, self.base + symbol["st_value"], symbol["st_size"])
            for symbol in self._symbols()
            if symbol["st_info"]["type"] in ("STT_FUNC", "STT_LOOS") and symbol["st_shndx"] != "SHN_UNDEF"
        }
        return sorted(found, key=lambda one: (one.address, one.name))

    def choosing_functions(self) -> set[str]:
        """Return the names of the functions whose variant is chosen for the CPU."""
        return {symbol.name for symbol in self._symbols() if symbol["st_info"]["type"] == "STT_LOOS"}

    def chosen_slots(self, choosing: set[str]) -> Iterator[int]:
        """Return the addresses of the words that hold a variant: its own choices, and references to others'."""
        for section in self._elf.iter_sections():
            if not isinstance(section, RelocationSection):
                continue
            symbols: Any = self._elf.get_section(section["sh_link"])
            for relocation in section.iter_relocations():
                kind = relocation["r_info_type"]
                if kind == _IRELATIVE or (
                    kind in _BY_SYMBOL and symbols.get_symbol(relocation["r_info_sym"]).name in choosing
                ):
                    yield self.base + relocation["r_offset"]

    def frames(self) -> tuple[int, bytes]:
        """Return address and contents of .eh_frame; no bytes where it has none."""
        section = self._elf.get_section_by_name(".eh_frame")
        return (self.base + section["sh_addr"], section.data()) if section else (0, b"")

    def _symbols(self) -> Iterator[Any]:
        section: Any = self._elf.get_section_by_name(".dynsym")
        return section.iter_symbols() if section else iter(())


def libraries_of(dump: Dump) -> list[Library]:
    """Return the files that are mapped."""
    first: dict[str, int] = {}
    for mapping in sorted(dump.mappings):
        if mapping.path and mapping.offset == 0 and mapping.path not in first:
            first[mapping.path] = mapping.start
    found = []
    for path, start in first.items():
        with Path(path).open("rb") as file:
            is_fixed = ELFFile(file)["e_type"] == "ET_EXEC"
        found.append(Library(Path(path), 0 if is_fixed else start))
    return found
