"""A CNI network configuration (list) as text, parsed once: its plugins, and where their `ipam` values are. Pure.

CNI specification section 1. The file is never serialised anew: one `ipam` value is replaced and every other byte stays,
credentials, key order and cniVersion among them.
"""

from collections import Counter
from typing import NamedTuple

from cni.installer.conflist.json_spans import NotJsonError, Value, parse_spans, place
from cni.installer.errors import InstallerError

_KNOWN = ("type", "ipam", "plugins", "name")


class ConflistError(InstallerError, ValueError):
    """Why a network configuration is not swapped."""


class UnfinishedError(ConflistError):
    """It is not JSON: it may be half-written."""


class NoneFoundError(ConflistError):
    """There is no such plugin, and every file could be read."""


class SeveralFoundError(ConflistError):
    """There are several such plugins, and it is not to be guessed which one is meant."""


class Delegation(NamedTuple):
    """The plugin object that delegates IPAM, in one file."""

    network: str
    ipam_type: str
    ipam: str  # the text of its `ipam` value
    start: int  # where that text is in the document
    end: int


class PluginText(NamedTuple):
    """One plugin object in a file."""

    type: str
    text: str
    start: int
    end: int


class Document(NamedTuple):
    """A network configuration list, or a single configuration."""

    text: str
    value: Value

    def network(self) -> str:
        """Return the name of the network. ConflistError."""
        return _string(_members(self.value, "the file"), "name")

    def plugins(self) -> list[PluginText]:
        """Return the plugin objects of a list, in their order; of a single configuration, none. ConflistError."""
        top = _members(self.value, "the file")
        values = top["plugins"].content if "plugins" in top else []
        if not isinstance(values, list):
            raise ConflistError("its plugins are not a list")
        return [
            PluginText(_string(_members(value, "a plugin"), "type"), self.text[value.start : value.end], *value[1:])
            for value in values
        ]

    def plugin_types(self) -> set[str]:
        """Return the types of the plugins. ConflistError."""
        return {_string(plugin, "type") for plugin in self._plugins()[1]}

    def delegations(self, plugin_type: str) -> list[Delegation]:
        """Return the delegations of the plugins of this type. ConflistError."""
        top, plugins = self._plugins()
        return [self._delegation(plugin, top) for plugin in plugins if _string(plugin, "type") == plugin_type]

    def ipam_types(self, plugin_type: str | None = None) -> set[str]:
        """Return the IPAM types of all objects, however deep (Multus has delegates), or of those of `plugin_type`.

        Keys are matched without case, as Go does.
        """
        found: set[str] = set()
        values = [self.value]
        while values:
            content = values.pop().content
            if isinstance(content, list):
                values += content
            elif isinstance(content, tuple):
                values += [value for _, value in content]
                if plugin_type is None or plugin_type in _strings(content, "type"):
                    ipams = [value.content for key, value in content if key.casefold() == "ipam"]
                    found.update(*(_strings(ipam, "type") for ipam in ipams if isinstance(ipam, tuple)))
        return found

    def with_ipam(self, delegation: Delegation, ipam: str) -> str:
        """Return the text with this in the place of the delegation's `ipam` value."""
        return self.text[: delegation.start] + ipam + self.text[delegation.end :]

    def _plugins(self) -> tuple[dict[str, Value], list[dict[str, Value]]]:
        """Return the members of the whole, and those of each plugin."""
        top = _members(self.value, "the file")
        plugins = top["plugins"].content if "plugins" in top else [self.value]
        if not isinstance(plugins, list):
            raise ConflistError("its plugins are not a list")
        return top, [_members(plugin, "a plugin") for plugin in plugins]

    def _delegation(self, plugin: dict[str, Value], top: dict[str, Value]) -> Delegation:
        if "ipam" not in plugin:
            raise ConflistError("its plugin has no ipam")
        ipam = plugin["ipam"]
        ipam_type = _string(_members(ipam, "the ipam"), "type")
        return Delegation(_string(top, "name"), ipam_type, self.text[ipam.start : ipam.end], ipam.start, ipam.end)


def decode(data: bytes) -> str:
    """Return what a file holds as text. ConflistError; UnfinishedError where it ends within a character."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode()
        fault = UnfinishedError if error.reason == "unexpected end of data" else ConflistError
        raise fault(f"not UTF-8 at {place(before, len(before))}: {error.reason}") from None


def read_document(text: str) -> Document:
    """Parse the text of a file. UnfinishedError where it is not JSON."""
    try:
        return Document(text, parse_spans(text))
    except NotJsonError as error:
        raise UnfinishedError(str(error)) from None


def _members(value: Value, what: str) -> dict[str, Value]:
    """Return an object's members.

    ConflistError: Go matches keys without case, so there may be two of one name, and it is not to be guessed which one
    a plugin takes.
    """
    if not isinstance(value.content, tuple):
        raise ConflistError(f"{what} is not an object")
    members: dict[str, Value] = dict(value.content)
    folded = Counter(key.casefold() for key, _ in value.content)
    twice = sorted(key for key, number in folded.items() if number > 1)
    if twice:
        raise ConflistError(f"{what} has the key {twice[0]!r} more than once (upper and lower case are the same)")
    variants = [key for key in members if key.casefold() in _KNOWN and key not in _KNOWN]
    if variants:
        raise ConflistError(f"{what} has {variants[0]!r} for {variants[0].casefold()!r}")
    return members


def _string(members: dict[str, Value], key: str) -> str:
    content = members[key].content if key in members else ""
    return content if isinstance(content, str) else ""


def _strings(members: tuple[tuple[str, Value], ...], name: str) -> set[str]:
    return {value.content for key, value in members if key.casefold() == name and isinstance(value.content, str)}
