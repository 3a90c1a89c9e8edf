"""A node for tests: it calls the plugin in process, as a runtime would."""

import json
import tempfile
from pathlib import Path
from typing import Any

from cni.plugin import __main__ as plugin


class Node:
    """Calls the plugin in process as a runtime would, and tells what it left behind."""

    def __init__(self, folder: Path, pending_folder: Path) -> None:
        self.socket = folder / "agent.sock"
        self.log = folder / "log"
        self.folder = pending_folder

    def call(self, command: str, container: str = "c1", uid: str = "u1", **ipam: Any) -> dict[str, Any]:
        """Run a call; return what it printed, {} for silence."""
        ipam = {"ipam_unix_socket_path": str(self.socket), "log_file_path": str(self.log), **ipam}
        document = {"cniVersion": "1.1.0", "name": "net", "ipam": ipam, "cni.dev/valid-attachments": []}
        args = f"K8S_POD_NAMESPACE=default;K8S_POD_NAME=pod-{uid};K8S_POD_UID={uid}"
        environ = {"CNI_COMMAND": command, "CNI_CONTAINERID": container, "CNI_NETNS": "/n", "CNI_IFNAME": "eth0"}
        environ |= {"CNI_PATH": "/", "CNI_ARGS": args}
        with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as out:
            source.write(json.dumps(document).encode())
            source.seek(0)
            encoded = {key.encode(): value.encode() for key, value in environ.items()}
            status = plugin.main(encoded, source.fileno(), out.fileno(), out.fileno())
            out.seek(0)
            printed: dict[str, Any] = json.loads(out.read() or b"{}")
        assert status == ("code" in printed)
        return printed

    @property
    def last_line(self) -> dict[str, Any]:
        line: dict[str, Any] = json.loads(self.log.read_text().splitlines()[-1])
        return line

    def containers(self) -> list[str]:
        """Return the containers whose release is pending."""
        lines = [line for path in self.folder.glob("*.release") for line in path.read_text().splitlines()]
        return [json.loads(line)["release"]["containerID"] for line in lines]
