"""A test program that holds one member of a file's first plugin, for ever: FILE KEY VALUE, the value as JSON."""

import json
import sys
from pathlib import Path

from tests.installer.meshes import net_d

if __name__ == "__main__":
    path, key, value = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])

    def hold() -> None:
        found = net_d.read(path)
        if found and found["plugins"][0].get(key) != value:
            found["plugins"][0][key] = value
            net_d.write(path, found)

    net_d.repeat(hold)
