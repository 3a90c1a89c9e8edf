"""Make a copy of glibc's dynamic loader ignore the host. Usage: seal_loader.py LOADER.

glibc has no option for either of these, so names in the copy are replaced by others of the same length:

- /etc/ld.so.preload: a host that preloads a library into every process (security agents do) would have it loaded into
  ours, against another C library. It becomes a file that cannot exist.
- the default folders, /lib and /usr/lib: what is not in the bundle (the C library's own plug-ins, or a file that was
  lost) would be taken from there. They become folders that nobody has.
"""

import re
import sys
from pathlib import Path

PRELOAD = b"/etc/ld.so.preload\0"
NOWHERE = b"/dev/null/-------/\0"
FOLDER = re.compile(rb"/(?:usr/)?lib(?:64)?(?:/[\w-]+)?/\0")


def main(loader: Path) -> None:
    """Replace the names, which must be there."""
    image = loader.read_bytes()
    sealed, folders = FOLDER.subn(lambda found: b"/" + b"\1" * (len(found[0]) - 3) + b"/\0", image)
    if image.count(PRELOAD) != 1 or not folders:
        sys.exit(f"{loader}: this glibc has other names for ld.so.preload or for the default folders")
    loader.write_bytes(sealed.replace(PRELOAD, NOWHERE))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
