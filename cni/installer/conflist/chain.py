"""The chain of plugins in our copy of Calico's conflist, where others put theirs in as well. Pure.

Service meshes chain their plugin to the first file that runtimes load, which is our copy: istio-cni writes it into that
file, linkerd-cni into every file. So the copy is more than the source with our `ipam`: it keeps the objects of others,
also after calico-node has written the source anew without them, and leaves out what its owner has taken out of the
copy, and what has no executable, because then no pod could start.
"""

from collections.abc import Callable
from typing import NamedTuple

from cni.installer.conflist.document import ConflistError, Document, read_document
from cni.installer.conflist.json_spans import is_same

# What Calico writes itself (its default configuration, and what its documentation and operator add).
CALICOS_TYPES = frozenset({"calico", "portmap", "bandwidth", "tuning"})


class Chain(NamedTuple):
    """The text of a copy, and what is to be remembered of it."""

    text: str
    others: list[str]  # the types of others' plugins in it
    taken_out: list[str]  # those that are in the source, and that their owner has taken out of the copy
    without_executable: list[str]  # those that are left out because their executable is missing


def chain(
    source: Document,
    plugin_type: str,
    copy: Document | None,
    *,
    known: list[str],
    taken_out: list[str],
    has_executable: Callable[[str], bool],
) -> Chain:
    """Return what the copy of `source`, which has our `ipam` already, is to hold.

    `copy` is the copy as it is; None where it is missing, or is not ours any more. `known` are the types of others that
    it held when it was last looked at. ConflistError.
    """
    own = CALICOS_TYPES | {plugin_type}
    theirs = {plugin.type: plugin for plugin in copy.plugins() if plugin.type not in own} if copy else {}
    in_source = [plugin.type for plugin in source.plugins() if plugin.type not in own]
    out = {name for name in in_source if copy and name not in theirs and (name in taken_out or name in known)}
    missing = sorted({name for name in (*in_source, *theirs) if name not in out and not has_executable(name)})
    left_out = out | set(missing)
    plugins = [
        theirs[plugin.type].text if plugin.type in theirs else plugin.text
        for plugin in source.plugins()
        if plugin.type not in left_out
    ]
    added = [plugin.text for name, plugin in theirs.items() if name not in in_source and name not in left_out]
    text = _with_plugins(source, [*plugins, *added])
    if copy and is_same(copy.text, text):
        text = copy.text  # the order of its members, and its blanks, are whoever wrote it last
    others = [name for name in (*in_source, *theirs) if name not in left_out]
    return Chain(text, sorted(set(others)), sorted(out), missing)


def is_calicos(document: Document) -> bool:
    """Tell whether a file holds nothing but what Calico writes itself."""
    try:
        return {plugin.type for plugin in document.plugins()} <= CALICOS_TYPES
    except ConflistError:
        return False


def parse_copy(data: bytes | None) -> Document | None:
    """Return the copy as a document; None where it is missing, half-written or no chain."""
    try:
        document = read_document((data or b"").decode())
        document.plugins()
    except (ConflistError, UnicodeDecodeError):
        return None
    return document


def _with_plugins(document: Document, plugins: list[str]) -> str:
    """Return the document's text with these in the place of its plugins; its very bytes where they are the same."""
    present = document.plugins()
    if [plugin.text for plugin in present] == plugins:
        return document.text
    if not present:
        raise ConflistError("its list of plugins is empty")
    start, end = present[0].start, present[-1].end
    return document.text[:start] + ",\n    ".join(plugins) + document.text[end:]
