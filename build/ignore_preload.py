"""Make a copy of glibc's dynamic loader ignore /etc/ld.so.preload. Usage: ignore_preload.py LOADER.

A host that preloads a library into every process (security agents do) would have it loaded into ours, against another
C library. glibc has no option for it; in the copy the file's name becomes one of the same length that cannot exist.
"""

import sys
from pathlib import Path

PRELOAD = b"/etc/ld.so.preload\0"
NOWHERE = b"/dev/null/-------/\0"


def main(loader: Path) -> None:
    """Replace the name, which must be there exactly once."""
    image = loader.read_bytes()
    if image.count(PRELOAD) != 1:
        sys.exit(f"{loader}: {image.count(PRELOAD)} times {PRELOAD!r}, want 1: see how this glibc names the file")
    loader.write_bytes(image.replace(PRELOAD, NOWHERE))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
