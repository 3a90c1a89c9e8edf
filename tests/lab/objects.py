"""The objects in the Kubernetes API: a test API server on the router, asked by HTTP and by calicoctl.

Side effects: the API server's process, and what is written to it.
"""

import re
import shutil
import sys
from pathlib import Path
from typing import Any

import httpx

from tests.lab import programs
from tests.lab.network import ROUTER
from tests.lab.processes import FOLDER, LabError, run, start, wait_for_line

MANIFESTS = Path(__file__).parent / "manifests"
ADDRESS = f"{ROUTER[4]}:6443"
URL = f"http://{ADDRESS}"
KUBECONFIG = f"""\
apiVersion: v1
kind: Config
clusters: [{{name: lab, cluster: {{server: "{URL}"}}}}]
users: [{{name: lab, user: {{}}}}]
contexts: [{{name: lab, context: {{cluster: lab, user: lab}}}}]
current-context: lab
"""
Object = dict[str, Any]
CALICO = "/apis/crd.projectcalico.org/v1"
SPIDERPOOL = "/apis/spiderpool.spidernet.io/v2beta1"
# How each of Calico's and SpiderPool's programs is told where the API is.
DATASTORE = {"DATASTORE_TYPE": "kubernetes", "KUBECONFIG": str(FOLDER / "kubeconfig")}


def serve() -> None:
    """Start the API server with Calico's and SpiderPool's definitions and the objects of manifests/cluster.yaml."""
    folder, log = FOLDER / "api", FOLDER / "logs/kube_api.log"
    folder.mkdir()
    for path in (programs.CALICO_CRDS, *programs.SPIDERPOOL_CRDS.glob("*.yaml"), MANIFESTS / "cluster.yaml"):
        # The definitions come first, whatever the names of the files are.
        shutil.copy(path, folder / f"{1 if path.parent == MANIFESTS else 0}-{path.name}")
    (FOLDER / "kubeconfig").write_text(KUBECONFIG)
    command: list[str | Path] = [sys.executable, "-m", "tests.lab.kube_api", "--listen", ADDRESS, "--load", folder]
    server = start(*command, log=log, environ={"PYTHONPATH": str(programs.ROOT), "PYTHONUNBUFFERED": "1"})
    wait_for_line(server, log, "ready", 15)


def request(method: str, path: str, body: object = None, kind: str = "application/json") -> Object:
    """Ask the API server for something; return its answer. LabError: it refuses."""
    answer = httpx.request(method, URL + path, json=body, headers={"Content-Type": kind} if body else None, timeout=10)
    if answer.is_error:
        raise LabError(f"the API server refused {method} {path}: {answer.text[:300]}")
    found: Object = answer.json()
    return found


def exists(path: str) -> bool:
    """Tell whether there is an object at a path."""
    return httpx.get(URL + path, timeout=10).status_code != httpx.codes.NOT_FOUND


def listed(path: str) -> list[Object]:
    """Return all objects of a kind."""
    items: list[Object] = request("GET", path)["items"]
    return items


def calicoctl(*words: str, stdin: str = "") -> str:
    """Run calicoctl as the guide does."""
    return run(programs.CALICOCTL, *words, stdin=stdin, environ=DATASTORE)


def apply(manifest: str) -> str:
    """Apply Calico's objects of a manifest by calicoctl; return what it made, in a few words."""
    said = calicoctl("apply", "-f", "-", stdin=manifest)
    return " ".join(re.findall(r"Successfully \w+ .*", said)) or said.strip()


def manifest(name: str) -> str:
    """Return the text of a file in manifests/."""
    return (MANIFESTS / name).read_text()
