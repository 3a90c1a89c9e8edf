"""`spiderpool-ipam version`: the version, what the plugin speaks, and what is bundled. Reads the release's SBOM."""

import click

from cni.cli.node_options import failing_in_one_line
from cni.cli.table import counted
from cni.cni_versions import SUPPORTED
from cni.installer.bundle import own


@click.command()
@click.option(
    "--json", "as_json", is_flag=True,
    help="Print a JSON object (spec/report/version.schema.json), with the bundled components.",
)  # fmt: skip
def version(as_json: bool) -> None:
    """Show the version, what the plugin speaks, and what is bundled."""
    with failing_in_one_line():
        number, sbom = own.version(), own.sbom()
        bundled = sbom.components if sbom else []
        if as_json:
            from cni.contracts.reports import Component, VersionReport

            components = [Component(name=part.name, version=part.version) for part in bundled]
            report = VersionReport(version=number, cni_versions=list(SUPPORTED), components=components)
            click.echo(report.to_json())
        else:
            listed = f"with {counted(len(bundled), 'component')} (--json lists {'it' if len(bundled) == 1 else 'them'})"
            origin = listed if sbom else "from a source tree"
            click.echo(f"spiderpool-ipam {number}, CNI {' '.join(SUPPORTED)}, {origin}")
