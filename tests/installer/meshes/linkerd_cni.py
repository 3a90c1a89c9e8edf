"""A test program that behaves as linkerd-cni's installer does: NET_D BIN.

It appends its plugin to every file, and does so again where somebody has written one without it. SIGTERM removes it:
first its plugin, from every file, then its executable.
"""

import sys
from pathlib import Path

from tests.installer.meshes import net_d

TYPE = "linkerd-cni"
PLUGIN = {"type": TYPE, "log_level": "info", "linkerd": {"incoming-proxy-port": 4143, "proxy-uid": 2102}}


def put(folder: Path) -> None:
    for path in net_d.configurations(folder):
        found = net_d.read(path)
        if found and TYPE not in net_d.types(found):
            net_d.write(path, net_d.with_plugin(found, PLUGIN))


def remove(folder: Path) -> None:
    for path in net_d.configurations(folder):
        if found := net_d.read(path):
            net_d.write(path, net_d.without_plugin(found, TYPE))


if __name__ == "__main__":
    net, plugins = Path(sys.argv[1]), Path(sys.argv[2])
    net_d.put_executable(plugins, TYPE)
    net_d.repeat(lambda: put(net))
    remove(net)
    (plugins / TYPE).unlink()
