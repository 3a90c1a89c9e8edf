"""Which panels of the dashboard have no data, with a Prometheus on the router that scrapes the nodes' watches.

    python -m tests.lab.panels FOLDER

It runs in a lab that stays up, makes calls on a node, and prints the titles. Prometheus' files are in the folder.
"""

import json
import subprocess
import sys
from pathlib import Path

from tests.build.monitoring import prometheus
from tests.build.test_monitoring import QUERIES, has_series
from tests.lab.node import CONFLIST, METRICS_PORT
from tests.lab.topology import NODES
from tests.waiting import wait_for

_CALLS = 20


def main(folder: str) -> None:
    """Print the titles of panels without data."""
    with prometheus(Path(folder), *(f"{addresses[4]}:{METRICS_PORT}" for addresses in NODES.values())) as server:
        # A rate needs a scrape before the calls, too. On this node the guide has installed in place.
        for number in range(_CALLS):
            pod = ["--pod", f"default/panels-{number}", "--pod-uid", str(number)]
            for command in ("add", "del"):
                _run("node2", "spiderpool-ipam", "attach", command, "--conf", CONFLIST, *pod)
        _run("node2", "bash", "-c", _failing_call(), expected=1)

        def missing() -> list[str]:
            return [title for title, expr in QUERIES if not has_series(server, expr)]

        try:
            wait_for(lambda: not missing(), "each panel to have data")
        finally:
            print(*missing(), sep="\n")


def _failing_call() -> str:
    """Return a shell's text that makes a CHECK of an attachment that nobody has made."""
    environ = "CNI_COMMAND=CHECK CNI_CONTAINERID=none CNI_NETNS=/none CNI_IFNAME=eth0 CNI_PATH=/opt/cni/bin"
    document = json.dumps({"cniVersion": "1.0.0", "name": "none", "type": "none", "ipam": {"type": "spiderpool"}})
    return f"{environ} /opt/cni/bin/spiderpool <<<'{document}'"


def _run(*command: str, expected: int = 0) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    if done.returncode != expected:
        sys.exit(f"{' '.join(command)}: {done.stdout}{done.stderr}")


if __name__ == "__main__":
    main(sys.argv[1])
