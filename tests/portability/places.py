"""The places in which the bundle has to run, by name."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tests import requirements
from tests.portability import debian, traps
from tests.portability.flips import flipped
from tests.portability.place import Place, opened

NOBODY = 65534


def empty(*more: str) -> AbstractContextManager[Place]:
    """Make a chroot with a static busybox, the bundle and, for the sockets, the temporary folder; nothing else."""
    return opened("empty_root", *more, "bundle", busybox=requirements.need_program("busybox"))


def other_debian(suite: str) -> AbstractContextManager[Place]:
    return opened("debian_root", "proc", "bundle", debian=debian.root_of(suite))


@contextmanager
def trapped() -> Iterator[Place]:
    """Make a chroot with the host's system and traps; the user is nobody, and the working folder has been deleted."""
    with (
        tempfile.TemporaryDirectory() as folder,
        opened(
            "empty_root", "proc", "host_system", "set_traps", "bundle", "stand_nowhere",
            folder="/mnt/read only/ä", busybox=requirements.need_program("busybox"), traps=traps.lay(Path(folder)),
        ) as place,
    ):  # fmt: skip
        place.uid, place.surroundings = NOBODY, traps.variables()
        yield place


@contextmanager
def behind_flips() -> Iterator[Place]:
    with flipped("empty_root", "proc") as (place, _):
        yield place


PLACES: dict[str, Callable[[], AbstractContextManager[Place]]] = {
    "empty": lambda: empty("proc"),
    "empty-without-proc": empty,
    "debian-11": lambda: other_debian("bullseye"),
    "debian-13": lambda: other_debian("trixie"),
    "trapped": trapped,
    "behind-flips": behind_flips,
}
# debootstrap makes the Debians, and the tests of the other places show nothing that these two do not.
SLOW = set(PLACES) - {"empty", "trapped"}
