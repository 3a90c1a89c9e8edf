"""A bundle whose image was made in a folder that now belongs to somebody else, who has laid traps in it."""

import os
from pathlib import Path
from typing import NamedTuple

from tests import requirements
from tests.image import builds
from tests.image.bundles import IMAGE

NOBODY = 65534
BUILDER, NODE = "folder-of-the-builder", "node"
TRAP = "#!/bin/sh\necho trapped >&2\nexit 99\n"
# What the builder's environment holds; none of it may be in the image, nor change it.
VARIABLES = {
    "HOME": "/home/name-of-the-builder",
    "USER": "name-of-the-builder",
    "SECRET": "secret-of-the-builder",
    "TZ": "Asia/Tokyo",
    "LC_ALL": "tr_TR.UTF-8",
    "PYTHONHASHSEED": "7",
    "GLIBC_TUNABLES": "glibc.malloc.tcache_count=3",
}


class Moved(NamedTuple):
    """What is on the node, and what is where it was built."""

    program: Path
    image: Path
    builder: Path
    variables: dict[str, str]


def make(folder: Path) -> None:
    """Build the image on one core, move the bundle away, and lay the traps."""
    requirements.need_root()
    builder, node = folder / BUILDER, folder / NODE
    pinned = [requirements.need_program("taskset"), "--cpu-list", str(min(os.sched_getaffinity(0)))]
    builds.build(builder, *pinned, environ={"PATH": os.environ["PATH"], **VARIABLES})
    files = [found.relative_to(builder) for found in builder.rglob("*") if found.is_file()]
    builder.rename(node)
    for name in [*files, Path("_internal/image.bin"), Path("image.bin"), Path("_internal/plugin/base_library.zip")]:
        trap = builder / name
        trap.parent.mkdir(parents=True, exist_ok=True)
        trap.write_text(TRAP)
        trap.chmod(0o755)
    for found in [builder, *builder.rglob("*")]:
        os.chown(found, NOBODY, NOBODY)


def moved_in(folder: Path) -> Moved:
    """Say where everything is that `make` has made."""
    node = folder / NODE
    return Moved(node / "spiderpool", node / "_internal" / IMAGE, folder / BUILDER, VARIABLES)
