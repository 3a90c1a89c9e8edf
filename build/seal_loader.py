"""Make a copy of glibc's dynamic loader ignore the host. Usage: seal_loader.py LOADER.

glibc has no option for either of the following, so this script replaces names in the copy by names of the same length:

- /etc/ld.so.preload. Some hosts, such as those with security agents, preload a library into every process. Ours would
  load it as well, although it was built against another C library. The name becomes that of a file that cannot exist.
- The default folders, /lib and /usr/lib. The loader would take from there what the bundle does not have: plug-ins of
  the C library, or a file of the bundle that was lost. The names become those of folders that do not exist.
"""

import re
import sys
from pathlib import Path

PRELOAD_FILE = b"/etc/ld.so.preload\0"
IMPOSSIBLE_FILE = b"/dev/null/-------/\0"
DEFAULT_FOLDER = re.compile(rb"/(?:usr/)?lib(?:64)?(?:/[\w-]+)?/\0")


def main(loader: Path) -> None:
    """Replace the names in a loader file, or exit with a message when it does not hold them."""
    image = loader.read_bytes()
    sealed, replaced = DEFAULT_FOLDER.subn(lambda found: b"/" + b"\1" * (len(found[0]) - 3) + b"/\0", image)
    if image.count(PRELOAD_FILE) != 1 or not replaced:
        sys.exit(f"{loader}: this version of glibc names ld.so.preload or the default folders in another way")
    loader.write_bytes(sealed.replace(PRELOAD_FILE, IMPOSSIBLE_FILE))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
