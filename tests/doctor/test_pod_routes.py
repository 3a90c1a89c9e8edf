"""The node's routes, its end of pods' links, and when Calico's token ends: of a real kernel, and of real files."""

import base64
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cni.doctor.collect import calico_token
from tests import requirements
from tests.requirements import ROOT

NETWORK = """
ip link set lo up
ip link add eth0 type veth peer name router && ip link set router up && ip link set eth0 up
ip address add 172.16.13.11/24 dev eth0
ip address add fd00:16::11/64 dev eth0 nodad
ip route add default via 172.16.13.1
ip route add 10.8.0.0/16 nexthop via 172.16.13.1 nexthop via 172.16.13.2
ip route add blackhole 10.244.100.0/26 proto bird
ip route add unreachable 10.9.0.0/24
ip -6 route add default via fd00:16::1
ip link add cali1 type veth peer name pod && ip link set pod up && ip link set cali1 up
echo 1 > /proc/sys/net/ipv4/conf/cali1/proxy_arp
ip route add 10.244.100.1/32 dev cali1
ip route add fd00:244::1/128 dev cali1
ip route add 10.244.100.3/32 dev eth0
"""
LOOK = """
import json
from cni.doctor.collect import pod_routes
addresses = ["10.244.100.1", "fd00:244::1", "10.244.100.2", "10.244.100.3"]
local = [{"address": one, "pod": "default/a", "interface": "eth0"} for one in addresses]
print(json.dumps([pod_routes.routes(), pod_routes.pod_interfaces(local)]))
"""


@pytest.fixture(scope="module")
def seen() -> Any:
    requirements.need_root()
    requirements.need_program("ip")
    command = [
        requirements.need_program("unshare"),
        "--net",
        "sh",
        "-ec",
        f"{NETWORK}exec {sys.executable} -c '{LOOK}'",
    ]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT, check=True)
    return json.loads(said.stdout)


@pytest.mark.parametrize(
    ("prefix", "kind", "gateways"),
    [
        ("0.0.0.0/0", "unicast", ["172.16.13.1"]),
        ("10.8.0.0/16", "unicast", ["172.16.13.1", "172.16.13.2"]),
        ("10.244.100.0/26", "blackhole", []),
        ("10.9.0.0/24", "unreachable", []),
        ("172.16.13.0/24", "unicast", []),
        ("::/0", "unicast", ["fd00:16::1"]),
    ],
)
def test_routes_for_more_than_one_address_are_read(seen: Any, prefix: str, kind: str, gateways: list[str]) -> None:
    assert {"prefix": prefix, "type": kind, "gateways": gateways} in seen[0]


def test_no_host_routes_are_read_nor_those_of_other_tables(seen: Any) -> None:
    assert not [one["prefix"] for one in seen[0] if one["prefix"].endswith(("/32", "/128"))]
    assert not [one["prefix"] for one in seen[0] if one["prefix"].startswith("127.")]


def test_the_host_route_of_an_address_tells_the_nodes_end_of_the_pods_link(seen: Any) -> None:
    assert seen[1] == [
        {"address": "10.244.100.1", "interface": "cali1", "is_up": True, "proxy_arp": True},
        {"address": "fd00:244::1", "interface": "cali1", "is_up": True, "proxy_arp": None},
        {"address": "10.244.100.2", "interface": "", "is_up": False, "proxy_arp": None},
        {"address": "10.244.100.3", "interface": "eth0", "is_up": True, "proxy_arp": False},
    ]


def token(claims: object) -> str:
    parts = (json.dumps(part).encode() for part in ({"alg": "RS256"}, claims))
    return ".".join([*(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts), "c2lnbmF0dXJl"])


def kubeconfig(folder: Path, text: str) -> Path:
    (folder / "calico-kubeconfig").write_text(f"users:\n- name: calico\n  user:\n    token: {text}\n")
    return folder


def test_of_a_token_no_more_is_read_than_when_it_ends(tmp_path: Path) -> None:
    secret = token({"exp": int(time.time()) + 600, "sub": "system:serviceaccount:kube-system:calico-cni-plugin"})
    for text in (secret, f'"{secret}"'):
        found = calico_token.read(kubeconfig(tmp_path, text), "/etc/cni/net.d/calico-kubeconfig")
        assert found["path"] == "/etc/cni/net.d/calico-kubeconfig"
        assert found["seconds_left"] is not None
        assert 500 < found["seconds_left"] <= 600


@pytest.mark.parametrize("claims", [{}, {"exp": "soon"}, [], 3])
def test_a_token_that_tells_no_end_has_none(tmp_path: Path, claims: object) -> None:
    assert calico_token.read(kubeconfig(tmp_path, token(claims)), "x")["seconds_left"] is None


@pytest.mark.parametrize("text", ["", "a", "a.b", "a.%.c"])
def test_what_is_no_token_is_not_known(tmp_path: Path, text: str) -> None:
    with pytest.raises(OSError, match="it has no token"):
        calico_token.read(kubeconfig(tmp_path, text), "x")


def test_claims_that_are_no_json_tell_no_end(tmp_path: Path) -> None:
    assert calico_token.read(kubeconfig(tmp_path, "a.b.c"), "x")["seconds_left"] is None
