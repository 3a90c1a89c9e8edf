"""Reads when the token ends that Calico's plugin shows to the API. Side effect: reads its kubeconfig.

Nothing of the token but its claim `exp` is kept.
"""

import base64
import binascii
import json
import re
import time
from pathlib import Path

from cni import input_file
from cni.contracts.facts import CalicoToken

NAME = "calico-kubeconfig"
_TOKEN = re.compile(rb"^\s*token:\s*[\"']?[\w-]+\.([\w-]+)\.[\w-]*[\"']?\s*$", re.MULTILINE)


def read(folder: Path, name: str) -> CalicoToken:
    """Return when the token in the kubeconfig of this folder ends; `name`: what the node calls it. OSError."""
    match = _TOKEN.search(input_file.read(folder / NAME))
    if match is None:
        raise FileNotFoundError(2, "it has no token", name)
    ends = _ends(match[1])
    return {"path": name, "seconds_left": None if ends is None else round(ends - time.time())}


def _ends(claims: bytes) -> float | None:
    try:
        ends = json.loads(base64.urlsafe_b64decode(claims + b"==")).get("exp")
    except (ValueError, binascii.Error, AttributeError, RecursionError):
        return None
    return float(ends) if isinstance(ends, int | float) else None
