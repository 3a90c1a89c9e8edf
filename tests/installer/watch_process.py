"""watch as a process that runs from the sources, so that a test can give it other constants, or a fault."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.installer.sample_node import Node

ROOT = Path(__file__).parents[2]


@contextmanager
def watching(
    node: Node, *options: str, before: str = "", under: tuple[str, ...] = (), **popen: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """Run watch until the block ends: `before` are statements that it runs first, `under` a program that starts it."""
    program = f"{before}\nfrom cni.cli.__main__ import main\nmain()"
    command = [*under, sys.executable, "-c", program, "watch", "--host-root", str(node.root), *options]
    with subprocess.Popen(command, cwd=ROOT, start_new_session=True, **popen) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # strace leaves what it has started
