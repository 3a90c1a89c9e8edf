"""The chain of plugins in our copy of Calico's conflist, where others put theirs in as well. Pure.

Service meshes chain their plugin to the first file that runtimes load, which is our copy: istio-cni writes it into that
file, linkerd-cni into every file. So the copy is more than the source with our `ipam`: it keeps the objects of others,
also after calico-node has written the source anew without them, and leaves out what its owner has taken out of the
copy, and what has an executable no more, because then no pod could start. What never had one in the folder of plugins
stays: runtimes may look for plugins in other folders as well.
"""

from collections.abc import Callable, Collection, Mapping
from itertools import pairwise
from typing import NamedTuple

from cni.defaults import IPAM_TYPE
from cni.installer.conflist.document import ConflistError, Document, read_document
from cni.installer.conflist.json_spans import is_same

# What Calico writes itself (its default configuration, and what its documentation and operator add).
CALICOS_TYPES = frozenset({"calico", "portmap", "bandwidth", "tuning"})


class Chain(NamedTuple):
    """The text of a copy, and what is to be remembered of it."""

    text: str
    others: dict[str, str]  # the types of others' plugins in it, and the array of those objects that the source has
    taken_out: list[str]  # those that are in the source, and that their owner has taken out of the copy
    without_executable: list[str]  # those that are left out because their executable has left the folder of plugins
    seen: list[str]  # others' types whose executable is there, or was at any look


class _Other(NamedTuple):
    """One object of others, and how many of Calico's own stand before it; those at the end stay at the end."""

    type: str
    text: str
    place: float


def chain(
    source: Document,
    plugin_type: str,
    copy: Document | None,
    *,
    known: Mapping[str, str],
    taken_out: Collection[str],
    seen: Collection[str],
    has_executable: Callable[[str], bool],
) -> Chain:
    """Return what the copy of `source`, which has our `ipam` already, is to hold.

    `copy` is the copy as it is; None where it is missing. `known`, `taken_out` and `seen` are what `Chain.others`,
    `Chain.taken_out` and `Chain.seen` were at the last look. The objects of one type are the copy's, or the source's
    where those have changed since. ConflistError.
    """
    own = CALICOS_TYPES | {plugin_type}
    in_source, in_copy = _others(source, own), _others(copy, own) if copy else []
    theirs = {other.type for other in in_copy}
    arrays = {name: _array(in_source, name) for name in dict.fromkeys(other.type for other in (*in_source, *in_copy))}
    is_ours = copy is not None and IPAM_TYPE in copy.ipam_types(plugin_type)  # else nobody has taken anything out of it
    out = {
        other.type
        for other in in_source
        if other.type not in theirs and (other.type in taken_out or (is_ours and other.type in known))
    }
    present = {name for name in arrays if has_executable(name)}
    missing = {name for name in arrays if name in seen and name not in out | present}
    changed = {
        other.type for other in in_source if not is_same(known.get(other.type, arrays[other.type]), arrays[other.type])
    }
    kept = [other for other in in_copy if other.type not in missing | changed]
    kept += [other for other in in_source if other.type not in out | missing and other.type not in theirs - changed]
    text = _with_plugins(source, _merged([plugin.text for plugin in source.plugins() if plugin.type in own], kept))
    if copy and is_same(copy.text, text):
        text = copy.text  # the order of its members, and its blanks, are whoever wrote it last
    others = {name: array for name, array in arrays.items() if name not in out | missing}
    return Chain(text, others, sorted(out), sorted(missing), sorted({*seen, *present}))


def without(document: Document, types: Collection[str]) -> str:
    """Return the text without the plugins of these types, and every other byte as it is. ConflistError.

    The first plugin stays: it is the main one.
    """
    text = document.text
    for before, plugin in reversed(list(pairwise(document.plugins()))):
        if plugin.type in types:
            text = text[: before.end] + text[plugin.end :]
    return text


def is_calicos(document: Document) -> bool:
    """Tell whether a file holds nothing but what Calico writes itself."""
    try:
        return {plugin.type for plugin in document.plugins()} <= CALICOS_TYPES
    except ConflistError:
        return False


def parse_copy(data: bytes | None, network: str) -> Document | None:
    """Return the copy as a document; None where it is missing, half-written, no chain or of another network."""
    try:
        document = read_document((data or b"").decode())
        document.plugins()
        return document if document.network() == network else None
    except (ConflistError, UnicodeDecodeError):
        return None


def _others(document: Document, own: Collection[str]) -> list[_Other]:
    plugins = document.plugins()
    last = max((index for index, plugin in enumerate(plugins) if plugin.type in own), default=-1)
    found, before = [], 0
    for index, plugin in enumerate(plugins):
        if plugin.type in own:
            before += 1
        else:
            found.append(_Other(plugin.type, plugin.text, before if index < last else float("inf")))
    return found


def _array(others: list[_Other], name: str) -> str:
    return f"[{', '.join(other.text for other in others if other.type == name)}]"


def _merged(calicos: list[str], others: list[_Other]) -> list[str]:
    """Return all objects in their order."""
    at = [(index + 0.5, text) for index, text in enumerate(calicos)] + [(other.place, other.text) for other in others]
    return [text for _, text in sorted(at, key=lambda pair: pair[0])]


def _with_plugins(document: Document, plugins: list[str]) -> str:
    """Return the document's text with these in the place of its plugins; its very bytes where they are the same."""
    present = document.plugins()
    if [plugin.text for plugin in present] == plugins:
        return document.text
    if not present:
        raise ConflistError("its list of plugins is empty")
    start, end = present[0].start, present[-1].end
    return document.text[:start] + ",\n    ".join(plugins) + document.text[end:]
