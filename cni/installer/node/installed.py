"""What is installed on the node, as install was asked for it. Side effect: one file in the state folder.

The state folder outlives the folder of network configurations, which `kubeadm reset` and a reboot of OpenShift empty.
So the names of the folders are here, and a copy of the record that lies beside the conflists (conflist/record.py).
Release 0.1.0 keeps the names alone in this file, and removes it when it uninstalls, the copy with it.
"""

import json
from pathlib import Path

from pydantic import ValidationError

from cni.contracts.installation import INSTALLATION, Installation
from cni.installer.node import atomic_file

NAME = "folders"


def read(state: Path) -> Installation | None:
    """Return what is installed; None where nothing is, or where the file is damaged. OSError."""
    try:
        return INSTALLATION.validate_json((state / NAME).read_bytes(), strict=True)
    except (FileNotFoundError, NotADirectoryError, ValidationError):
        return None


def write(state: Path, installation: Installation) -> None:
    """Keep what is installed, durably. OSError."""
    content = INSTALLATION.dump_python(installation, by_alias=True)
    if installation.record is None:
        del content["record"]
    data = json.dumps(content).encode()
    path = state / NAME
    if not path.exists() or path.read_bytes() != data:
        state.mkdir(mode=0o755, parents=True, exist_ok=True)
        atomic_file.replace(path, data, mode=0o644)


def remove(state: Path) -> None:
    """Forget it: nothing is left of the installation. OSError."""
    atomic_file.remove(state / NAME)
