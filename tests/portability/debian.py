"""Other Debians, made by build/debian_root.py and kept in the user's cache for later runs."""

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from tests import requirements
from tests.build.recipes import load

SUITES = ("bullseye", "trixie")
_roots = load("debian_root")


def root_of(suite: str) -> Path:
    """Return the root folder of a Debian release; the first call makes all of them at the same time."""
    requirements.need_root()
    root = _made()[suite]
    if isinstance(root, str):
        requirements.missing(f"no mirror of apt's has {suite}: {root}")
    return root


@cache
def _made() -> dict[str, Path | str]:
    """Make those that do not exist yet; return each suite's folder, or what went wrong."""
    for program in ("debootstrap", "apt-get", "unshare"):
        requirements.need_program(program)
    with ThreadPoolExecutor() as pool:
        return dict(zip(SUITES, pool.map(_make, SUITES), strict=True))


def _make(suite: str) -> Path | str:
    try:
        root: Path = _roots.make(suite)
    except _roots.NotMadeError as error:
        return str(error)
    return root
