"""The command line: `python -m tests.lab.kube_api --listen HOST:PORT --load DIR`.

When it serves, it prints `ready`, and its URL in a second line: with port 0 it has taken a free one.
"""

import argparse
import sys
from pathlib import Path

import uvicorn
import yaml

from tests.lab.kube_api.application import create_app
from tests.lab.kube_api.cluster import Cluster
from tests.lab.kube_api.objects import read_objects
from tests.lab.kube_api.status_errors import StatusError
from tests.lab.kube_api.watches import Watches

_FIRST = {"CustomResourceDefinition": 0, "Namespace": 1}


class _Server(uvicorn.Server):
    """Says when it serves, and ends the watches before it waits for its connections to end."""

    def __init__(self, config: uvicorn.Config, watches: Watches) -> None:
        super().__init__(config)
        self._watches = watches

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        await super().startup()
        if self.started:
            host, port, *_ = self.servers[0].sockets[0].getsockname()
            host = f"[{host}]" if ":" in host else host
            print(f"ready\n{'https' if self.config.is_ssl else 'http'}://{host}:{port}", flush=True)

    async def shutdown(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        self._watches.end()
        await super().shutdown()


def main() -> int:
    """Serve until SIGTERM or SIGINT. The status is 1 for objects that cannot be loaded."""
    options = _options()
    cluster = Cluster(options.history)
    try:
        _load(cluster, options.load)
    except (OSError, StatusError, yaml.YAMLError, KeyError) as error:
        print(f"tests.lab.kube_api: {error}", file=sys.stderr)
        return 1
    watches = Watches(cluster.store)
    host, _, port = options.listen.rpartition(":")
    config = uvicorn.Config(
        create_app(cluster, watches),
        host=host.strip("[]"),
        port=int(port),
        http="httptools",
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        ssl_certfile=options.tls_cert,
        ssl_keyfile=options.tls_key,
        timeout_graceful_shutdown=1,
    )
    _Server(config, watches).run()
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.lab.kube_api", description=__doc__)
    parser.add_argument("--listen", required=True, metavar="HOST:PORT", help="where to serve")
    parser.add_argument("--load", type=Path, action="append", default=[], metavar="DIR", help="objects to begin with")
    parser.add_argument("--tls-cert", metavar="FILE", help="serve HTTPS with this certificate")
    parser.add_argument("--tls-key", metavar="FILE", help="the key of the certificate")
    parser.add_argument("--history", type=int, default=20_000, metavar="N", help="changes that a watch can begin at")
    return parser.parse_args()


def _load(cluster: Cluster, places: list[Path]) -> None:
    """Load the objects of folders and files: first what defines resources, then what holds other objects."""
    found = [entry for place in places for entry in read_objects(place)]
    for path, document in sorted(found, key=lambda entry: _FIRST.get(entry[1].get("kind", ""), 2)):
        try:
            cluster.load(document)
        except (StatusError, KeyError) as error:
            raise StatusError(400, "BadRequest", f"{path}: {error}") from error


if __name__ == "__main__":
    sys.exit(main())
