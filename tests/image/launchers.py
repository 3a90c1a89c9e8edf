"""Launchers as build/freeze.sh links them, and at other addresses."""

import subprocess
from pathlib import Path

from tests import requirements
from tests.portability.witness import loader_of
from tests.requirements import ROOT

NOTE = 24  # bytes of the note before `struct image`: its own numbers, and the name
FIXED = ("-static", "-no-pie", "-fPIE")


def build_id(image: Path) -> bytes:
    """Return the build ID in an image."""
    header = image.read_bytes()[:8192]
    note = int.from_bytes(header[72:80], "little")  # p_offset of the first segment
    return header[note + NOTE :][:32]


def link(output: Path, *options: str, image: Path | None = None, sources: Path = ROOT / "build") -> Path:
    """Compile the launcher with these options, for an image, the frozen one if none is given; return `output`."""
    gcc = requirements.need_program("gcc")
    tree = requirements.need_frozen("spiderpool").parent
    identity = ",".join(map(str, build_id(image or requirements.need_image())))
    output.unlink(missing_ok=True)
    subprocess.run(
        [
            *(gcc, "-std=c11", "-Os", "-nostdlib", "-ffreestanding", "-fno-builtin", "-fno-stack-protector"),
            *("-fno-asynchronous-unwind-tables", "-Wl,--build-id=none", "-s", *options),
            *(f'-DLOADER="{loader_of(tree).name}"', f"-DBUILD_ID={{{identity}}}"),
            *("-o", output, sources / "launcher.c", sources / "image.c"),
        ],
        check=True,
    )
    return output
