"""Runs the test API server in a process of its own, for tests on loopback, and asks it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from tests.requirements import ROOT

MAPS = "/api/v1/namespaces/default/configmaps"
_KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters: [{{name: lab, cluster: {{server: "{url}"{more}}}}}]
users: [{{name: lab, user: {{}}}}]
contexts: [{{name: lab, context: {{cluster: lab, user: lab}}}}]
current-context: lab
"""


class Api(NamedTuple):
    """A running server, and a client of it."""

    process: "subprocess.Popen[str]"
    url: str
    client: httpx.Client

    def kubeconfig(self, folder: Path, ca: Path | None = None) -> Path:
        """Write a kubeconfig for the server into a folder; with its authority, if it has one."""
        path = folder / "kubeconfig"
        more = f', certificate-authority: "{ca}"' if ca else ""
        path.write_text(_KUBECONFIG.format(url=self.url, more=more))
        return path


@contextmanager
def running_api(*options: str | Path) -> Iterator[Api]:
    """Run a server on a free port until the block ends."""
    command = [sys.executable, "-m", "tests.lab.kube_api", "--listen=127.0.0.1:0", *options]
    with subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "ready\n", "the server does not serve: what it said is on stderr"
            url = process.stdout.readline().strip()
            with httpx.Client(base_url=url, timeout=30, verify=False) as client:
                yield Api(process, url, client)
        finally:
            process.terminate()


def made(answer: httpx.Response, status: int = 201) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json()


def create(api: Api, path: str, name: str, **more: Any) -> Any:
    """Make an object; `metadata` is added to its name."""
    metadata = {"name": name, **more.pop("metadata", {})}
    return made(api.client.post(path, json={"metadata": metadata, **more}))


def everything(api: Api) -> set[str]:
    """Return the UIDs of all objects."""
    groups = made(api.client.get("/apis"), 200)["groups"]
    places = ["/api/v1", *(f"/apis/{version['groupVersion']}" for group in groups for version in group["versions"])]
    lists = [
        f"{place}/{resource['name']}"
        for place in places
        for resource in made(api.client.get(place), 200)["resources"]
        if "list" in resource["verbs"]
    ]
    return {item["metadata"]["uid"] for path in lists for item in made(api.client.get(path), 200)["items"]}


def refused(answer: httpx.Response) -> tuple[int, str]:
    status = answer.json()
    assert (status["kind"], status["status"], status["code"]) == ("Status", "Failure", answer.status_code)
    return answer.status_code, status["reason"]
