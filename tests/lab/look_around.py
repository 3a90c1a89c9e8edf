"""What a lab that stays up offers to people: short commands in /run/lab/bin, and a text that says how to use them."""

import shutil
import sys

from tests.lab import objects, programs
from tests.lab.calico_node import SOCKETS
from tests.lab.node import Node
from tests.lab.processes import FOLDER
from tests.lab.router import SOCKET_FOLDER

# Where the machine has no kubectl, the requests that doctor's commands would make are sent all the same.
_KUBECTL = f"env PYTHONPATH={programs.ROOT} {sys.executable} -m tests.lab.kubectl"
_TEXT = """
The lab stays up. As root, in another terminal:

  nsenter --target={pid} --mount --net --pid --uts --ipc env PATH={bin}:$PATH KUBECONFIG={kubeconfig} bash

and in that shell, which is on the router:

  vtysh -c 'show ip route bgp'         the router's table; vtysh alone is FRR's own shell
  node1 birdc show protocols           what BIRD on node1 says; birdc6 is IPv6's
  node1 ip route                       anything else on a node: its files and its network
  node1 pod {pod} ip address
  calicoctl get ippools -o wide        Calico's objects; `curl {url}/api/v1/pods` is the API
  node2 spiderpool-ipam status
  ls {logs}

Everything is gone after Ctrl-C here, or `kill {pid}`.
"""


def add_commands(nodes: list[Node]) -> None:
    """Write the commands. They need no options, because the lab's sockets are at places of its own."""
    pid = {node.name: f'nsenter --target={node.pid} --mount --net "$@"' for node in nodes}
    commands = pid | {
        "vtysh": f'env VTYSH_HISTFILE=/dev/null /usr/bin/vtysh --vty_socket {SOCKET_FOLDER} "$@"',
        "birdc": f'{programs.BIRDC.resolve()} -s {SOCKETS[4]} "$@"',
        "birdc6": f'{programs.BIRDC6.resolve()} -s {SOCKETS[6]} "$@"',
        "pod": 'nsenter --net="/run/netns/$1" "${@:2}"',
        "calicoctl": f'env DATASTORE_TYPE=kubernetes {programs.CALICOCTL.resolve()} "$@"',
        "kubectl": f'{shutil.which("kubectl") or _KUBECTL} "$@"',
        "spiderpool-ipam": f'{programs.OURS.resolve()} "$@"',
    }
    for name, command in commands.items():
        path = FOLDER / "bin" / name
        path.write_text(f"#!/bin/bash\nexec {command}\n")
        path.chmod(0o755)


def text(pid: int, pod: str) -> str:
    """Return what is printed. The PID is the first process of the sandbox, as seen from outside."""
    paths = {"bin": FOLDER / "bin", "kubeconfig": FOLDER / "kubeconfig", "logs": FOLDER / "logs"}
    return _TEXT.format(pid=pid, pod=pod, url=objects.URL, **paths)
