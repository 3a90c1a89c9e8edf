"""A real Prometheus on loopback, which scrapes watches."""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests import requirements
from tests.waiting import SLACK, wait_for

ROOT = Path(__file__).parents[2]
RULES = ROOT / "build/monitoring/rules.yaml"


class Prometheus:
    """It scrapes once a second."""

    def __init__(self, port: int) -> None:
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", trust_env=False, timeout=20)

    def is_up(self) -> bool:
        try:
            return bool(self.query("up == 1")) and not self.query("up == 0")
        except httpx.HTTPError:  # it listens before it answers, and refuses before it is ready
            return False

    def query(self, expr: str) -> list[dict[str, Any]]:
        """Return the series that an expression has now."""
        found: list[dict[str, Any]] = self.get("/query", query=expr)["result"]
        return found

    def get(self, path: str, **parameters: str) -> Any:
        return self._client.get(path, params=parameters).raise_for_status().json()["data"]

    def close(self) -> None:
        self._client.close()


@contextmanager
def prometheus(folder: Path, *targets: str) -> Iterator[Prometheus]:
    """Run Prometheus until the block ends; it reads rules.yaml, and scrapes these, each an address with a port."""
    program = requirements.need_tool("prometheus")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    scrape = {"job_name": "spiderpool-ipam", "static_configs": [{"targets": [*targets]}]}
    seconds = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    document = {"global": seconds, "rule_files": [str(RULES)], "scrape_configs": [scrape]}
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(document))
    options = {
        "config.file": folder / "prometheus.yaml",
        "storage.tsdb.path": folder / "tsdb",
        "web.listen-address": f"127.0.0.1:{port}",
        # Debian's package has them elsewhere; nobody looks at its pages here.
        "web.console.templates": folder,
        "web.console.libraries": folder,
    }
    # It ends with the test, also where that is killed.
    before = [requirements.need_program("setpriv"), "--pdeathsig=TERM"]
    command = [*before, str(program), *(f"--{name}={value}" for name, value in options.items())]
    with (
        (folder / "prometheus.log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "GOMAXPROCS": "1"}) as process,
    ):
        served = Prometheus(port)
        try:
            wait_for(served.is_up, f"Prometheus to scrape ({folder}/prometheus.log)")
            yield served
        finally:
            served.close()
            process.terminate()
            process.wait(20 + SLACK)
