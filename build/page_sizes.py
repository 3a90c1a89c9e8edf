"""Refuse a bundle that cannot be loaded with every page size of its architecture. Usage: page_sizes.py TREE.

A kernel for arm64 has pages of 4, 16 or 64 KiB, as its distributor chose. The parts of an ELF file are mapped page by
page, so they have to be aligned to the largest. Linkers do that unless told otherwise; who made a wheel may have.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from elftools.elf.elffile import ELFFile

LARGEST = {"EM_AARCH64": 64 << 10}
USUAL = 4 << 10


def find_faults(tree: Path) -> Iterator[str]:
    """Yield a line for each file of which a part cannot be mapped with the largest pages."""
    for path in sorted(tree.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        with path.open("rb") as file:
            if file.read(4) != b"\x7fELF":
                continue
            elf = ELFFile(file)
            size = LARGEST.get(elf["e_machine"], USUAL)
            loaded = [segment for segment in elf.iter_segments() if segment["p_type"] == "PT_LOAD"]
            least = min((segment["p_align"] for segment in loaded), default=size)
            if least < size:
                yield f"{path.relative_to(tree)} is aligned to {least} bytes, and pages may have {size}"
            elif any((segment["p_vaddr"] - segment["p_offset"]) % size for segment in loaded):
                yield f"{path.relative_to(tree)} has a part that pages of {size} bytes cannot map"


if __name__ == "__main__":
    if faults := list(find_faults(Path(sys.argv[1]))):
        sys.exit("\n".join(faults))
