"""What the plugin says when no runtime calls it. Side effect: with --version it becomes the operator's program."""

import posix
import sys

from cni.cni_versions import SUPPORTED


def text() -> str:
    """Return what the plugin is. With --version, the program beside it tells the release's version, and ends."""
    if "--version" in sys.argv[1:] and hasattr(sys, "_MEIPASS"):
        program = f"{sys._MEIPASS}/../spiderpool-ipam"
        try:
            posix.execve(program, ["spiderpool-ipam", "--version"], posix.environ)
        except OSError:
            pass  # what it is can be told all the same
    return f"""spiderpool: the CNI IPAM plugin for Calico with SpiderPool, run by a container runtime or a CNI plugin
CNI protocol versions supported: {", ".join(SUPPORTED)}
"""
