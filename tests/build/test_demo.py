"""`make demo` leaves the machine as it was."""

import contextlib
import os
import re
import subprocess
from pathlib import Path

from tests import requirements


def processes() -> set[str]:
    """Return the processes that run something of this checkout's release."""
    command_lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            command_lines.append(path.read_text(errors="replace"))
    return {line for line in command_lines if str(requirements.TREE) in line}


def listing(temporary: Path) -> dict[str, set[str]]:
    """Return our processes, network namespaces, temporary files and what lies at the default paths."""
    folders = ("/var/run/netns", str(temporary), "/var/run/spidernet", "/var/log/spidernet", "/var/lib/spiderpool-ipam")
    unpacked = {path.name for path in Path("/tmp").glob("*") if path.name.startswith(("spiderpool", "_MEI"))}
    return {"processes": processes(), "unpacked": unpacked} | {
        folder: {path.name for path in Path(folder).glob("*")} for folder in folders
    }


def test_it_gives_two_pods_addresses_of_the_guides_pool_and_leaves_nothing_behind(tmp_path: Path) -> None:
    tree = requirements.need_frozen("spiderpool").parent
    before = listing(tmp_path)
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [requirements.ROOT / "build/demo.sh", tree]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    shown = re.findall(r"default/spiderpool-deploy-\d eth0 +10\.244\.100\.(\d+)/32", done.stdout)
    assert len(set(shown)) == 2
    assert all(10 <= int(octet) <= 200 for octet in shown)
    assert listing(tmp_path) == before
