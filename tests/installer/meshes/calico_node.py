"""A test program that writes Calico's conflist as calico-node does at each start: CONFLIST.

In place and not atomically: whoever looks meanwhile sees an empty file, then half a file.
"""

import sys
import time
from pathlib import Path

from tests.installer.sample_conflists import CALICO

HALF_WRITTEN = 0.02  # seconds


def write(path: Path, text: str = CALICO) -> None:
    with path.open("w") as file:
        file.write(text[:150])
        file.flush()
        time.sleep(HALF_WRITTEN)
        file.write(text[150:])


if __name__ == "__main__":
    write(Path(sys.argv[1]))
