"""`spiderpool-ipam version`: the version, what the plugin speaks, and what is bundled. Reads the release's SBOM."""

import json
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import click

from cni.spec_versions import SUPPORTED


def read_sbom() -> dict[str, Any] | None:
    """Return the SBOM that lies in a frozen tree; None where this runs from sources, which bundle nothing."""
    if not hasattr(sys, "_MEIPASS"):
        return None
    path = Path(sys._MEIPASS).with_name("sbom.cdx.json")
    try:
        sbom: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise click.ClickException(f"broken bundle, install it again: {path}: {error}") from None
    return sbom


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object, with the bundled components.")
def version(as_json: bool) -> None:
    """Show the version, what the plugin speaks, and what is bundled."""
    sbom = read_sbom()
    number = sbom["metadata"]["component"]["version"] if sbom else metadata.version("spiderpool-ipam")
    parts = [{"name": part["name"], "version": part["version"]} for part in sbom["components"]] if sbom else []
    if as_json:
        click.echo(json.dumps({"version": number, "cniVersions": list(SUPPORTED), "components": parts}))
    else:
        bundled = f"with {len(parts)} components (--json lists them)" if sbom else "from a source tree"
        click.echo(f"spiderpool-ipam {number}, CNI {' '.join(SUPPORTED)}, {bundled}")
