"""Sends the requests of those kubectl commands that doctor names, on a machine that has no kubectl.

    python -m tests.lab.kubectl [-n NAMESPACE] delete RESOURCE NAME
    python -m tests.lab.kubectl [-n NAMESPACE] patch RESOURCE NAME --type=merge -p PATCH

RESOURCE is "pod", or PLURAL.GROUP of resources without a namespace. Other commands are refused. Side effect:
one request to the lab's API server.
"""

import argparse
import json
import sys

from tests.lab import objects
from tests.lab.processes import LabError


def main(words: list[str]) -> int:
    """Send the request of a command; return the exit status."""
    parser = argparse.ArgumentParser(prog="kubectl", allow_abbrev=False)
    parser.add_argument("-n", dest="namespace", default="default")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in ("delete", "patch"):
        command = verbs.add_parser(verb, allow_abbrev=False)
        command.add_argument("resource")
        command.add_argument("name")
    command.add_argument("--type", choices=["merge"], required=True)
    command.add_argument("-p", dest="patch", type=json.loads, required=True)
    options = parser.parse_args(words)
    try:
        path = f"{place(options.resource, options.namespace)}/{options.name}"
        if options.verb == "delete":
            objects.request("DELETE", path)
        else:
            objects.request("PATCH", path, options.patch, "application/merge-patch+json")
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{options.resource}/{options.name} {options.verb}{'d' if options.verb == 'delete' else 'ed'}")
    return 0


def place(resource: str, namespace: str) -> str:
    """Return the path of a resource's objects."""
    if resource == "pod":
        return f"/api/v1/namespaces/{namespace}/pods"
    plural, _, group = resource.partition(".")
    version = objects.request("GET", f"/apis/{group}")["preferredVersion"]["groupVersion"]
    return f"/apis/{version}/{plural}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
