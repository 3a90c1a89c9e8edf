"""The manifests of build/kubernetes as `kubectl apply -k` would send them, rendered by kustomize."""

import importlib
import subprocess
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import click
import yaml

from cni.cli.__main__ import COMMANDS
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


def containers(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return [*spec.get("initContainers", []), *spec["containers"]]


def require_arguments(spec: dict[str, Any]) -> None:
    """Have the program read the command lines of all containers and probes."""
    lines = [container["args"] for container in containers(spec)]
    for container in containers(spec):
        for probe in {"readinessProbe", "livenessProbe"} & set(container):
            program, *arguments = container[probe]["exec"]["command"]
            assert program == "/spiderpool-ipam/spiderpool-ipam"  # build/oci.py's Entrypoint
            lines.append(arguments)
    for command, *arguments in lines:
        # This machine has no /host, and the kubelet sets the variable.
        given = [one.replace("$(NODE_ADDRESS)", "fd00::1") for one in arguments if one != "--host-root=/host"]
        found: click.Command = getattr(importlib.import_module(COMMANDS[command][0]), command)
        found.make_context(command, given)


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
