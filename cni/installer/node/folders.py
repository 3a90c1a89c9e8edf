"""Where things lie on the node, by platform, below a root. Side effect: looks at the file system, and one file in the
state folder, which keeps the folders of an installation: they may have been named by flags.
"""

import json
from pathlib import Path
from typing import NamedTuple

from cni.installer.bundle import plugin_links as bundle
from cni.installer.conflist import record
from cni.installer.conflist.document import ConflistError
from cni.installer.conflist.folder import holds
from cni.installer.node import atomic_file
from cni.installer.node.host_root import below, on_node

STATE = "/var/lib/spiderpool-ipam"
RESULTS = "/var/lib/cni/results"  # libcni keeps each ADD's configuration here until DEL
_MEMORY = "folders"

# (configurations, binaries). Configurations of another platform may be left over; the ones with Calico's in them win.
_PLATFORMS = (
    ("/etc/cni/net.d", "/opt/cni/bin"),
    ("/var/lib/rancher/k3s/agent/etc/cni/net.d", "/var/lib/rancher/k3s/data/cni"),
    ("/var/snap/microk8s/current/args/cni-network", "/var/snap/microk8s/current/opt/cni/bin"),
    ("/etc/cni/multus/net.d", "/var/lib/cni/bin"),  # OpenShift
    ("/etc/cni/net.d", "/home/kubernetes/bin"),  # GKE
)


class Folders(NamedTuple):
    """The folders of one node.

    They are kept under the node's names, and their links followed at each use: microk8s' lead to another place after
    each refresh.
    """

    root: Path
    bin_name: str
    conf_name: str

    @property
    def bin(self) -> Path:
        """The folder of plugins, as this process reaches it."""
        return below(self.root, self.bin_name)

    @property
    def conf(self) -> Path:
        """The folder of conflists."""
        return below(self.root, self.conf_name)

    @property
    def state(self) -> Path:
        """Where lock, memory and pending releases are."""
        return below(self.root, STATE)

    @property
    def results(self) -> Path:
        """Where libcni caches results."""
        return below(self.root, RESULTS)

    @property
    def is_installed(self) -> bool:
        """Whether an installation, or what is left of one, is there."""
        return (self.conf / record.NAME).exists() or bundle.is_there(self.bin)

    def on_node(self, path: Path) -> str:
        """Return a path as the node's own processes call it."""
        for folder, name in ((self.bin, self.bin_name), (self.conf, self.conf_name)):
            if path.is_relative_to(folder):
                return str(Path(name) / path.relative_to(folder))
        return on_node(self.root, path)


def find(root: Path, bin_folder: str | None, conf_folder: str | None, plugin_type: str) -> Folders:
    """Find the node's folders; what is given wins, then what was installed. ConflistError where it is not clear."""
    there = installed(root)
    conf = conf_folder or (there.conf_name if there else _conf_folder(root, plugin_type))
    binaries = bin_folder or (there.bin_name if there else _bin_folder(root, conf, plugin_type))
    return Folders(root, str(Path("/", binaries)), str(Path("/", conf)))


def installed(root: Path) -> Folders | None:
    """Return the folders that were installed to, if an installation is there still."""
    try:
        kept = json.loads((below(root, STATE) / _MEMORY).read_bytes())
        found = Folders(root, str(kept["bin"]), str(kept["conf"]))
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError, KeyError):
        return None  # then they are looked for
    if not found.is_installed:
        return None
    # A DaemonSet may call the folder of plugins otherwise than the node does.
    elsewhere = [] if bundle.is_there(found.bin) else _with_bundle(root)
    return found._replace(bin_name=elsewhere[0]) if elsewhere else found


def remember(folders: Folders) -> None:
    """Keep the folders of an installation. OSError."""
    data = json.dumps({"bin": folders.bin_name, "conf": folders.conf_name}).encode()
    path = folders.state / _MEMORY
    if not path.exists() or path.read_bytes() != data:
        atomic_file.replace(path, data, mode=0o644)


def forget(folders: Folders) -> None:
    """Forget the folders: nothing is left of the installation. OSError."""
    atomic_file.remove(folders.state / _MEMORY)


def _conf_folder(root: Path, plugin_type: str) -> str:
    candidates = dict.fromkeys(conf for conf, _ in _PLATFORMS)
    recorded = [conf for conf in candidates if (below(root, conf) / record.NAME).exists()]
    if recorded:
        return recorded[0]
    held = {below(root, conf): conf for conf in candidates if holds(below(root, conf), plugin_type, root)}
    if len(held) > 1:
        names = ", ".join(held.values())
        raise ConflistError(f"several folders hold a plugin of type {plugin_type}: {names}: choose by --cni-conf-dir")
    there = [conf for conf in candidates if below(root, conf).is_dir()]
    return [*held.values(), *there, _PLATFORMS[0][0]][0]


def _bin_folder(root: Path, conf: str, plugin_type: str) -> str:
    """Return the folder that holds our bundle, or else the main plugin; the configurations' platform comes first."""
    platforms = sorted(_PLATFORMS, key=lambda platform: platform[0] != conf)
    with_plugin = [folder for _, folder in platforms if below(root, f"{folder}/{plugin_type}").is_file()]
    there = [folder for _, folder in platforms if below(root, folder).is_dir()]
    return [*_with_bundle(root), *with_plugin, *there, platforms[0][1]][0]


def _with_bundle(root: Path) -> list[str]:
    return [folder for _, folder in _PLATFORMS if bundle.is_there(below(root, folder))]
