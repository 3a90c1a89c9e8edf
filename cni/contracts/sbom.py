"""The release's software bill of materials (CycloneDX 1.6), as far as the operator program reads it.

build/sbom.py writes the file `sbom.cdx.json` into the bundle.
"""

from dataclasses import dataclass

from pydantic import TypeAdapter


@dataclass(frozen=True)
class Component:
    """A piece of software: the release, or one that is bundled with it."""

    name: str
    version: str


@dataclass(frozen=True)
class Metadata:
    """What the file says of the release."""

    component: Component


@dataclass(frozen=True)
class Sbom:
    """The release, and what is bundled with it."""

    metadata: Metadata
    components: list[Component]


SBOM = TypeAdapter(Sbom)
