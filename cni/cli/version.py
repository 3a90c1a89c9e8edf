"""`spiderpool-ipam version`: the version, and what the plugin speaks."""

import json
from importlib import metadata

import click

from cni.spec_versions import SUPPORTED


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def version(as_json: bool) -> None:
    """Show the version, and what the plugin speaks."""
    report = {"version": metadata.version("spiderpool-ipam"), "cniVersions": list(SUPPORTED)}
    if as_json:
        click.echo(json.dumps(report))
    else:
        click.echo(f"spiderpool-ipam {report['version']}, CNI {' '.join(SUPPORTED)}")
