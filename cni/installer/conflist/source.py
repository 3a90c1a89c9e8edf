"""Which file is Calico's, and what its `ipam` is without us. Reads the folder of network configurations.

Once swapped, the recorded file is the file, whatever other files hold Calico's plugin.
"""

from collections.abc import Sequence
from pathlib import Path

from cni.contracts.installation import Desired, Record
from cni.defaults import IPAM_TYPE
from cni.installer.conflist import ipam
from cni.installer.conflist.document import NoneFoundError
from cni.installer.conflist.folder import CILIUMS_SUFFIX, ConfFile, Source, choose, names_our_plugin, read_folder
from cni.installer.node.folders import Folders


def read_source(folders: Folders, desired: Desired, record: Record | None) -> tuple[list[ConfFile], Source]:
    """Read the folder; return all files, and the one that is to be swapped. ConflistError, OSError."""
    conf = _conf_path(folders, desired.conf) if desired.conf else None
    files = read_folder(folders, conf)
    copies = set(record.copies if record else ())
    if names_our_plugin(file_at(files, folders.conf / desired.as_name), desired.plugin_type):
        copies.add(desired.as_name)
    recorded = None if conf else _recorded_source(folders, record)
    if recorded:
        try:
            return files, choose(folders, files, desired.plugin_type, recorded)
        except NoneFoundError:
            _require_not_renamed(folders, recorded)  # else Calico writes another file by now: it is looked for
    try:
        return files, choose(folders, files, desired.plugin_type, conf, copies)
    except NoneFoundError:
        if conf:
            _require_not_renamed(folders, conf)
        raise


def _recorded_source(folders: Folders, record: Record | None) -> Path | None:
    """Return the file that was swapped, or copied; release 0.1.0 does not tell which was copied."""
    if record is None:
        return None
    name = record.source or (record.file if record.original is not None and not record.copies else "")
    return _conf_path(folders, name) if name else None


def _require_not_renamed(folders: Folders, path: Path) -> None:
    """Raise NoneFoundError where Cilium has taken the file out of the runtimes' sight."""
    renamed = path.with_name(path.name + CILIUMS_SUFFIX)
    if not path.exists() and renamed.exists():
        raise NoneFoundError(
            f"Cilium has renamed {folders.name_of(path)} to {renamed.name}, because its setting cni.exclusive is true:"
            " set it to false and rename the file back, or uninstall spiderpool before you change to Cilium"
        )


def original_ipam(source: Source, record: Record | None) -> str:
    """Return the source's ipam value as it is without us: the one that was kept, if the present one is ours.

    A value that names our plugin is not ours where nothing is kept (the Go plugin was here before, or Calico's own
    configuration says so), and where it differs from ours while the one that was kept names our plugin, too: then it is
    newer than the one that was kept.
    """
    current = source.delegation.ipam
    if record is None or record.original is None or source.delegation.ipam_type != IPAM_TYPE:
        return current
    is_ours = current in record.values or ipam.ipam_type(record.original) != IPAM_TYPE
    return record.original if is_ours else current


def _conf_path(folders: Folders, conf: str) -> Path:
    """Return the file that --conf names: a path of the node, or a name in the folder of network configurations."""
    if Path(conf).parent in (Path(), Path(folders.conf_name)):
        return folders.conf / Path(conf).name
    return folders.root.resolve(conf)


def file_at(files: Sequence[ConfFile], path: Path) -> ConfFile | None:
    """Return the file that was read from this path, or None."""
    return next((file for file in files if file.path == path), None)
