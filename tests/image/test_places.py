"""Mounts, roots and users: where the image can be mapped it is used, and where it cannot the answer is the same."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests import requirements
from tests.e2e.test_signals import wait_until_it_handles_signals
from tests.image import launchers
from tests.image.bundles import FROM_IMAGE, IMAGE, PROGRAM, Bundles, copy_to, how_it_starts
from tests.image.calls import Calls, calls_in
from tests.image.test_process import descriptors, waiting
from tests.portability.place import Place, opened
from tests.portability.places import NOBODY

NOT_HERE = "without its image: its memory cannot be mapped here"
BUNDLE = "/bundle"


def mounting(script: str) -> Sequence[str]:
    """Return the command line that mounts something in a mount namespace of its own, and runs what is behind it."""
    requirements.need_root()
    unshare = requirements.need_program("unshare")
    return [unshare, "--mount", "--propagation=private", "/bin/sh", "-euc", f'{script}; exec "$@"', "sh"]


def test_an_image_on_a_noexec_mount_is_not_used(bundles: Bundles, calls: Calls) -> None:
    image = bundles.whole.parent / "_internal" / IMAGE
    before = mounting(f"mount --bind {image} {image}; mount -o remount,bind,noexec {image}")
    assert how_it_starts(bundles.whole, *before) == NOT_HERE
    assert calls.call(bundles.whole, *before) == calls.call(bundles.plain)


@pytest.mark.parametrize("options", ["ro", "ro,nosuid,nodev,noatime"])
def test_a_read_only_mount(bundles: Bundles, calls: Calls, options: str) -> None:
    folder = bundles.imaged.parent
    before = mounting(f"mount --bind {folder} {folder}; mount -o remount,bind,{options} {folder}")
    assert how_it_starts(bundles.imaged, *before) == FROM_IMAGE
    assert calls.call(bundles.imaged, *before) == calls.call(bundles.plain)


def test_overlayfs(bundles: Bundles, calls: Calls) -> None:
    folder, work = bundles.imaged.parent, calls.folder
    before = mounting(
        f"mount -t tmpfs tmpfs {work}/over; mkdir {work}/over/upper {work}/over/work; "
        f"mount -t overlay -o lowerdir={folder},upperdir={work}/over/upper,workdir={work}/over/work overlay {folder}"
    )
    (work / "over").mkdir()
    if subprocess.run([*before, "true"], capture_output=True).returncode:
        requirements.missing("an overlay cannot be mounted here")
    assert how_it_starts(bundles.imaged, *before) == FROM_IMAGE
    assert calls.call(bundles.imaged, *before) == calls.call(bundles.plain)


def test_a_tmpfs_that_has_no_room_left(bundles: Bundles, calls: Calls) -> None:
    """Memory of the image that is written to is the process's own; nothing is written to the file system."""
    before = mounting("mount -t tmpfs -o size=0,ro tmpfs /dev/shm")
    assert calls.call(bundles.imaged, *before) == calls.call(bundles.plain)


@pytest.mark.parametrize("steps", [["proc"], []], ids=["with proc", "without proc"])
@pytest.mark.parametrize("user", [0, NOBODY], ids=["root", "nobody"])
def test_a_root_that_holds_the_bundle_alone(bundles: Bundles, steps: list[str], user: int) -> None:
    busybox = requirements.need_program("busybox")
    answers = []
    for program in (bundles.imaged, bundles.plain):
        with opened("empty_root", *steps, "bundle", folder=BUNDLE, busybox=busybox, tree=program.parent) as place:
            place.uid = user
            assert (how_it_starts(place.plugin, *place.command()) == FROM_IMAGE) == (program == bundles.imaged)
            answers.append(_answer_in(place))
    assert answers[0] == answers[1]
    assert answers[0][0] == 0


def test_without_proc_it_has_open_what_it_has_open_with_it(calls: Calls) -> None:
    """The launcher opens something to find its folder then, and no exec closes that."""
    bundle = copy_to(calls.folder / "bundle", PROGRAM)
    program = launchers.link(bundle, *launchers.FIXED, "-Wl,-Ttext-segment=0x10000000")
    before = mounting("mount -t tmpfs tmpfs /proc")
    with waiting(calls, program) as one, waiting(calls, program, *before) as other:
        assert descriptors(one) == descriptors(other)


def _answer_in(place: Place) -> tuple[int, bytes, bytes, list[object]]:
    """Call the plugin in a place that shares /tmp with this one."""
    folder = Path("/tmp") / f"place-{os.getpid()}"
    folder.mkdir()
    try:
        with calls_in(folder) as calls:
            for path in (folder, folder / "agent.sock"):
                os.chown(path, place.uid, place.uid)
            answer = calls.call(place.plugin, *place.command())
    finally:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    return answer.status, answer.stdout, answer.stderr, list(answer.requests)


@pytest.fixture
def readable() -> Iterator[Path]:
    """Give a folder that every user can reach."""
    folder = Path("/tmp") / f"readable-{os.getpid()}"
    folder.mkdir(mode=0o755)
    yield folder
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def test_another_user_without_any_rights(bundles: Bundles, readable: Path) -> None:
    requirements.need_root()
    setpriv = [requirements.need_program("setpriv"), f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    setpriv += ["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
    with calls_in(readable) as calls:
        os.chown(readable, NOBODY, NOBODY)
        os.chown(readable / "agent.sock", NOBODY, NOBODY)
        # The bundle's folder is pytest's, which only root can enter.
        before = mounting(f"mount --bind {bundles.imaged.parent} /mnt")
        answer = calls.call("/mnt/spiderpool", *before, *setpriv)
        assert how_it_starts("/mnt/spiderpool", *before, *setpriv) == FROM_IMAGE
        before = mounting(f"mount --bind {bundles.plain.parent} /mnt")
        assert answer == calls.call("/mnt/spiderpool", *before, *setpriv)
    assert (answer.status, answer.stderr) == (0, b"")


def test_it_goes_on_while_its_release_is_removed(bundles: Bundles, calls: Calls) -> None:
    """An upgrade may delete the image under a process that still reads its configuration."""
    copy = calls.folder / "copy"
    shutil.copytree(bundles.imaged.parent, copy, symlinks=True, copy_function=os.link)
    reader, writer = os.pipe()
    with calls.start(copy / "spiderpool", stdin=reader) as process:
        os.close(reader)
        wait_until_it_handles_signals(process.pid)
        shutil.rmtree(copy)
        os.write(writer, calls.stdin())
        os.close(writer)
        stdout, stderr = process.communicate(timeout=30)
    expected = calls.call(bundles.plain)
    assert (process.returncode, stdout, stderr) == expected[:3]
