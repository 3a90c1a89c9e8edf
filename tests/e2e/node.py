"""A network namespace that stands for a node, pods' namespaces beside it, and what is in them."""

import json
import subprocess
import uuid
from pathlib import Path

from tests.segment import add_namespace, ip, remove_namespace


class Node:
    """The node: programs run in its network, and pods have namespaces of their own."""

    def __init__(self) -> None:
        self.name = f"spip-{uuid.uuid4().hex[:8]}"
        self._pods: list[str] = []

    def run(self, *command: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run a program in the node's network. (`ip netns exec` would remount /sys.)"""
        return subprocess.run(
            ["nsenter", f"--net=/var/run/netns/{self.name}", *command],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **environ}, capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    def add_pod(self) -> str:
        """Make a pod's namespace; return its name."""
        name = f"{self.name}-{len(self._pods)}"
        add_namespace(name)
        self._pods.append(name)
        return name

    def open(self) -> None:
        add_namespace(self.name)
        ip(self.name, "link set lo up")

    def close(self) -> None:
        for name in [*self._pods, self.name]:
            remove_namespace(name)


def addresses(namespace: str, ifname: str) -> set[str]:
    """Return the interface's addresses with prefix, link-local ones left out."""
    of_link = [link["addr_info"] for link in json.loads(ip(namespace, "-j address")) if link["ifname"] == ifname]
    texts = [f"{one['local']}/{one['prefixlen']}" for found in of_link for one in found]
    return {text for text in texts if not text.startswith("fe80:")}


def links(namespace: str) -> set[str]:
    """Return the names of the links in a namespace."""
    return {link["ifname"] for link in json.loads(ip(namespace, "-j link"))}
