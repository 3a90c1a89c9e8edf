"""`spiderpool-ipam agent`: serve the embedded agent (cni/agent)."""

from pathlib import Path

import click

from cni.defaults import AGENT_SOCKET, EMBEDDED_AGENT_FOLDER


@click.command()
@click.option(
    "--socket",
    "socket_path",
    type=click.Path(path_type=Path),
    default=AGENT_SOCKET,
    show_default=True,
    help="The unix socket to serve on.",
)
@click.option(
    "--pool",
    "pool_paths",
    type=click.Path(path_type=Path),
    multiple=True,
    required=True,
    help="A file of SpiderIPPool manifests, or a folder of them. Can be given more than once.",
)
@click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    default=EMBEDDED_AGENT_FOLDER,
    show_default=True,
    help="The folder in which the agent keeps who holds which address.",
)
@click.option("--detect-conflicts", is_flag=True, help="Have the plugin probe whether another machine has the address.")
@click.option("--detect-gateway", is_flag=True, help="Have the plugin probe whether the gateway answers.")
def agent(
    socket_path: Path, pool_paths: tuple[Path, ...], state: Path, detect_conflicts: bool, detect_gateway: bool
) -> None:
    """Serve the embedded agent where there is no Kubernetes.

    It answers as a spiderpool-agent does, out of SpiderIPPool manifests and a folder of its own. Changes to the
    manifests take effect at the next start. One line on stdout says that it serves; changes and refused requests are
    logged on stderr. SIGTERM stops it.
    """
    from cni.agent.answers import Detection
    from cni.agent.pools import PoolError
    from cni.agent.server import ServeError, serve

    try:
        serve(socket_path, pool_paths, state, Detection(detect_conflicts, detect_gateway))
    except (PoolError, ServeError) as error:
        raise click.ClickException(str(error)) from None
