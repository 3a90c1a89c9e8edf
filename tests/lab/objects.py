"""The objects in the Kubernetes API, which is on the router: a test server or a real one, asked by HTTP and calicoctl.

Side effects: the test server's process, and what is written to either.
"""

import re
import sys
from pathlib import Path
from typing import Any

import httpx

from tests.lab import programs, real_api
from tests.lab.kube_api.objects import read_objects
from tests.lab.network import ROUTER
from tests.lab.processes import FOLDER, LabError, run, start, wait_for_line, wait_until

MANIFESTS = Path(__file__).parent / "manifests"
_PORT = 6443
URL = f"http://{ROUTER[4]}:{_PORT}"
KUBECONFIG = f"""\
apiVersion: v1
kind: Config
clusters: [{{name: lab, cluster: {{server: "{URL}"}}}}]
users: [{{name: lab, user: {{}}}}]
contexts: [{{name: lab, context: {{cluster: lab, user: lab}}}}]
current-context: lab
"""
Object = dict[str, Any]
_CALICO = "crd.projectcalico.org/v1"
CALICO = f"/apis/{_CALICO}"
_SETTINGS = {
    "ippools": "IPPool",
    "bgppeers": "BGPPeer",
    "bgpfilters": "BGPFilter",
    "bgpconfigurations": "BGPConfiguration",
}
SPIDERPOOL = "/apis/spiderpool.spidernet.io/v2beta1"
# No connection is kept, because the server closes one that is idle at a moment of its own.
_CLIENT = httpx.Client(base_url=URL, timeout=10, limits=httpx.Limits(max_keepalive_connections=0))
# How each of Calico's and SpiderPool's programs is told where the API is.
DATASTORE = {"DATASTORE_TYPE": "kubernetes", "KUBECONFIG": str(FOLDER / "kubeconfig")}


def serve(is_real: bool) -> None:
    """Have an API server on the router, with what a cluster with Calico has. The real one is real_api.py's."""
    (FOLDER / "kubeconfig").write_text(KUBECONFIG)
    if is_real:
        real_api.offer((ROUTER[4], _PORT))
    else:
        log = FOLDER / "logs/kube_api.log"
        command = [sys.executable, "-m", "tests.lab.kube_api", "--listen", f"{ROUTER[4]}:{_PORT}"]
        server = start(*command, log=log, environ={"PYTHONPATH": str(programs.ROOT), "PYTHONUNBUFFERED": "1"})
        wait_for_line(server, log, "ready", 15)
    _fill()


def _fill() -> None:
    """Make Calico's and SpiderPool's definitions and the objects of manifests/cluster.yaml that are not there."""
    places = (programs.CALICO_CRDS, programs.SPIDERPOOL_CRDS, MANIFESTS / "cluster.yaml")
    everything = [one for place in places for _, one in read_objects(place)]
    for one in everything:
        path = _path(one["apiVersion"], f"{one['kind'].lower()}s")
        _wait_until_served(path)
        if not exists(f"{path}/{one['metadata']['name']}"):
            request("POST", path, one)
    for spec in (one["spec"] for one in everything if one["kind"] == "CustomResourceDefinition"):
        for version in (version["name"] for version in spec["versions"] if version["served"]):
            _wait_until_served(_path(f"{spec['group']}/{version}", spec["names"]["plural"]))


def _path(api_version: str, plural: str) -> str:
    return f"/{'apis' if '/' in api_version else 'api'}/{api_version}/{plural}"


def _wait_until_served(path: str) -> None:
    """Wait until a path is served: a real server serves what a definition defines a moment after it was made."""
    wait_until(lambda: _CLIENT.get(path, params={"limit": 1}).is_success, f"the API server to serve {path}", 30)


def request(method: str, path: str, body: object = None, kind: str = "application/json") -> Object:
    """Ask the API server for something; return its answer. LabError: it refuses."""
    answer = _CLIENT.request(method, path, json=body, headers={"Content-Type": kind} if body else None)
    if answer.is_error:
        raise LabError(f"the API server refused {method} {path}: {answer.text[:300]}")
    found: Object = answer.json()
    return found


def exists(path: str) -> bool:
    """Tell whether there is an object at a path."""
    return _CLIENT.get(path).status_code != httpx.codes.NOT_FOUND


def listed(path: str) -> list[Object]:
    """Return all objects of a kind."""
    items: list[Object] = request("GET", path)["items"]
    return items


def of_calico() -> dict[str, Object]:
    """Return the objects by which Calico is set up, by their paths."""
    return {
        f"{CALICO}/{plural}/{one['metadata']['name']}": {"apiVersion": _CALICO, "kind": kind} | one
        for plural, kind in _SETTINGS.items()
        for one in listed(f"{CALICO}/{plural}")
    }


def restore(wanted: dict[str, Object]) -> None:
    """Have the objects by which Calico is set up be those again that `of_calico` has returned before."""
    present = of_calico()
    for path in present.keys() - wanted.keys():
        request("DELETE", path)
    for path, one in wanted.items():
        body = {key: value for key, value in one.items() if key != "metadata"}
        kept = {key: one["metadata"][key] for key in ("name", "annotations", "labels") if key in one["metadata"]}
        if path not in present:
            request("POST", path.rpartition("/")[0], {**body, "metadata": kept})
        elif present[path].get("spec") != one.get("spec"):
            version = present[path]["metadata"]["resourceVersion"]
            request("PUT", path, {**body, "metadata": {**kept, "resourceVersion": version}})


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
