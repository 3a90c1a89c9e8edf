"""Reads the folder of network configurations once; finds Calico's file and the file that runtimes load.

libcni loads what ends in .conf, .conflist or .json, in the order of the names. Multus' own configuration only names
Calico's network (SpiderPool's chart installs one that sorts first), so it is never chosen: the file that it names is.
"""

from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from cni import input_file
from cni.defaults import IPAM_TYPE
from cni.installer.conflist.chain import is_calicos
from cni.installer.conflist.document import (
    ConflistError,
    Delegation,
    Document,
    NoneFoundError,
    SeveralFoundError,
    UnfinishedError,
    decode,
    read_document,
)
from cni.installer.node.folders import Folders

SUFFIXES = (".conf", ".conflist", ".json")
CILIUMS_SUFFIX = ".cilium_bak"
_MULTUS = {"multus", "multus-shim"}


class ConfFile(NamedTuple):
    """A file as it was read."""

    path: Path  # in the folder; it may be a link
    data: bytes
    document: Document | None  # None where `fault` says why there is none
    fault: ConflistError | OSError | None

    def delegations(self, plugin_type: str) -> list[Delegation]:
        """Return the delegations of the plugins of this type: none of Multus' file. ConflistError, OSError."""
        if self.fault:
            raise self.fault
        if self.document is None or self.document.plugin_types() & _MULTUS:
            return []
        return self.document.delegations(plugin_type)


class Source(NamedTuple):
    """The file whose `ipam` is to be swapped."""

    path: Path
    document: Document
    delegation: Delegation
    stands_in_for: str = ""  # what the node calls the recorded file, while that is missing

    @property
    def data(self) -> bytes:
        """What the file holds."""
        return self.document.text.encode()


def loadable(folders: Folders) -> list[Path]:
    """Return the files that a runtime loads, in its order; none where the folder is missing."""
    if not folders.conf.is_dir():
        return []
    return sorted(path for path in _candidates(folders) if not _kind(folders, path))


def odd_ones(folders: Folders, conf: Path | None = None) -> dict[str, str]:
    """Say, by name, what is no file where one is looked for: in the folder, or at `conf`. OSError."""
    if conf is None and not folders.conf.is_dir():
        what = "it is no folder" if folders.conf.exists() else "there is no such folder"
        return {folders.conf_name: what}
    paths = [conf] if conf else sorted(_candidates(folders))
    return {path.name: kind for path in paths if (kind := _kind(folders, path))}


def read_contents(folders: Folders, also: Path | None = None) -> dict[Path, bytes | OSError]:
    """Read the files that a runtime loads, and one more; those that are missing are left out. It never waits."""
    contents: dict[Path, bytes | OSError] = {}
    for path in dict.fromkeys([*loadable(folders), *([also] if also else [])]):
        try:
            contents[path] = input_file.read(folders.root.follow(path))
        except FileNotFoundError:
            continue  # removed since the folder was listed
        except OSError as error:
            contents[path] = error
    return contents


def read_folder(folders: Folders, also: Path | None = None) -> list[ConfFile]:
    """Read and parse the files that a runtime loads, in its order, and one more."""
    return [_conf_file(path, content) for path, content in read_contents(folders, also).items()]


def read_file(folders: Folders, path: Path) -> ConfFile | None:
    """Read and parse one file, whether or not runtimes load it; None where it is no file. It never waits."""
    try:
        return None if _kind(folders, path) else _conf_file(path, input_file.read(folders.root.follow(path)))
    except FileNotFoundError:
        return None
    except OSError as error:
        return _conf_file(path, error)


def choose(
    folders: Folders,
    files: Sequence[ConfFile],
    plugin_type: str,
    conf: Path | None = None,
    copies: Collection[str] = (),
) -> Source:
    """Return the one file that delegates for `plugin_type`, or `conf`; ConflistError says what was found.

    `copies` are the names of copies that we made: never a source.
    """
    candidates = [file for file in files if (file.path == conf if conf else file.path.name not in copies)]
    sources, faults = _sources(candidates, plugin_type)
    if len(sources) > 1 and len({source.delegation.network for source in sources}) == 1:
        # Others make files of their own out of Calico's, and chain their plugin to it: istio-cni does, for example.
        calicos = [source for source in sources if is_calicos(source.document)] or _without_additions(sources)
        sources = calicos if len(calicos) == 1 else sources
    if len(sources) == 1 and not (faults and conf):
        return sources[0]
    if not sources:
        text = f"no plugin of type {plugin_type} in {folders.name_of(conf or folders.conf)}"
        odd = [f"{name}: {kind}" for name, kind in odd_ones(folders, conf).items() if name not in faults]
        raise _none_found("; ".join([text, *odd]), faults)
    names = ", ".join(dict.fromkeys(source.path.name for source in sources))
    raise SeveralFoundError(f"several plugins of type {plugin_type}, in {names}: name the file with --conf")


def _without_additions(sources: list[Source]) -> list[Source]:
    """Return those whose plugins are in all the others: the others were made of them, with more plugins."""
    types = [source.document.plugin_types() for source in sources]
    return [source for source, own in zip(sources, types, strict=True) if all(own <= other for other in types)]


def names_our_plugin(file: ConfFile | None, plugin_type: str) -> bool:
    """Tell whether a file delegates to our plugin for `plugin_type`, as a copy of ours does. OSError."""
    try:
        found = file.delegations(plugin_type) if file else []
    except ConflistError:
        return False
    return any(delegation.ipam_type == IPAM_TYPE for delegation in found)


def delegates(folders: Folders, plugin_type: str) -> bool:
    """Tell whether a file of the folder delegates for `plugin_type`."""
    return bool(_sources(read_folder(folders), plugin_type)[0])


def before_ours(
    files: Sequence[ConfFile], name: str | None, network: str, plugin_type: str
) -> list[tuple[ConfFile, Delegation]]:
    """Return the files of the network that runtimes load before the one called `name`, with their delegations.

    Without a name, return all files of the network.
    """
    found = []
    for file in files:
        if file.fault or (name is not None and file.path.name >= name):
            continue
        with suppress(ConflistError):
            delegations = file.delegations(plugin_type)
            found += [(file, one) for one in delegations if len(delegations) == 1 and one.network == network]
    return found


def loaded_before(files: Sequence[ConfFile], name: str, plugin_type: str, held: Collection[Path] = ()) -> Path | None:
    """Return the file that runtimes load in place of the one called `name`, or None; `held` have our ipam, too."""
    for file in files:
        if file.path.name >= name:
            return None
        if file.path not in held and not _leads_to_ours(file, plugin_type):
            return file.path
    return None


def _conf_file(path: Path, content: bytes | OSError) -> ConfFile:
    if isinstance(content, input_file.NotReadableError):
        return ConfFile(path, b"", None, ConflistError(str(content.strerror)))
    if isinstance(content, OSError):
        return ConfFile(path, b"", None, content)
    try:
        return ConfFile(path, content, read_document(decode(content)), None)
    except ConflistError as error:
        return ConfFile(path, content, None, error)


def _candidates(folders: Folders) -> list[Path]:
    return [path for path in folders.conf.iterdir() if path.suffix in SUFFIXES]


def _kind(folders: Folders, path: Path) -> str:
    """Say what is at a path, links followed as on the node; "" for a file. OSError."""
    if fault := folders.root.dead_end(folders.root.name_of(path)):
        return f"it {fault}"
    return input_file.kind(folders.root.follow(path))


def _leads_to_ours(file: ConfFile, plugin_type: str) -> bool:
    """Tell whether this is Multus' own file, and no delegate in it names another IPAM."""
    if file.document is None:
        return False
    try:
        is_multus = bool(file.document.plugin_types() & _MULTUS)
    except ConflistError:
        return False  # runtimes stop at such a file, or leave it out
    return is_multus and file.document.ipam_types(plugin_type) <= {IPAM_TYPE}


def _sources(files: Sequence[ConfFile], plugin_type: str) -> tuple[list[Source], dict[str, ConflistError]]:
    """Return what can be swapped, and what is wrong with each file that may hold it and cannot be used. OSError."""
    sources: list[Source] = []
    faults: dict[str, ConflistError] = {}
    for file in files:
        try:
            found = file.delegations(plugin_type)
        except ConflistError as error:
            faults[file.path.name] = error
        else:
            sources += [Source(file.path, file.document, one) for one in found if file.document]
    return sources, faults


def _none_found(text: str, faults: dict[str, ConflistError]) -> ConflistError:
    if not faults:
        return NoneFoundError(text)
    unfinished = any(isinstance(fault, UnfinishedError) for fault in faults.values())
    parts = [text, *(f"{name}: {fault}" for name, fault in faults.items())]
    return (UnfinishedError if unfinished else ConflistError)("; ".join(parts))
