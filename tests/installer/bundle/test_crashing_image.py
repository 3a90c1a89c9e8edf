"""The frozen program installs a release whose image crashes on the node: without the image, and says why."""

import signal
import subprocess
from pathlib import Path

import pytest

from cni.installer.bundle import trial
from tests import requirements
from tests.image.bundles import copy_to, how_it_starts, own_image
from tests.installer.sample_node import Node, write_sums

HEADER = 1 << 20  # bytes that stay as they are, because the launcher checks them


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A whole release. Its image is resumed, and ends by a signal: no byte of it is what it was."""
    requirements.need_image()
    plugin = copy_to(tmp_path / "crashing")
    image = own_image(plugin)
    with image.open("r+b") as file:
        file.seek(HEADER)
        file.write(b"\xff" * (image.stat().st_size - HEADER))
    (plugin.parent / "SHA256SUMS").unlink()  # a link
    write_sums(plugin.parent)
    done = subprocess.run([plugin], env={"CNI_COMMAND": "VERSION"}, stdin=subprocess.DEVNULL)
    assert done.returncode in (-signal.SIGSEGV, -signal.SIGILL)
    return plugin.parent


@pytest.mark.parametrize(
    ("options", "why"),
    [((), "on this node, an ADD from it is ended by signal"), (("--no-image",), trial.ASKED_FOR)],
    ids=["image", "no image"],
)
def test_it_is_installed_without_its_image(node: Node, release: Path, options: tuple[str, ...], why: str) -> None:
    program = str(release / "spiderpool-ipam")
    command = [program, "install", "--host-root", str(node.root), "--wait-agent=0", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"without its image: {why}" in done.stdout
    assert how_it_starts(node.plugin.resolve()) == "without its image: it was set aside"
    assert node.answers()
