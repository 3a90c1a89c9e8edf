"""`make demo` leaves the machine as it was."""

import contextlib
import os
import re
import subprocess
from pathlib import Path

from tests import requirements
from tests.waiting import SLACK


def processes(temporary: Path) -> set[str]:
    """Return the processes that were started with this temporary folder; other tests run at the same time."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"TMPDIR={temporary}\0".encode() in path.read_bytes():
                found.add(path.parent.name)
    return found


def listing(temporary: Path) -> dict[str, set[str]]:
    """Return what is left: processes, temporary files, files at the default paths, and logs that name the demo's pods.

    Calls of other tests, whose configuration cannot be read, are in the default log, too.
    """
    folders = (str(temporary), "/var/run/spidernet", "/var/lib/spiderpool-ipam")
    logs = (
        path for path in Path("/var/log/spidernet").glob("*") if "spiderpool-deploy" in path.read_text(errors="replace")
    )
    found = {folder: {path.name for path in Path(folder).glob("*")} for folder in folders}
    return {"processes": processes(temporary), "logs": set(map(str, logs)), **found}


def test_it_gives_two_pods_addresses_of_the_guides_pool_and_leaves_nothing_behind(tmp_path: Path) -> None:
    tree = requirements.need_frozen("spiderpool").parent
    before = listing(tmp_path)
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [requirements.ROOT / "build/demo.sh", tree]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60 + SLACK)
    assert done.returncode == 0, done.stdout + done.stderr
    shown = re.findall(r"default/spiderpool-deploy-\d eth0 +10\.244\.100\.(\d+)/32", done.stdout)
    assert len(set(shown)) == 2
    assert all(10 <= int(octet) <= 200 for octet in shown)
    assert listing(tmp_path) == before
