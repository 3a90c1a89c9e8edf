"""The program of which the image is made, packed anew from changed sources, without all the rest of a build."""

import subprocess
from pathlib import Path

from tests import requirements
from tests.build import recipes
from tests.image import builds


def pack(root: Path, output: Path) -> Path:
    """Pack the sources below `root` into a copy of the frozen program that the image is made of."""
    readers = requirements.need_package("PyInstaller.archive.readers")
    writers = requirements.need_package("PyInstaller.archive.writers")
    objcopy = requirements.need_program("objcopy")
    requirements.need_image()
    packer = recipes.load("pack_plugin")
    folder = output.parent
    script = folder / "image.py"
    packer.main(root, script, packer.IMAGE)
    program = builds.PARTS / "image.bin"
    before = readers.CArchiveReader(str(program))
    (folder / "PYZ.pyz").write_bytes(before.extract("PYZ.pyz"))
    entries = [
        *((option, None, False, "o") for option in before.options),
        ("image", str(script), False, "s"),
        ("PYZ.pyz", str(folder / "PYZ.pyz"), False, "z"),
    ]
    (library,) = (requirements.TREE / "_internal").glob("libpython*")
    writers.CArchiveWriter(str(folder / "package"), entries, library.name)
    subprocess.run([objcopy, "--update-section", f"pydata={folder / 'package'}", program, output], check=True)
    return output
