"""Writes kubeconfigs for a server, and exec plugins."""

import json
from pathlib import Path
from typing import Any

from tests.doctor.api_server import ApiServer, Certificates


def config(api: ApiServer, certificates: Certificates, user: Any = None, **cluster: Any) -> dict[str, Any]:
    """Return a kubeconfig with one context, called here."""
    told = {"server": api.url, "certificate-authority": str(certificates.ca), **cluster}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [{"name": "c", "cluster": told}],
        "users": [{"name": "u", "user": user or {}}],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
    }


def write(path: Path, content: Any) -> Path:
    """Write a kubeconfig as JSON, which is YAML."""
    path.write_text(json.dumps(content))
    return path


def plugin(folder: Path, script: str, name: str = "login") -> Path:
    """Write an exec plugin: a shell script."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def credential(version: str = "v1", **status: Any) -> str:
    """Return the text of an ExecCredential."""
    group = "client.authentication.k8s.io"
    return json.dumps({"apiVersion": f"{group}/{version}", "kind": "ExecCredential", "status": status})
