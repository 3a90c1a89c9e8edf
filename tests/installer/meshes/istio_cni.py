"""A test program that behaves as istio-cni's installer does: NET_D BIN [--owned [--types-only]].

It appends its plugin to the first valid file, and comes back when it finds itself undone. With `--owned` it writes that
file with its plugin to a file of its own, which sorts first, and keeps it up to date; with `--types-only` only where
the types of the plugins are others, as some versions do. SIGTERM removes it: first its plugin, then its executable.
"""

import sys
from pathlib import Path

from tests.installer.meshes import net_d

TYPE = "istio-cni"
OWNED = "02-istio-cni.conflist"
PLUGIN = {"type": TYPE, "log_level": "info", "kubernetes": {"exclude_namespaces": ["istio-system"]}}


class Chained:
    """Its plugin in the file that runtimes load."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path: Path | None = None  # the file that has it

    def put(self) -> None:
        self.path = net_d.first_valid(self.folder) or self.path
        found = self.path and net_d.read(self.path)
        if self.path and found and TYPE not in net_d.types(found):
            net_d.write(self.path, net_d.with_plugin(found, PLUGIN))

    def remove(self) -> None:
        found = self.path and net_d.read(self.path)
        if self.path and found:
            net_d.write(self.path, net_d.without_plugin(found, TYPE))


class Owned:
    """A file of its own."""

    def __init__(self, folder: Path, *, types_only: bool) -> None:
        self.folder = folder
        self.types_only = types_only

    def put(self) -> None:
        primary = net_d.first_valid(self.folder, besides=OWNED)
        found = primary and net_d.read(primary)
        if found and not self._is_same(net_d.read(self.folder / OWNED), wanted := net_d.with_plugin(found, PLUGIN)):
            net_d.write(self.folder / OWNED, wanted)

    def remove(self) -> None:
        (self.folder / OWNED).unlink(missing_ok=True)

    def _is_same(self, present: object, wanted: object) -> bool:
        if self.types_only and present:
            return net_d.types(present) == net_d.types(wanted)
        return present == wanted


if __name__ == "__main__":
    net, plugins = Path(sys.argv[1]), Path(sys.argv[2])
    way = Owned(net, types_only="--types-only" in sys.argv) if "--owned" in sys.argv else Chained(net)
    net_d.put_executable(plugins, TYPE)
    net_d.repeat(way.put)
    way.remove()
    (plugins / TYPE).unlink()
