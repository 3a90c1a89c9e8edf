"""`make demo` leaves the machine as it was."""

import re
import subprocess
from pathlib import Path

from tests import requirements


def entries(folder: str) -> set[str]:
    return {path.name for path in Path(folder).glob("*")}


def listing() -> dict[str, set[str]]:
    """Return our processes, network namespaces, temporary files and what lies at the default paths."""
    processes = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True).stdout.splitlines()
    folders = ("/var/run/netns", "/tmp", "/var/run/spidernet", "/var/log/spidernet", "/var/lib/spiderpool-ipam")
    return {"processes": {line for line in processes if "spiderpool-ipam" in line}} | {
        folder: entries(folder) for folder in folders
    }


def test_it_gives_two_pods_addresses_of_the_guides_pool_and_leaves_nothing_behind() -> None:
    tree = requirements.need_frozen("spiderpool").parent
    before = listing()
    done = subprocess.run([requirements.ROOT / "build/demo.sh", tree], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    shown = re.findall(r"default/spiderpool-deploy-\d eth0 +10\.244\.100\.(\d+)/32", done.stdout)
    assert len(set(shown)) == 2
    assert all(10 <= int(octet) <= 200 for octet in shown)
    assert listing() == before
