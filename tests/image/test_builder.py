"""Nothing of the machine that the image is built on is in it: the same bytes anywhere, and no name of the builder's.

One build shows most of it at once: in another folder, under other variables, pinned to one core (tests/image/moved.py).
The slow tests change one thing at a time.
"""

import os
import re
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import requirements
from tests.image import builds
from tests.image.bundles import IMAGE
from tests.image.moved import Moved

NOBODY = 65534
STATE = b"/var/lib/spiderpool-ipam/"


def assert_same(image: Path) -> None:
    """Compare with the image of the frozen bundle; say where they differ first, because they are large."""
    one, other = requirements.need_image().read_bytes(), image.read_bytes()
    assert len(one) == len(other)
    different = [at for at in range(0, len(one), 4096) if one[at : at + 4096] != other[at : at + 4096]]
    assert not different, f"{len(different)} pages differ, the first at {different[0]:#x}"


def test_another_build_gives_the_same_bytes_and_names_nobody(moved: Moved, show: Callable[[str], None]) -> None:
    assert_same(moved.image)
    contents = moved.image.read_bytes()
    words = [str(moved.builder.parent), str(requirements.ROOT), moved.builder.name, *moved.variables.values()]
    assert [word for word in words if len(word) > 2 and word.encode() in contents] == []
    show(f"two images, built in two folders: {len(contents)} bytes, the same, with no name of folder, user or variable")


def test_every_path_in_it_comes_from_a_file_of_the_bundle() -> None:
    """The libraries hold names of folders in which their own makers built them; the image adds none but the plugin's
    own, which it puts together when its modules are imported.
    """
    image = requirements.need_image()
    files = [path for path in image.parent.rglob("*") if path.is_file() and path != image]
    bundle = b"\0".join(path.read_bytes() for path in [*files, builds.PARTS / "image.bin"])
    found = set(re.findall(rb"/(?:root|home|tmp|usr|var|opt|work|srv|mnt|build)/[\w./-]+", image.read_bytes()))
    assert len(found) > 10
    added = {path for path in found if path not in bundle}
    assert {path for path in added if not path.startswith(STATE)} == set()


@pytest.mark.slow
def test_the_file_system_that_it_is_built_on_does_not_show() -> None:
    """A kernel may map large files of one file system at other places than those of another one."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        assert_same(builds.build(Path(folder, "bundle")))


@pytest.mark.slow
@pytest.mark.parametrize("core", ["first", "last"])
def test_the_core_that_it_is_built_on_does_not_show(tmp_path: Path, core: str) -> None:
    cores = sorted(os.sched_getaffinity(0))
    taskset = requirements.need_program("taskset")
    assert_same(builds.build(tmp_path / "x", taskset, "--cpu-list", str(cores[0] if core == "first" else cores[-1])))


@pytest.mark.slow
@pytest.mark.parametrize(
    "before",
    [
        ["setarch", "x86_64", "-R"],
        ["setarch", "x86_64", "-L", "-3", "-X", "-Z"],
        ["sh", "-c", 'ulimit -s unlimited; exec "$@"', "sh"],
        ["sh", "-c", 'ulimit -s 256; ulimit -c 0; exec "$@"', "sh"],
        ["sh", "-c", 'ulimit -n 64; umask 077; cd /; exec "$@"', "sh"],
        ["nice", "-n", "19"],
        ["sh", "-c", 'exec "$@" 5</dev/null 9</dev/null', "sh"],
    ],
    ids=lambda before: " ".join(before[:-1]),
)
def test_the_surroundings_of_the_build_do_not_show(tmp_path: Path, before: list[str]) -> None:
    requirements.need_program("setarch")
    assert_same(builds.build(tmp_path / "x", *before))


@pytest.mark.slow
def test_another_user_builds_the_same() -> None:
    """Without rights, in a user namespace."""
    requirements.need_root()
    requirements.need_package("elftools")
    setpriv = requirements.need_program("setpriv")
    before = [setpriv, f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--bounding-set=-all"]
    if subprocess.run([*before, "test", "-r", builds.MAKE]).returncode:
        requirements.missing("the sources cannot be read by other users")
    with tempfile.TemporaryDirectory(
        dir="/tmp"
    ) as folder:  # pytest closes its own to other users at each of its starts
        Path(folder).chmod(0o711)
        tree = builds.own_copy(Path(folder, "bundle"), NOBODY)
        done = builds.attempt(tree, *before)
        if done.returncode == 2:
            requirements.missing(f"no user namespace: {done.stderr.strip()}")
        assert (done.returncode, done.stderr) == (0, "")
        builds.describe(tree)
        assert_same(tree / "_internal" / IMAGE)
