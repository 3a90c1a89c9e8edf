"""Where things lie on the node, by platform, below a root. Side effect: looks at the file system."""

from pathlib import Path
from typing import NamedTuple

from cni.installer import record
from cni.installer.conf_folder import holds
from cni.installer.conflist import ConflistError
from cni.installer.host_root import below, on_node

STATE = "/var/lib/spiderpool-ipam"
RESULTS = "/var/lib/cni/results"  # libcni keeps each ADD's configuration here until DEL

# (configurations, binaries). Configurations of another platform may be left over; the ones with Calico's in them win.
_PLATFORMS = (
    ("/etc/cni/net.d", "/opt/cni/bin"),
    ("/var/lib/rancher/k3s/agent/etc/cni/net.d", "/var/lib/rancher/k3s/data/cni"),
    ("/var/snap/microk8s/current/args/cni-network", "/var/snap/microk8s/current/opt/cni/bin"),
    ("/etc/cni/multus/net.d", "/var/lib/cni/bin"),  # OpenShift
    ("/etc/cni/net.d", "/home/kubernetes/bin"),  # GKE
)


class Folders(NamedTuple):
    """The folders of one node, as this process reaches them."""

    root: Path
    bin: Path
    conf: Path

    @property
    def state(self) -> Path:
        """Where lock and pending releases are."""
        return below(self.root, STATE)

    @property
    def results(self) -> Path:
        """Where libcni caches results."""
        return below(self.root, RESULTS)

    def on_node(self, path: Path) -> str:
        """Return a path as the node's own processes call it."""
        return on_node(self.root, path)


def find(root: Path, bin_folder: str | None, conf_folder: str | None, plugin_type: str) -> Folders:
    """Find the node's folders; what is given wins. ConflistError where several folders hold Calico's configuration."""
    conf = conf_folder or _conf_folder(root, plugin_type)
    return Folders(root, below(root, bin_folder or _bin_folder(root, conf, plugin_type)), below(root, conf))


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
    """Return the folder that holds the main plugin; the configurations' platform comes first."""
    platforms = sorted(_PLATFORMS, key=lambda platform: platform[0] != conf)
    with_plugin = [folder for _, folder in platforms if below(root, f"{folder}/{plugin_type}").is_file()]
    there = [folder for _, folder in platforms if below(root, folder).is_dir()]
    return [*with_plugin, *there, platforms[0][1]][0]
