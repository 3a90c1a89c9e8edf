"""The folder of network configurations: which file holds Calico's. Side effect: reads the folder.

libcni loads what ends in .conf, .conflist or .json, in the order of the names. Multus' own configuration only names
Calico's network (SpiderPool's chart installs one that sorts first), so its source is what is looked for.
"""

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from cni.installer.conflist.document import (
    OUR_TYPE,
    ConflistError,
    Delegation,
    NoneFoundError,
    UnfinishedError,
    find,
    ipam_types,
    plugin_types,
)
from cni.installer.node.host_root import follow, on_node

SUFFIXES = (".conf", ".conflist", ".json")
_ROOT = Path("/")
_MULTUS = {"multus", "multus-shim"}


class Chosen(NamedTuple):
    """The file whose `ipam` is to be swapped, as it was read."""

    path: Path
    text: str
    delegation: Delegation


def choose(
    folder: Path, plugin_type: str, conf: Path | None = None, ours: Collection[str] = (), root: Path = _ROOT
) -> Chosen:
    """Return the one file that holds an object of `plugin_type`, or `conf`; ConflistError says what was found.

    `ours` are the names of copies that we made: never a source. Links are followed inside `root`.
    """
    paths = [conf] if conf else [path for path in loadable(folder, root) if path.name not in ours]
    readable, faults = _read(paths, plugin_type, root)
    chosen = [Chosen(path, text, delegation) for path, text, found in readable for delegation in found]
    if len(chosen) == 1 and not (faults and conf):
        return chosen[0]
    where = on_node(root, conf or folder)
    if not chosen and not faults:
        raise NoneFoundError(f"no plugin of type {plugin_type} in {where}")
    if not chosen:
        half = any(isinstance(error, UnfinishedError) for error in faults.values())
        texts = [f"{name}: {error}" for name, error in faults.items()]
        raise (UnfinishedError if half else ConflistError)(
            "; ".join([f"no plugin of type {plugin_type} in {where}", *texts])
        )
    names = ", ".join(dict.fromkeys(one.path.name for one in chosen))
    raise ConflistError(f"several plugins of type {plugin_type}, in {names}: name the file with --conf")


def holds(folder: Path, plugin_type: str, root: Path = _ROOT) -> bool:
    """Tell whether a file of the folder holds an object of `plugin_type`."""
    return any(found for _, _, found in _read(loadable(folder, root), plugin_type, root)[0])


def loadable(folder: Path, root: Path = _ROOT) -> list[Path]:
    """Return the files that a runtime loads, in its order; none of a folder that is missing."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES and follow(root, path).is_file())


def _read(
    paths: list[Path], plugin_type: str, root: Path
) -> tuple[list[tuple[Path, str, list[Delegation]]], dict[str, ValueError]]:
    """Return what can be used, and what is wrong with each file that cannot: it may hold what is looked for."""
    readable: list[tuple[Path, str, list[Delegation]]] = []
    faults: dict[str, ValueError] = {}
    for path in paths:
        try:
            text = follow(root, path).read_bytes().decode()
            if not plugin_types(text) & _MULTUS:
                readable.append((path, text, find(text, plugin_type)))
        except FileNotFoundError:
            continue  # removed since the folder was listed
        except (ConflistError, UnicodeDecodeError) as error:
            faults[path.name] = error
    return readable, faults


def loaded_before(folder: Path, conflist: Path, plugin_type: str, root: Path = _ROOT) -> Path | None:
    """Return the file that runtimes load in place of this one; Multus' own leads to it, if its delegates do."""
    for other in loadable(folder, root):
        if other.name >= conflist.name:
            return None
        try:
            text = follow(root, other).read_bytes().decode()
            if plugin_types(text) & _MULTUS and ipam_types(text, plugin_type) <= {OUR_TYPE}:
                continue
        except (ConflistError, UnicodeDecodeError):
            pass  # runtimes stop at it, or leave it out
        return other
    return None
