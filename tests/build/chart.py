"""The Helm chart, as helm renders it."""

import json
import subprocess
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from tests import requirements
from tests.requirements import ROOT

FOLDER = ROOT / "build/chart/spiderpool-ipam"
VALUES = yaml.safe_load((FOLDER / "values.yaml").read_text())
SCHEMA = json.loads((FOLDER / "values.schema.json").read_text())
PLATFORMS: list[str] = SCHEMA["properties"]["platform"]["enum"]
MODES: list[str] = SCHEMA["properties"]["mode"]["enum"]
EVERYTHING: dict[str, Any] = {
    "image": {"pullSecrets": ["registry"]},
    "installOptions": ["--set=log_level=debug"],
    "metrics": {
        "enabled": True,
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "alerts": {"enabled": True, "labels": {"release": "prometheus"}, "runbookPrefix": "https://git.example.org/x/"},
        "dashboard": {"enabled": True},
        "report": {"enabled": True, "pods": True},
    },
}
_SETS: "product[tuple[str, str, dict[str, Any]]]" = product(PLATFORMS, MODES, ({}, EVERYTHING))
VARIANTS = [{"platform": platform, "mode": mode, **more} for platform, mode, more in _SETS]

Object = dict[str, Any]


def helm(*arguments: str | Path, **options: Any) -> "subprocess.CompletedProcess[str]":
    """Run helm, whatever its exit status."""
    command = [requirements.need_tool("helm"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


def render(values: Object, *options: str) -> list[Object]:
    """Return the objects that the chart makes of these values."""
    done = template(values, *options)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def template(values: Object, *options: str) -> "subprocess.CompletedProcess[str]":
    """Run `helm template`, which reads the values from stdin."""
    return helm(
        "template",
        "spiderpool-ipam",
        FOLDER,
        "--namespace=kube-system",
        "--values=-",
        *options,
        input=json.dumps(values),
    )


def of_kind(documents: list[Object], kind: str, name: str = "spiderpool-ipam") -> Object:
    (found,) = [one for one in documents if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found


def pod_spec(values: Object) -> Object:
    """Return what the DaemonSet's pods are made of."""
    spec: Object = of_kind(render(values), "DaemonSet")["spec"]["template"]["spec"]
    return spec
