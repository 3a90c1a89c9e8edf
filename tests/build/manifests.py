"""The manifests of build/kubernetes as `kubectl apply -k` would send them, rendered by kustomize."""

import subprocess
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import yaml

from tests import requirements
from tests.requirements import ROOT

FOLDER = ROOT / "build/kubernetes"
NAMES = ("install", "uninstall")
HOST = PurePosixPath("/host")


def render(name: str) -> list[dict[str, Any]]:
    kustomize = requirements.need_tool("kustomize")
    done = subprocess.run([kustomize, "build", FOLDER / name], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return list(yaml.safe_load_all(done.stdout))


def daemon_set(name: str) -> dict[str, Any]:
    (found,) = [document for document in render(name) if document["kind"] == "DaemonSet"]
    return dict(found)


def pod_spec(name: str) -> dict[str, Any]:
    return dict(daemon_set(name)["spec"]["template"]["spec"])


def init_container(spec: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [one for one in spec["initContainers"] if one["name"] == name]
    return dict(found)


class Mount(NamedTuple):
    """A folder of the node in a container."""

    node: PurePosixPath
    container: PurePosixPath
    read_only: bool


def node_mounts(spec: dict[str, Any], container: dict[str, Any]) -> list[Mount]:
    """Return the folders of the node that a container gets."""
    paths = {volume["name"]: volume["hostPath"]["path"] for volume in spec["volumes"] if "hostPath" in volume}
    return [
        Mount(
            PurePosixPath(paths[mount["name"]]), PurePosixPath(mount["mountPath"]), bool(mount.get("readOnly", False))
        )
        for mount in container["volumeMounts"]
        if mount["name"] in paths
    ]
