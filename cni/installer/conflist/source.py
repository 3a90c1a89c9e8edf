"""Which file is Calico's, and what its `ipam` is without us. Reads the folder of network configurations.

Once swapped, the recorded file is the file, whatever other files hold Calico's plugin.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from cni.contracts.installation import Desired, Record
from cni.defaults import IPAM_TYPE
from cni.installer.conflist import ipam
from cni.installer.conflist.document import ConflistError, NoneFoundError, SeveralFoundError
from cni.installer.conflist.folder import CILIUMS_SUFFIX, ConfFile, Source, choose, names_our_plugin, read_folder
from cni.installer.node.folders import Folders


def read_source(
    folders: Folders, desired: Desired, record: Record | None, *, may_stand_in: bool = True
) -> tuple[list[ConfFile], Source]:
    """Read the folder; return all files, and the one that is to be swapped. ConflistError, OSError.

    Where the recorded file is missing, another one may stand in for it until it is there again; with `may_stand_in`
    false, this is a NoneFoundError: many writers remove the file before they make it anew.
    """
    conf = _conf_path(folders, desired.conf) if desired.conf else None
    files = read_folder(folders, conf)
    recorded = None if conf else _recorded_source(folders, record)
    if named := conf or recorded:
        try:
            return files, choose(folders, files, desired.plugin_type, named)
        except NoneFoundError:
            _require_not_renamed(folders, named)
            if conf or not may_stand_in:
                raise
    copies = set(record.copies if record else ())
    if names_our_plugin(file_at(files, folders.conf / desired.as_name), desired.plugin_type):
        copies.add(desired.as_name)
    if recorded is None or record is None:
        return files, choose(folders, files, desired.plugin_type, None, copies)
    candidates = [file for file in files if not _is_made_by_us(folders, file, desired, record)]
    try:
        source = choose(folders, candidates, desired.plugin_type, None, copies)
    except SeveralFoundError:
        raise
    except ConflistError as error:
        raise NoneFoundError(str(error)) from None  # what is broken is not the recorded file
    return files, source._replace(stands_in_for=folders.name_of(recorded))


def _is_made_by_us(folders: Folders, file: ConfFile, desired: Desired, record: Record) -> bool:
    """Tell whether a file has our `ipam` because it was made of what we wrote, by istio-cni or a person, say.

    It does not tell what was there without us. The swapped file does, also under a new name.
    """
    if not record.is_in_force or not names_our_plugin(file, desired.plugin_type):
        return False
    is_swapped = folders.name_of(file.path) == record.file or digest(file.data) == record.written
    return record.original is None or not is_swapped


def _recorded_source(folders: Folders, record: Record | None) -> Path | None:
    """Return the file that was swapped, or copied; release 0.1.0 does not tell which was copied."""
    if record is None:
        return None
    name = record.source or (record.file if record.original is not None and not record.copies else "")
    path = _conf_path(folders, name) if name else None
    return path if path and path.parent == folders.conf else None  # another one was named by a --conf that is no more


def _require_not_renamed(folders: Folders, path: Path) -> None:
    """Raise NoneFoundError where Cilium has taken the file out of the runtimes' sight."""
    renamed = path.with_name(path.name + CILIUMS_SUFFIX)
    if not path.exists() and renamed.exists():
        raise NoneFoundError(
            f"Cilium has renamed {folders.name_of(path)} to {renamed.name}, because its setting cni.exclusive is true:"
            " set it to false and rename the file back, or uninstall spiderpool before you change to Cilium"
        )


def original_ipam(folders: Folders, source: Source, record: Record | None) -> str:
    """Return the source's ipam value as it is without us: the one that was kept, if the present one is ours.

    A value that names our plugin is not ours where nothing is kept (the Go plugin was here before, or Calico's own
    configuration says so), and where it differs from ours while the one that was kept names our plugin, too: then it is
    newer than the one that was kept.
    """
    current = source.delegation.ipam
    if record is None or record.original is None or source.delegation.ipam_type != IPAM_TYPE:
        return current
    name = folders.name_of(source.path)
    original = record.original if name == record.file else record.also.get(name, record.original)
    is_ours = current in record.values or ipam.ipam_type(original) != IPAM_TYPE
    return original if is_ours else current


def _conf_path(folders: Folders, conf: str) -> Path:
    """Return the file that --conf names: a path of the node, or a name in the folder of network configurations."""
    if Path(conf).parent in (Path(), Path(folders.conf_name)):
        return folders.conf / Path(conf).name
    return folders.root.resolve(conf)


def digest(data: bytes | None) -> str:
    """Return the SHA-256 of a file as `Record.written` has it; "" for one that is missing."""
    return "" if data is None else hashlib.sha256(data).hexdigest()


def file_at(files: Sequence[ConfFile], path: Path) -> ConfFile | None:
    """Return the file that was read from this path, or None."""
    return next((file for file in files if file.path == path), None)
