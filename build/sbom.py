"""The release's software bill of materials, CycloneDX 1.6 as JSON. Writes TREE/sbom.cdx.json and TREE/licenses.

Usage: sbom.py SOURCES TREE, where SOURCES is the spec's list of where the bundle's files came from, with
SOURCE_DATE_EPOCH set. The interpreter that runs this must be the one that froze the bundle. Fails where a component of
a distribution or a package has no licence text; a file that is of neither is listed with a warning.
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
from components import ROOT, Component, find
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


def entry(component: Component) -> cyclonedx.Component:
    """Return a component as CycloneDX has it."""
    digest = component.version.removeprefix("sha256:") if component.purl is None else ""
    reference = str(component.purl or component.name)
    # Without references of their own, the library writes them in an order that changes from run to run.
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
        components=[part for path in component.sboms for part in linked_in(path, reference)],
    )


def licence(component: Component) -> License:
    """Return what its metadata says, or where its texts are."""
    if component.licence:
        return LicenseFactory().make_from_string(component.licence)
    return LicenseFactory().make_with_name(f"see licenses/{component.name}")


def linked_in(sbom: Path, owner: str) -> list[cyclonedx.Component]:
    """Return what a wheel's own SBOM (PEP 770) lists, without what it marks as excluded.

    It errs on the long side: pydantic_core's has the crates of all targets, and macros that served at build time.
    """
    return [
        cyclonedx.Component(
            type=cyclonedx.ComponentType.LIBRARY,
            name=part["name"],
            version=part["version"],
            bom_ref=f"{owner}#{part['purl']}",
            purl=PackageURL.from_string(part["purl"]),
            licenses=[LicenseFactory().make_from_string(text) for text in expressions(part)],
        )
        for part in parts(sbom)
    ]


def parts(sbom: Path) -> list[dict[str, Any]]:
    """Return the components that a wheel's own SBOM lists."""
    return [part for part in json.loads(sbom.read_text())["components"] if part.get("scope") != "excluded"]


def expressions(part: dict[str, Any]) -> list[str]:
    """Return the licences of a component in a CycloneDX document, as SPDX expressions."""
    return [name.get("expression") or name["license"]["id"] for name in part.get("licenses", ())]


def document(ours: Component, components: list[Component], timestamp: datetime) -> str:
    """Return the SBOM's text; what it says determines its serial number."""
    root = entry(ours)
    root.type = cyclonedx.ComponentType.APPLICATION
    tools = ToolRepository(components=[this_component()])
    bom = Bom(
        components=[entry(component) for component in components],
        metadata=BomMetaData(component=root, timestamp=timestamp, tools=tools),
        serial_number=uuid.UUID(int=0),
    )
    bom.register_dependency(root, bom.components)
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, JsonV1Dot6(bom).output_as_string())
    return JsonV1Dot6(bom).output_as_string(indent=1) + "\n"


def project() -> Component:
    """Return this project as a component."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    purl = PackageURL("generic", name=table["name"], version=table["version"])
    return Component(table["name"], table["version"], purl, table["license"], {"LICENSE": ROOT / "LICENSE"})


def main(sources: Path, tree: Path) -> None:
    """Write the SBOM and the licence texts into the tree."""
    files = {Path(path).resolve(): place for path, place in json.loads(sources.read_text()).items()}
    ours, components = project(), find(files, tree / INTERNAL)
    unknown = [component for component in components if component.purl is None]
    for component in unknown:
        print(f"warning: nothing tells where {component.name} is from: its licence is not included", file=sys.stderr)
    known = [ours, *(component for component in components if component not in unknown)]
    if without := licenses.lacking(known):
        sys.exit("no licence text for: " + ", ".join(f"{part.name} {part.version}" for part in without))
    licenses.write(known, tree / "licenses")
    linked = [part for component in known for sbom in component.sboms for part in parts(sbom)]
    named = licenses.named_by(text for part in linked for text in expressions(part))
    licenses.write_named(named, tree / "licenses/SPDX")
    timestamp = datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), UTC)
    (tree / "sbom.cdx.json").write_text(document(ours, components, timestamp))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
