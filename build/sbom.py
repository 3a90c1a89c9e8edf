"""Write the release's software bill of materials (CycloneDX 1.6, JSON) and licences: TREE/sbom.cdx.json, TREE/licenses.

Usage: sbom.py SOURCES TREE. SOURCES is the list of the bundle's files and their origin, which spiderpool-ipam.spec
writes; SOURCE_DATE_EPOCH must be set. The interpreter that runs this must be the one that froze the bundle. It fails
when a Python distribution or a Debian package has no licence text. It lists a file of any other origin with a warning.
"""

import json
import os
import sys
import tomllib
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import licenses
from components import ROOT, Component, find_components
from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.contrib.this.builders import this_component
from cyclonedx.model import HashType
from cyclonedx.model import component as cyclonedx
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component_evidence import ComponentEvidence, Occurrence
from cyclonedx.model.license import License
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

INTERNAL = "_internal"


def to_cyclonedx(component: Component) -> cyclonedx.Component:
    """Return a component in the form of CycloneDX."""
    digest = component.version.removeprefix("sha256:") if component.purl is None else ""
    reference = str(component.purl or component.name)
    # Each occurrence gets a reference: the library writes those without one in an order that changes from run to run.
    occurrences = [Occurrence(bom_ref=place, location=f"{INTERNAL}/{place}") for place in component.places]
    return cyclonedx.Component(
        type=cyclonedx.ComponentType.LIBRARY if component.purl else cyclonedx.ComponentType.FILE,
        name=component.name,
        version=component.version,
        bom_ref=reference,
        purl=component.purl,
        licenses=[licence(component)] if component.texts else [],
        hashes=[HashType.from_hashlib_alg("sha256", digest)] if digest else [],
        evidence=ComponentEvidence(occurrences=occurrences) if occurrences else None,
        components=[part for path in component.sboms for part in linked_components(path, reference)],
    )


def licence(component: Component) -> License:
    """Return the licence that its metadata names, else a note that says where its licence texts are."""
    if component.licence:
        return LicenseFactory().make_from_string(component.licence)
    return LicenseFactory().make_with_name(f"see licenses/{component.name}")


def linked_components(sbom: Path, owner: str) -> list[cyclonedx.Component]:
    """Return the components that a wheel's own SBOM (PEP 770) lists, without those that it marks as excluded.

    Such a list may be too long: that of pydantic_core has the crates of all targets, and macros used at build time.
    """
    return [
        cyclonedx.Component(
            type=cyclonedx.ComponentType.LIBRARY,
            name=part["name"],
            version=part["version"],
            bom_ref=f"{owner}#{part['purl']}",
            purl=PackageURL.from_string(part["purl"]),
            licenses=[LicenseFactory().make_from_string(text) for text in licence_expressions(part)],
        )
        for part in listed_in(sbom)
    ]


def listed_in(sbom: Path) -> list[dict[str, Any]]:
    """Return the entries of a wheel's own SBOM, without those that it marks as excluded."""
    return [part for part in json.loads(sbom.read_text())["components"] if part.get("scope") != "excluded"]


def licence_expressions(part: dict[str, Any]) -> list[str]:
    """Return the licences of a component in a CycloneDX document, as SPDX expressions."""
    return [name.get("expression") or name["license"]["id"] for name in part.get("licenses", ())]


def document(release: Component, components: list[Component], timestamp: datetime) -> str:
    """Return the SBOM's text. Its serial number is computed from its content, so the same input gives the same text."""
    root = to_cyclonedx(release)
    root.type = cyclonedx.ComponentType.APPLICATION
    tools = ToolRepository(components=[this_component()])
    bom = Bom(
        components=[to_cyclonedx(component) for component in components],
        metadata=BomMetaData(component=root, timestamp=timestamp, tools=tools),
        serial_number=uuid.UUID(int=0),
    )
    bom.register_dependency(root, bom.components)
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, JsonV1Dot6(bom).output_as_string())
    return JsonV1Dot6(bom).output_as_string(indent=1) + "\n"


def project_component() -> Component:
    """Return this project as a component."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    purl = PackageURL("generic", name=table["name"], version=table["version"])
    return Component(table["name"], table["version"], purl, table["license"], {"LICENSE": ROOT / "LICENSE"})


def main(sources: Path, tree: Path) -> None:
    """Write the SBOM and the licence texts into the tree."""
    files = {Path(path).resolve(): place for path, place in json.loads(sources.read_text()).items()}
    release, components = project_component(), find_components(files, tree / INTERNAL)
    unknown = [component for component in components if component.purl is None]
    for component in unknown:
        print(f"warning: the origin of {component.name} is unknown, so its licence is not included", file=sys.stderr)
    known = [release, *(component for component in components if component not in unknown)]
    if incomplete := licenses.without_text(known):
        sys.exit("no licence text for: " + ", ".join(f"{part.name} {part.version}" for part in incomplete))
    licenses.write_texts(known, tree / "licenses")
    linked = [part for component in known for sbom in component.sboms for part in listed_in(sbom)]
    identifiers = licenses.identifiers_in(text for part in linked for text in licence_expressions(part))
    licenses.write_spdx_texts(identifiers, tree / "licenses/SPDX")
    timestamp = datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), UTC)
    (tree / "sbom.cdx.json").write_text(document(release, components, timestamp))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
