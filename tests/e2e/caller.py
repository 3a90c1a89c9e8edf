"""Calls of many pods, at once as well, by any release of the plugin, in a namespace that it shares with others."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

NETWORK = "net"


class Caller:
    """Calls one plugin on one node; the pods' namespace is `default`, their names and UIDs are the test's."""

    def __init__(self, command: Sequence[str | Path], folder: Path, **environ: str) -> None:
        """`command` starts the plugin; the agent's socket and the log are in `folder`."""
        self.socket = folder / "agent.sock"
        self.log = folder / "log"
        self._command = command
        self._environ = environ

    def call(
        self, command: str, uid: str = "", container: str = "", more: Mapping[str, object] | None = None
    ) -> dict[str, Any]:
        """Run a call to its end; return what it printed, {} for nothing. `more` goes into the configuration."""
        ipam = {"ipam_unix_socket_path": str(self.socket), "log_file_path": str(self.log)}
        stdin = json.dumps({"cniVersion": "1.1.0", "name": NETWORK, "ipam": ipam, **(more or {})})
        environ = {
            **self._environ,
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": container or f"c-{uid}",
            "CNI_NETNS": "/n",
            "CNI_IFNAME": "eth0",
            "CNI_PATH": "/",
            "CNI_ARGS": f"K8S_POD_NAMESPACE=default;K8S_POD_NAME=pod-{uid};K8S_POD_UID={uid}",
        }
        done = subprocess.run(self._command, env=environ, input=stdin, capture_output=True, text=True, timeout=120)
        assert not done.stderr, done.stderr
        printed: dict[str, Any] = json.loads(done.stdout or "{}")
        assert done.returncode == ("code" in printed), done
        return printed


def pending_containers(folder: Path) -> list[str]:
    """Return the containers whose releases are pending in a state folder, in order."""
    lines: list[str] = []
    for file in (folder / "pending").glob("*.release"):
        with suppress(FileNotFoundError):  # it was taken meanwhile
            lines += file.read_text().splitlines()
    return sorted(json.loads(line)["release"]["containerID"] for line in lines)
