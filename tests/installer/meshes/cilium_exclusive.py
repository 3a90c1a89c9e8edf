"""A test program that behaves as Cilium with cni.exclusive does: NET_D.

It renames every file that is not its own. SIGTERM has it rename them back.
"""

import sys
from pathlib import Path

from tests.installer.meshes import net_d

OWN = "05-cilium.conflist"
SUFFIX = ".cilium_bak"


def rename_others(folder: Path) -> None:
    for path in net_d.configurations(folder):
        if path.name != OWN:
            path.rename(f"{path}{SUFFIX}")


def rename_back(folder: Path) -> None:
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        path.rename(path.with_name(path.name.removesuffix(SUFFIX)))


if __name__ == "__main__":
    net = Path(sys.argv[1])
    net_d.write(net / OWN, {"name": "cilium", "cniVersion": "0.3.1", "plugins": [{"type": "cilium-cni"}]})
    net_d.repeat(lambda: rename_others(net))
    (net / OWN).unlink()
    rename_back(net)
