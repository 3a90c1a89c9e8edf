"""What a check is, what it finds, and how what it finds is mended. Pure."""

import json
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import reduce
from typing import Literal, NamedTuple

from cni.contracts.doctor import Part, Severity
from cni.doctor.facts import FactReader

_UNUSABLE = "NAME"  # what a command has in the place of a value that no shell and no program should be given


class Texts(NamedTuple):
    """The texts of a check, in another language than the table's."""

    looks_at: str
    why: str
    to_do: str


@dataclass(frozen=True)
class Mend:
    """How to mend something: a command for a shell, or a manifest to apply."""

    kind: Literal["command", "manifest"]
    text: str


@dataclass(frozen=True)
class Finding:
    """One thing that is not well. What is not given is the check's own."""

    object: str  # a file, "IPPool/NAME", an address
    seen: str
    mend: Mend | None = None
    why: str = ""
    severity: Severity | None = None
    cause: str = ""  # the id of the check that names what this comes from


@dataclass(frozen=True)
class Check:
    """One row of the table of checks. `--list`, `--explain` and the pages are made of it."""

    id: str  # kebab case; it is never used again for something else
    part: Part
    severity: Severity  # of a finding that does not say otherwise
    looks_at: str  # one line
    why: str  # why what it finds matters, in whole sentences
    to_do: str  # how to mend it, in whole sentences
    needs: tuple[str, ...]  # facts without which it is not made, as "node.agent"
    find: Callable[[FactReader], Iterable[Finding]] = field(repr=False)
    uses: tuple[str, ...] = ()  # facts that it looks at where they are known
    before_install: bool = False  # whether it has to hold before install: --pre
    waits: bool = False  # whether time may mend it: --wait tries it again

    @property
    def declared(self) -> frozenset[str]:
        """The names of all facts that it may look at."""
        return frozenset((*self.needs, *self.uses))

    @property
    def doc(self) -> str:
        """Where its documentation is."""
        return f"docs/doctor/{self.part}.md#{self.id}"


def command(text: str, *values: object) -> Mend:
    """Return a mend that is a command: each {} of the text is a value, in quotes where a shell would obey it.

    Others have written the values, and people paste the command, so the text itself holds none of them. A mend goes in
    as it is: a command as a part of this one, a manifest as a here-document. A list goes in item by item.
    """
    return Mend("command", text.format(*map(_argument, values)))


def in_turn(commands: Iterable[Mend]) -> Mend:
    """Return the command that runs these, each if the one before it has not failed."""
    return reduce(lambda first, then: command("{} && {}", first, then), commands)


def manifest(text: str, **values: object) -> Mend:
    """Return a mend that is a manifest, as YAML: each {name} of the text is that value, as JSON, which is YAML, too."""
    return Mend("manifest", text.format(**{name: json.dumps(value) for name, value in values.items()}))


def _argument(value: object) -> str:
    if isinstance(value, Mend):
        return value.text if value.kind == "command" else f"<<'END'\n{value.text}END"
    if isinstance(value, list):
        return " ".join(map(_argument, value))
    word = str(value)
    # Kubernetes lets no object have such a name, but a bundle may: a program takes a dash for an option, as in `delete
    # pod --all`, and a terminal obeys what cannot be printed.
    if word.startswith("-") or not word.isprintable():
        return _UNUSABLE
    return shlex.quote(word)
