"""Sends the requests of those kubectl commands that doctor names, on a machine that has no kubectl.

    python -m tests.lab.kubectl [-n NAMESPACE] delete RESOURCE NAME
    python -m tests.lab.kubectl [-n NAMESPACE] patch RESOURCE NAME --type=merge -p PATCH

RESOURCE is "pod", or PLURAL.GROUP of resources without a namespace. Other commands are refused. Side effect: a
request that changes something, to the server of the kubeconfig, which has to ask for no credentials.
"""

import argparse
import json
import os
import sys

import httpx

from cni.doctor.collect import kubeconfig
from cni.installer.errors import InstallerError

_SECONDS = 30


def main(words: list[str]) -> int:
    """Send the request of a command; return the exit status."""
    options = _parse(words)
    try:
        with httpx.Client(base_url=kubeconfig.find(None, "", os.environ).server, timeout=_SECONDS) as client:
            path = f"{_place(client, options.resource, options.namespace)}/{options.name}"
            if options.verb == "delete":
                answer = client.delete(path)
            else:
                headers = {"Content-Type": "application/merge-patch+json"}
                answer = client.patch(path, content=json.dumps(options.patch), headers=headers)
            answer.raise_for_status()
    except (InstallerError, httpx.HTTPError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{options.resource}/{options.name}: {options.verb} is done")
    return 0


def _parse(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="kubectl", allow_abbrev=False)
    parser.add_argument("-n", dest="namespace", default="default")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in ("delete", "patch"):
        command = verbs.add_parser(verb, allow_abbrev=False)
        command.add_argument("resource")
        command.add_argument("name")
    command.add_argument("--type", choices=["merge"], required=True)
    command.add_argument("-p", dest="patch", type=json.loads, required=True)
    return parser.parse_args(words)


def _place(client: httpx.Client, resource: str, namespace: str) -> str:
    """Return the path of a resource's objects."""
    if resource == "pod":
        return f"/api/v1/namespaces/{namespace}/pods"
    plural, _, group = resource.partition(".")
    version = client.get(f"/apis/{group}").raise_for_status().json()["preferredVersion"]["groupVersion"]
    return f"/apis/{version}/{plural}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
