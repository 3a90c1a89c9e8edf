"""The frozen plugin reads a Calico configuration with a canary in every field, and reveals none of them.

stdin holds credentials (k8s_auth_token, k8s_client_key, etcd_*). Log, pod events, pending releases and process list can
be read by more people than the conflist.
"""

import contextlib
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests import requirements
from tests.e2e.frozen_agent import Agent
from tests.e2e.node import Node

# The fields of Calico's plugin (projectcalico/calico cni-plugin/pkg/types), and others that a conflist may have.
FIELDS: dict[str, Any] = {
    "type": None, "mode": "", "vxlan_mtu": 1, "mtu": 0, "num_queues": 1, "nodename": "", "nodename_file": "",
    "datastore_type": "", "log_level": "", "log_file_path": "", "etcd_endpoints": "", "etcd_discovery_srv": "",
    "etcd_authority": "", "etcd_scheme": "", "etcd_key_file": "", "etcd_cert_file": "", "etcd_ca_cert_file": "",
    "k8s_api_root": "", "k8s_auth_token": "", "k8s_client_certificate": "", "k8s_client_key": "",
    "k8s_certificate_authority": "", "etcd_password": "", "etcd_username": "",
    "policy": {"type": "", "k8s_api_root": "", "k8s_auth_token": "", "k8s_client_key": "", "other": [""]},
    "kubernetes": {"k8s_api_root": "", "kubeconfig": "", "node_name": "", "token": ["", {"x": ""}]},
    "container_settings": {"allow_ip_forwarding": True, "secret": ""}, "feature_control": {"ip_addrs_no_ipam": "x"},
    "windows_use_single_network": "", "labels": {"labels": [{"key": "", "value": ""}]},
    "runtimeConfig": {"bandwidth": {"secret": ""}, "mac": ""}, "args": {"labels": [""], "cni": {"secret": ""}},
    "ipam": {"name": "", "subnet": "", "assign_ipv4": "", "ipv4_pools": ["", ""], "handle_id": "", "ranges": [[""]]},
}  # fmt: skip
WRONG = ("ipam_unix_socket_path", "request_timeout", "result_shape", "default_ipv4_ippool", "clean_gateway",
         "match_master_subnet", "log_level", "log_file_max_size", "log_file_max_age", "log_file_max_count")  # fmt: skip
POD = "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0;K8S_POD_UID=u-1"


def fill(value: Any, canaries: Iterator[str]) -> Any:
    """Replace each text by a canary, and add a key that is one."""
    if isinstance(value, dict):
        return {**{key: fill(inner, canaries) for key, inner in value.items()}, next(canaries): next(canaries)}
    if isinstance(value, list):
        return [fill(inner, canaries) for inner in value]
    return next(canaries) if isinstance(value, str) else value


class Caller:
    """Calls the plugin, and collects what it printed and what the process list showed."""

    def __init__(self, folder: Path, socket: Path) -> None:
        self.made: list[str] = []
        self.lib, self.log = folder / "lib", folder / "log/spiderpool.log"
        self.lib.mkdir()
        self.came_out = b""
        self.codes: set[int] = set()
        self.listed = 0  # how often the plugin was in the process list
        ours = {"type": "spiderpool", "log_file_path": str(self.log)}
        document = fill(FIELDS, self._canaries())
        self.document = {**document, "cniVersion": "1.0.0", "name": "k8s-pod-network", "type": "calico",
                         "ipam": {**document["ipam"], **ours, "ipam_unix_socket_path": str(socket)}}  # fmt: skip

    def _canaries(self) -> Iterator[str]:
        for number in count(len(self.made)):
            self.made.append(f"canary{number:04d}z")
            yield self.made[-1]

    def canary(self) -> str:
        return next(self._canaries())

    def call(self, command: str, stdin: bytes | None = None, args: str = POD, ipam: Any = None) -> int:
        """Run the plugin with a /var/lib of the test's own; return the code of its error, 0 for none."""
        document = {**self.document, "ipam": {**self.document["ipam"], **(ipam or {})}}
        environ = {"CNI_COMMAND": command, "CNI_CONTAINERID": "c-1", "CNI_IFNAME": "eth0", "CNI_ARGS": args,
                   "CNI_NETNS": "/var/run/netns/x", "CNI_PATH": "/opt/cni/bin", "PATH": os.environ["PATH"]}  # fmt: skip
        plugin = requirements.need_frozen("spiderpool")
        mounted = ["unshare", "--mount", "sh", "-euc", f'mount --bind "{self.lib}" /var/lib; exec "{plugin}"']
        process = subprocess.Popen(
            mounted, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdin
        with contextlib.suppress(BrokenPipeError), process.stdin:
            process.stdin.write(json.dumps(document).encode() if stdin is None else stdin)
        process.stdin = None
        while process.poll() is None:
            process_list = subprocess.run(
                [requirements.need_program("ps"), "-ww", "-eo", "args"], capture_output=True, check=True
            ).stdout
            self.listed += bool(re.search(rb"^%b$" % re.escape(bytes(plugin)), process_list, re.MULTILINE))
            self.came_out += process_list
        done = process.communicate(timeout=60)
        self.came_out += b"".join(done)
        code: int = json.loads(done[0]).get("code", 0) if done[0] else 0
        self.codes.add(code)
        return code


@pytest.fixture
def caller(tmp_path: Path, node: Node, agent: Agent) -> Caller:
    return Caller(tmp_path, agent.socket)


@pytest.mark.slow
def test_no_canary_ever_comes_out(caller: Caller, agent: Agent, tmp_path: Path, show: Callable[[str], None]) -> None:
    assert caller.call("ADD") == 0
    assert caller.call("CHECK") == 7  # prevResult is missing
    caller.document["prevResult"] = {
        "cniVersion": "1.0.0",
        "ips": [{"address": caller.canary()}],
        "dns": caller.canary(),
    }
    assert caller.call("CHECK") in (7, 104)
    assert caller.call("DEL", args=f"{POD};SECRET={caller.canary()}") == 0
    assert caller.call("ADD", args=f"K8S_POD_NAME=x;SECRET={caller.canary()}") == 4
    assert caller.call("ADD", args=f"{POD};{caller.canary()}") == 4
    assert caller.call("ADD", args=f"{POD};IP={caller.canary()}") == 2
    for key in WRONG:
        assert caller.call("ADD", ipam={key: caller.canary()}) == 7, key
    for ips in ({"runtimeConfig": {"ips": [caller.canary()]}}, {"args": {"cni": {"ips": [caller.canary()]}}}):
        before = dict(caller.document)
        caller.document.update(ips)
        assert caller.call("ADD") == 2
        caller.document = before
    text = json.dumps(caller.document).encode()
    for cut in range(100, len(text), len(text) // 10):
        assert caller.call("ADD", stdin=text[:cut]) == 6
    assert caller.call("ADD", stdin=text.replace(b'"1.0.0"', f'"{caller.canary()}"'.encode())) == 1
    assert caller.call("ADD", stdin=text.replace(b'"k8s-pod-network"', f'" {caller.canary()}"'.encode())) == 7
    with agent.frozen():
        assert caller.call("ADD", ipam={"request_timeout": 1}) == 11
    assert caller.listed, "it had ended each time before the processes were listed"
    agent.stop()
    assert caller.call("ADD") == 11
    assert caller.call("DEL") == 0
    pending = [path for path in caller.lib.rglob("*") if path.is_file()]
    assert [path for path in pending if path.suffix == ".release"]
    logged = caller.log.read_bytes()
    assert len(logged.splitlines()) > 10
    assert b"web-0" in logged
    haystack = {"output, errors, process list": caller.came_out, "log": logged}
    haystack["pending releases"] = b"".join(path.read_bytes() for path in pending)
    found = {where: [name for name in caller.made if name.encode() in text] for where, text in haystack.items()}
    show(f"secrets: {len(caller.made)} canaries, codes {sorted(caller.codes)}: found {found}")
    assert not any(found.values())
