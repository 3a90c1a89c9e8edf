"""A damaged image is noticed, and the plugin starts without it: header, size, another release, something else."""

import os
import random
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.image.bundles import FROM_IMAGE, Bundles, copy_to, how_it_starts, own_image
from tests.image.calls import Calls
from tests.image.launchers import NOTE, build_id

HEADER = 8192  # bytes
PIECE = 65_536
CHECKSUM_START, CHECKSUM_FACTOR = 0xCBF29CE484222325, 0x100000001B3
WORD = 1 << 64
CUT = "without its image: it is cut off, or longer than it was"
CUT_SHORT = "without its image: it is cut off"


class Copy:
    """A copy of the bundle with an image of its own."""

    def __init__(self, folder: Path) -> None:
        self.program = copy_to(folder)
        self.image = own_image(self.program)
        self.whole = self.image.read_bytes()

    def write(self, place: int, contents: bytes) -> None:
        """Change the image in its place."""
        with self.image.open("r+b") as file:
            file.seek(place)
            file.write(contents)

    def way(self) -> str:
        """Return which way it starts; faster than `how_it_starts`, for tens of thousands of starts."""
        reader, writer = os.pipe()
        streams = [(os.POSIX_SPAWN_DUP2, writer, 1)]
        command = [str(self.program), "--how-it-starts"]
        pid = os.posix_spawn(self.program, command, {}, file_actions=streams)
        os.close(writer)
        said = os.read(reader, 4096).decode()
        os.close(reader)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return said.strip() if status == 0 else f"status {status}"


@pytest.fixture
def copy(calls: Calls, bundles: Bundles) -> Iterator[Copy]:
    made = Copy(calls.folder / "bundle")
    assert made.way() == FROM_IMAGE
    yield made
    made.image.unlink()  # 20 MB


def flips(every: bool) -> list[int]:
    """Return numbers of bits: of the whole header, or all of the first words and one in a hundred of the others."""
    chance = random.Random(0)
    return [bit for bit in range(HEADER * 8) if every or bit < 1024 or chance.random() < 0.01]


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["some", "every"])
def test_each_bit_of_the_header(copy: Copy, every: bool, show: Callable[[str], None]) -> None:
    ways: Counter[str] = Counter()
    for bit in flips(every):
        place = bit // 8
        before = copy.whole[place]
        copy.write(place, bytes([before ^ 1 << bit % 8]))
        ways[copy.way()] += 1
        copy.write(place, bytes([before]))
    assert set(ways) <= {"without its image: its header is damaged", "without its image: it belongs to another release"}
    assert copy.way() == FROM_IMAGE
    show(f"{ways.total()} bits of the header flipped, one at a time: {dict(ways)}")


def test_the_answer_with_a_flipped_bit(copy: Copy, calls: Calls, bundles: Bundles) -> None:
    expected = calls.call(bundles.plain)
    for bit in random.Random(1).sample(range(HEADER * 8), 60):
        place = bit // 8
        copy.write(place, bytes([copy.whole[place] ^ 1 << bit % 8]))
        assert calls.call(copy.program) == expected, bit
        copy.write(place, copy.whole[place : place + 1])


def test_cut_at_any_place(copy: Copy, calls: Calls, bundles: Bundles, show: Callable[[str], None]) -> None:
    expected = calls.call(bundles.plain)
    sizes = [len(copy.whole) - 1, *range((len(copy.whole) - 1) // PIECE * PIECE, -1, -PIECE), HEADER, HEADER - 1, 1, 0]
    for number, size in enumerate(sorted(sizes, reverse=True)):
        os.truncate(copy.image, size)
        assert copy.way() in (CUT, CUT_SHORT)
        if number % 20 == 0 or size <= HEADER:
            assert calls.call(copy.program) == expected, size
    show(f"the image cut at {len(sizes)} places: each time the plugin has started without it")


def test_longer_than_it_was(copy: Copy) -> None:
    copy.write(len(copy.whole), b"\0")
    assert copy.way() == CUT


def sealed(header: bytes) -> bytes:
    """Give a changed header the checksum that the launcher works out."""
    place = struct.unpack_from("<Q", header, 72)[0] + NOTE + 32  # behind the build ID
    total = CHECKSUM_START
    for start in range(0, HEADER, 8):
        word = 0 if start == place else int.from_bytes(header[start : start + 8], "little")
        total = (total ^ word) * CHECKSUM_FACTOR % WORD
    return header[:place] + total.to_bytes(8, "little") + header[place + 8 :]


def test_the_image_of_another_release(copy: Copy, calls: Calls, bundles: Bundles) -> None:
    header = copy.whole[:HEADER]
    assert sealed(header) == header
    place = header.index(build_id(copy.image))
    for number in (0, 31):
        other = bytearray(header)
        other[place + number] ^= 1
        copy.write(0, sealed(bytes(other)))
        assert copy.way() == "without its image: it belongs to another release"
    assert calls.call(copy.program) == calls.call(bundles.plain)


@pytest.mark.parametrize("kind", ["folder", "link to nothing", "link to itself", "device", "empty"])
def test_something_else_in_its_place(copy: Copy, calls: Calls, bundles: Bundles, kind: str) -> None:
    copy.image.unlink()
    if kind == "folder":
        copy.image.mkdir()
    elif kind.startswith("link"):
        copy.image.symlink_to("nothing" if kind == "link to nothing" else copy.image)
    elif kind == "device":
        copy.image.symlink_to("/dev/zero")
    else:
        copy.image.touch()
    why = how_it_starts(copy.program).removeprefix("without its image: ")
    assert why.startswith("it is ") or why == "it cannot be opened"
    assert calls.call(copy.program) == calls.call(bundles.plain)
    if kind == "folder":
        copy.image.rmdir()
    copy.image.unlink(missing_ok=True)
    copy.image.touch()


def test_a_pipe_in_its_place_keeps_nobody_waiting(copy: Copy, calls: Calls, bundles: Bundles) -> None:
    copy.image.unlink()
    os.mkfifo(copy.image)
    assert calls.call(copy.program, "timeout", "--signal=KILL", "3") == calls.call(bundles.plain)
