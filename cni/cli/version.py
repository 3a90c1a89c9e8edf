"""`spiderpool-ipam version`: the version, what the plugin speaks, and what is bundled. Reads the release's SBOM."""

import json

import click

from cni.cni_versions import SUPPORTED
from cni.installer.bundle import own as own_bundle


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object, with the bundled components.")
def version(as_json: bool) -> None:
    """Show the version, what the plugin speaks, and what is bundled."""
    number, sbom = own_bundle.version(), own_bundle.sbom()
    parts = [{"name": part["name"], "version": part["version"]} for part in sbom["components"]] if sbom else []
    if as_json:
        click.echo(json.dumps({"version": number, "cniVersions": list(SUPPORTED), "components": parts}))
    else:
        bundled = f"with {len(parts)} components (--json lists them)" if sbom else "from a source tree"
        click.echo(f"spiderpool-ipam {number}, CNI {' '.join(SUPPORTED)}, {bundled}")
