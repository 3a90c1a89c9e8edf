"""The launcher wherever it is linked, with much to read, with any size of environment; and its limits of recursion."""

import random
from pathlib import Path

import pytest

from cni.plugin.image import ROOM
from tests.image import launchers
from tests.image.bundles import FROM_IMAGE, PROGRAM, Bundles, copy_to, how_it_starts
from tests.image.calls import Answer, Calls

LARGE = 15_000_000  # bytes of stdin; the plugin reads 16 MiB
TOO_LARGE = "without its image: the environment is too large for it"
ONE_VARIABLE = 100_000  # bytes; the kernel takes 128 KiB
LINKED = {
    "near the program": (*launchers.FIXED, "-Wl,-Ttext-segment=0x10000000"),
    "as it is released": (*launchers.FIXED, "-Wl,-Ttext-segment=0x100000000000"),
    "at any address": ("-static-pie", "-Wl,--no-dynamic-linker", "-fPIE"),
}


@pytest.mark.parametrize("options", LINKED.values(), ids=LINKED.keys())
def test_it_reads_15_megabytes_wherever_it_is_linked(calls: Calls, bundles: Bundles, options: tuple[str, ...]) -> None:
    """glibc's malloc would take the launcher's break for its own where that lies above the image."""
    program = launchers.link(copy_to(calls.folder / "bundle", PROGRAM), *options)
    stdin = calls.stdin(filling="x" * LARGE)
    for _ in range(5):  # the kernel chooses other addresses each time
        assert how_it_starts(program) == FROM_IMAGE
        assert calls.call(program, stdin=stdin) == calls.call(bundles.plain, stdin=stdin)


def environment_of(calls: Calls, size: int) -> dict[str, str]:
    """Return a runtime's variables behind `size` bytes of others, with their names and zeros."""
    filling: dict[str, str] = {}
    while size > 0:
        piece = min(size, ONE_VARIABLE)
        name = f"V{len(filling)}"
        filling[name] = "x" * max(piece - len(name) - 2, 0)
        size -= piece
    # The runtime's come last: were anything cut off, it would be of these.
    return {**filling, **calls.environment("ADD")}


def room_left(program: Path, environment: dict[str, str]) -> int:
    """Return how many bytes of the image's room are not used by path, argument and environment."""
    pairs = sum(len(f"{name}={value}") + 1 for name, value in environment.items())
    return ROOM - 16 - 2 * (len(bytes(program)) + 1) - pairs


@pytest.mark.parametrize("size", [0, 10, 1_000, 30_000, 65_536, 131_072, 200_000])
def test_an_environment_of_any_size_arrives_whole(bundles: Bundles, calls: Calls, size: int) -> None:
    environment = environment_of(calls, size)
    answers = [calls.call(program, env=environment) for program in (bundles.imaged, bundles.plain)]
    assert answers[0] == answers[1]
    assert answers[0].status == 0


def test_around_the_limit_it_arrives_whole_or_the_image_is_not_used(bundles: Bundles, calls: Calls) -> None:
    size = room_left(bundles.imaged, calls.environment("ADD"))
    expected = calls.call(bundles.plain)

    def at(more: int, program: Path) -> Answer:
        environment = environment_of(calls, size + more)
        assert room_left(bundles.imaged, environment) == -more
        return calls.call(program, env=environment)

    for more in range(-70, 1):
        assert at(more, bundles.imaged) == expected, more
    for more in range(1, 70):
        assert at(more, bundles.imaged).status == 127, more  # there is no other way in this copy
    # The names of the two copies have different lengths.
    for more in range(-40, 40):
        assert at(more, bundles.whole) == expected, more


def test_what_steers_loader_and_interpreter_takes_no_room(bundles: Bundles, calls: Calls) -> None:
    environment = {f"LD_{number}": "x" * ONE_VARIABLE for number in range(4)} | calls.environment("ADD")
    assert calls.call(bundles.imaged, env=environment).status == 0


def test_strange_environments_arrive_as_without_the_image(bundles: Bundles, calls: Calls) -> None:
    """The last two containers' IDs are refused, with the name as it is in the error."""
    chance = random.Random(0)
    strange = {bytes(chance.choices(range(1, 61), k=9)): bytes(chance.choices(range(1, 256), k=99)) for _ in range(99)}
    for container in (b"c1", b"c\xff\xfe", "ä".encode(), b"", b"=", b"x" * 70_000):
        environment = {**strange, **{name.encode(): value.encode() for name, value in calls.environment("ADD").items()}}
        environment[b"CNI_CONTAINERID"] = container
        answers = [calls.call(program, env=environment) for program in (bundles.imaged, bundles.plain)]
        assert answers[0] == answers[1], container


def test_the_caller_may_give_arguments_and_any_name(bundles: Bundles, calls: Calls) -> None:
    command = ["/bin/bash", "-c", 'exec -a "$0" "$@" more "" arguments', "another name"]
    answers = [calls.call(program, *command) for program in (bundles.imaged, bundles.plain)]
    assert answers[0] == answers[1]
    assert answers[0].status == 0


def test_documents_of_any_depth_are_answered_as_without_the_image(bundles: Bundles, calls: Calls) -> None:
    for depth in (10, 100, 198, 199, 200, 201, 1_000, 100_000, 7_000_000):
        nested = b"[" * depth + b"]" * depth
        stdin = calls.stdin()[:-1] + b', "x": ' + nested + b"}"
        answers = [calls.call(program, stdin=stdin) for program in (bundles.imaged, bundles.plain)]
        assert answers[0] == answers[1], depth
        assert answers[0].status in (0, 1)
