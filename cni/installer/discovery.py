"""Which folders of a node to work on: those that flags name, that were installed to, or that the platform uses.

Side effects: looks at the file system, and keeps the names of the folders of an installation (node/installed.py).
"""

from pathlib import Path

from cni.contracts.installation import Installation
from cni.defaults import BIN_FOLDER, CONF_FOLDER, RESULT_CACHE_FOLDER, STATE_FOLDER
from cni.installer.bundle import plugin_links
from cni.installer.conflist import record as records
from cni.installer.conflist.document import ConflistError
from cni.installer.conflist.folder import delegates
from cni.installer.errors import InstallerError
from cni.installer.node import installed
from cni.installer.node.folders import Folders, printable, resolve_folders
from cni.installer.node.host_root import HostRoot

# (network configurations, plugins). What another platform uses may be left over; the folder with the main plugin's
# configuration in it wins.
_PLATFORMS = (
    (CONF_FOLDER, BIN_FOLDER),
    ("/var/lib/rancher/k3s/agent/etc/cni/net.d", "/var/lib/rancher/k3s/data/cni"),
    ("/var/lib/rancher/k3s/agent/etc/cni/net.d", "/var/lib/rancher/k3s/data/current/bin"),  # older k3s
    ("/var/snap/microk8s/current/args/cni-network", "/var/snap/microk8s/current/opt/cni/bin"),
    ("/var/run/multus/cni/net.d", "/var/lib/cni/bin"),  # OpenShift with Calico; a tmpfs, which is empty at each boot
    (CONF_FOLDER, "/home/kubernetes/bin"),  # GKE
)


class FoldersError(InstallerError):
    """The folders are not the right ones, or cannot be used; nothing was changed."""


def find_folders(root: HostRoot, bin_name: str | None, conf_name: str | None, plugin_type: str) -> Folders:
    """Return the node's folders. A name that is given wins, then what was installed to.

    FoldersError: a name cannot be written to a file, or leads to what is not mounted. ConflistError: it is not clear
    which folders are meant.
    """
    for flag, name in (("--cni-bin-dir", bin_name), ("--cni-conf-dir", conf_name)):
        if name and printable(name) != name:
            raise FoldersError(f"{flag} {printable(name)}: the name is not UTF-8, give the folder another one")
    former = installed_folders(root)
    conf = conf_name or (former.conf_name if former else _conf_folder(root, plugin_type))
    binaries = bin_name or (former.bin_name if former else _bin_folder(root, conf, plugin_type))
    folders = resolve_folders(root, str(Path("/", binaries)), str(Path("/", conf)))
    _require_mounted(folders)
    return folders


def is_installed(folders: Folders) -> bool:
    """Tell whether an installation, or what is left of one, is in these folders."""
    return records.exists(folders) or plugin_links.is_there(folders.bin)


def installed_folders(root: HostRoot) -> Folders | None:
    """Return the folders that were installed to, if an installation is still there."""
    names = installed.read(root.resolve(STATE_FOLDER))
    if names is None:
        return None  # then they are looked for
    folders = resolve_folders(root, names.bin, names.conf)
    if not is_installed(folders):
        return None
    if plugin_links.is_there(folders.bin):
        return folders
    # A DaemonSet may have the folder of plugins mounted under another name than the node's own.
    elsewhere = _with_bundle(root)
    return resolve_folders(root, elsewhere[0], names.conf) if elsewhere else folders


def write_installed_folders(folders: Folders) -> None:
    """Keep the names of the folders of an installation. OSError."""
    known = installed.read(folders.state)
    record = known.record if known and known.conf == folders.conf_name else None
    installed.write(folders.state, Installation(folders.bin_name, folders.conf_name, record))


def require_not_elsewhere(folders: Folders) -> None:
    """Raise FoldersError where the node is installed in other folders: their conflist may need what is in these."""
    former = installed_folders(folders.root)
    if former and (former.bin, former.conf) != (folders.bin, folders.conf):
        flags = f"--cni-bin-dir {former.bin_name} --cni-conf-dir {former.conf_name}"
        raise FoldersError(f"this node is installed elsewhere: uninstall there first, with {flags}")


def require_not_moved(folders: Folders) -> None:
    """Raise FoldersError where a link in the folders' names leads elsewhere by now, as after a refresh of microk8s.

    To be called after each wait: what is written to the former folders is lost.
    """
    if folders.resolve_again() != folders:
        names = f"{folders.bin_name} and {folders.conf_name}"
        raise FoldersError(f"{names}: a symbolic link in these names has changed meanwhile: run the command again")


def _require_mounted(folders: Folders) -> None:
    """Raise FoldersError where a link leads to what this container does not have.

    To take it for a folder that is missing would be to wait for it in vain, or to overlook what uses the plugin.
    """
    for name in (folders.bin_name, folders.conf_name, STATE_FOLDER, RESULT_CACHE_FOLDER):
        if folders.root.is_partial and (fault := folders.root.dead_end(name)):
            raise FoldersError(f"{printable(name)} {printable(fault)}")


def _conf_folder(root: HostRoot, plugin_type: str) -> str:
    """Return the folder that has our record, or else the main plugin's configuration."""
    names = [name for name in dict.fromkeys(conf for conf, _ in _PLATFORMS) if root.find(name)]
    recorded = [name for name in names if records.is_in(root.resolve(name))]
    if recorded:
        return recorded[0]
    candidates = {root.resolve(name): resolve_folders(root, "/", name) for name in names}  # two names may be one folder
    with_conflist = [folders.conf_name for folders in candidates.values() if delegates(folders, plugin_type)]
    if len(with_conflist) > 1:
        text = f"several folders hold a plugin of type {plugin_type}: {', '.join(with_conflist)}"
        raise ConflistError(f"{text}: choose one with --cni-conf-dir")
    present = [name for name in names if root.resolve(name).is_dir()]
    return [*with_conflist, *present, CONF_FOLDER][0]


def _bin_folder(root: HostRoot, conf: str, plugin_type: str) -> str:
    """Return the folder that holds our bundle, or else the main plugin; that of the configurations' platform first."""
    platforms = sorted(_PLATFORMS, key=lambda platform: platform[0] != conf)
    with_plugin = [name for _, name in platforms if _is_file(root.find(f"{name}/{plugin_type}"))]
    present = [name for _, name in platforms if root.find(name)]
    return [*_with_bundle(root), *with_plugin, *present, platforms[0][1]][0]


def _with_bundle(root: HostRoot) -> list[str]:
    names = [name for _, name in _PLATFORMS]
    return [name for name in names if (path := root.find(name)) and plugin_links.is_there(path)]


def _is_file(path: Path | None) -> bool:
    return path is not None and path.is_file()
