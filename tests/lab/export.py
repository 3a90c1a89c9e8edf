"""Vectors of what BIRD exports: the objects and pods that decide it, and the prefixes of each node, by family.

`export/CASE/objects.json` holds the objects as the API lists them, without what differs at each run;
`export/CASE/exported.json` holds {node: {family: prefixes}}. Side effect: `record` writes them.
"""

import json
from pathlib import Path

from tests.lab import calico_node, objects
from tests.lab.objects import CALICO, Object
from tests.lab.topology import Lab

FOLDER = Path(__file__).parent / "export"
_KINDS = {
    "IPPool": f"{CALICO}/ippools",
    "BGPPeer": f"{CALICO}/bgppeers",
    "BGPConfiguration": f"{CALICO}/bgpconfigurations",
    "BGPFilter": f"{CALICO}/bgpfilters",
    "BlockAffinity": f"{CALICO}/blockaffinities",
    "Node": "/api/v1/nodes",
    "Pod": "/api/v1/pods",
}
# What differs at each run, or says nothing of the object. The annotation has calicoctl's own copy of uid and time.
_METADATA = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "selfLink")
_ANNOTATIONS = ("projectcalico.org/metadata", "cni.projectcalico.org/containerID")


def seen(lab: Lab) -> tuple[list[Object], dict[str, dict[str, list[str]]]]:
    """Return the objects, and what each node exports to the router."""
    found = [
        {"apiVersion": one.get("apiVersion") or path.removeprefix("/api/").removeprefix("/apis/").rpartition("/")[0]}
        | {"kind": kind}
        | _normal(one)
        for kind, path in _KINDS.items()
        for one in sorted(objects.listed(path), key=lambda one: str(one["metadata"]["name"]))
        if not one.get("spec", {}).get("hostNetwork")  # a pod that has no route of its own
    ]
    return found, {node.name: calico_node.exported(node) for node in lab.nodes}


def record(case: str, lab: Lab) -> None:
    """Write the vector of a case."""
    folder = FOLDER / case
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in zip(("objects", "exported"), seen(lab), strict=True):
        (folder / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")


def difference(case: str, lab: Lab) -> str:
    """Return in what the lab differs from the vector of a case; nothing if it does not."""
    for name, content in zip(("objects", "exported"), seen(lab), strict=True):
        path = FOLDER / case / f"{name}.json"
        if lab.has_real_api and name == "objects":
            continue  # a real server fills in more than the test server does
        if not path.exists() or json.loads(path.read_text()) != content:
            return f"{path.relative_to(FOLDER.parents[2])} is not what was seen: {json.dumps(content)[-600:]}"
    return ""


def _normal(one: Object) -> Object:
    """Return an object without what differs at each run."""
    metadata = {key: value for key, value in one["metadata"].items() if key not in _METADATA}
    kept = {key: value for key, value in metadata.get("annotations", {}).items() if key not in _ANNOTATIONS}
    metadata = {key: value for key, value in metadata.items() if key != "annotations"}
    if kept:
        metadata["annotations"] = kept
    return {"metadata": metadata, **{key: one[key] for key in ("spec",) if key in one}}
