"""What the tracer has written down of a process: its registers and its memory. Pure, but for reading the file."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

PAGE = 4096
WRITE, EXECUTE = 2, 4
RED_ZONE = 128  # bytes below the stack pointer that a function may use (System V ABI)


class Mapping(NamedTuple):
    """A range of memory of one kind."""

    start: int
    protection: int
    offset: int  # of its file
    path: str  # its file, as the building machine calls it; "" for none
    data: bytearray

    @property
    def end(self) -> int:
        """The first address behind it."""
        return self.start + len(self.data)


@dataclass
class Dump:
    """A stopped process."""

    registers: dict[str, int]
    addresses: dict[str, int]  # of what the launcher sets: tid, robust_list, room; and room_size
    mappings: list[Mapping]

    def mapping_of(self, address: int) -> Mapping | None:
        """Return the mapping that an address lies in."""
        return next((one for one in self.mappings if one.start <= address < one.end), None)

    def word(self, address: int) -> int:
        """Return the eight bytes at an address."""
        mapping = self.mapping_of(address)
        if mapping is None:
            raise ValueError(f"nothing is mapped at {address:#x}")
        start = address - mapping.start
        return int.from_bytes(mapping.data[start : start + 8], "little")


def read(path: Path) -> Dump:
    """Read the tracer's output, and clear what nobody reads any more: the stack below its pointer."""
    head, _, contents = path.read_bytes().partition(b"\n\n")
    dump = Dump({}, {}, [])
    position = 0
    for line in head.decode().split("\n"):
        kind, *values = line.split(" ", 5)
        if kind == "mapping":
            start, end, protection, offset = (int(value, 16) for value in values[:4])
            data = bytearray(contents[position : position + end - start])
            position += end - start
            dump.mappings.append(Mapping(start, protection, offset, values[4] if len(values) > 4 else "", data))
        else:
            (dump.registers if kind == "register" else dump.addresses)[values[0]] = int(values[1], 16)
    stack = dump.mapping_of(dump.registers["rsp"])
    if stack is None:
        raise ValueError("the stack is not in the dump")
    dead = dump.registers["rsp"] - RED_ZONE - stack.start
    stack.data[:dead] = bytes(dead)
    return dump
