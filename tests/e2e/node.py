"""A network namespace that stands for a node, pods' namespaces beside it, and what is in them."""

import subprocess
import uuid
from pathlib import Path

from pyroute2 import IPRoute, netns


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
        netns.create(name)
        self._pods.append(name)
        return name

    def open(self) -> None:
        netns.create(self.name)
        with IPRoute(netns=self.name) as links:
            links.link("set", index=links.link_lookup(ifname="lo")[0], state="up")

    def close(self) -> None:
        for name in [*self._pods, self.name]:
            netns.remove(name)


def addresses(namespace: str, ifname: str) -> set[str]:
    """Return the interface's addresses with prefix, link-local ones left out."""
    with IPRoute(netns=namespace) as links:
        index = links.link_lookup(ifname=ifname)
        found = links.get_addr(index=index[0]) if index else []
        texts = [f"{a.get('address')}/{a['prefixlen']}" for a in found]
    return {text for text in texts if not text.startswith("fe80:")}


def links(namespace: str) -> set[str]:
    """Return the names of the links in a namespace."""
    with IPRoute(netns=namespace) as route:
        return {link.get("ifname") for link in route.get_links()}
