"""Follows a page on a machine without Kubernetes: runs the blocks that are marked, and compares what they print.

    python -m tests.docs.machine PAGE [--print]

To be run as root in namespaces of its own, as test_machine_pages.py does it. The folders that the pages write to are
empty and go with the namespaces, and there are CNI's reference plugins, cnitool, an interface eth1 and the tarball.
"""

import subprocess
import sys
from pathlib import Path

from tests import requirements
from tests.docs.terminal import Terminal, follow_page

_OWN = ("/run", "/opt", "/var/lib", "/var/log")
_HOME = Path("/run/home")
_PLUGINS = ("ptp", "bridge", "macvlan", "portmap")
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
# eth1 is one end of a cable, so that it is up; its other end answers as the network's gateway.
_LINKS = """
link set lo up
link add eth1 type veth peer name gateway
link set eth1 up
link set gateway up
"""


def main(page: str, *options: str) -> int:
    """Follow a page; return the exit status."""
    return follow_page(page, prepare().follow, show=bool(options))


def prepare() -> Terminal:
    """Make the machine, and open a terminal on it."""
    tarballs = list(requirements.TREE.parent.glob("*.tar.gz"))
    for own in _OWN:
        subprocess.run(["mount", "-t", "tmpfs", "page", own], check=True)
    subprocess.run(["mount", "-t", "overlay", "page", "-o", _overlay(), "/etc"], check=True)
    subprocess.run(["ip", "-batch", "-"], input=_LINKS, text=True, check=True)
    plugins = Path("/opt/cni/bin")
    for folder in (plugins, Path("/etc/cni/net.d"), Path("/run/netns")):
        folder.mkdir(parents=True, exist_ok=True)
    for name in _PLUGINS:
        (plugins / name).symlink_to(requirements.TOOLS.resolve() / name)
    terminal = Terminal(_HOME, {"PATH": f"{_PATH}:{requirements.TOOLS}", "HOME": str(_HOME), "LC_ALL": "C.UTF-8"})
    for tarball in tarballs:
        (_HOME / tarball.name).symlink_to(tarball)
    return terminal


def _overlay() -> str:
    """Return the options of an /etc whose changes are in memory."""
    upper, work = Path("/run/etc/upper"), Path("/run/etc/work")
    for folder in (upper, work):
        folder.mkdir(parents=True)
    return f"lowerdir=/etc,upperdir={upper},workdir={work}"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
