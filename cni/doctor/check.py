"""What a check is, and what it finds. Pure."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from cni.contracts.doctor import Part, Severity
from cni.doctor.facts import FactReader


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


def command(text: str) -> Mend:
    """Return a mend that is a command."""
    return Mend("command", text)


def manifest(text: str) -> Mend:
    """Return a mend that is a manifest, as YAML."""
    return Mend("manifest", text)
