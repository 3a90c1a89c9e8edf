"""Documents that hold every key and member that the plugin reads, and the agent's answers that suit them."""

import json

from tests.e2e.scripted_agent import response

PREV_RESULT = {
    "cniVersion": "1.1.0",
    "interfaces": [
        {"name": "veth5e1ab2c3", "mac": "16:2f:08:c1:77:5e", "mtu": 1500},
        {"name": "eth0", "mac": "8e:0d:31:aa:52:f9", "sandbox": "/n"},
    ],
    "ips": [
        {"interface": 1, "address": "10.244.100.10/16", "gateway": "10.244.0.1"},
        {"interface": 1, "address": "fd00:244::a/64", "gateway": "fd00:244::1"},
    ],
    "routes": [{"dst": "0.0.0.0/0", "gw": "10.244.0.1"}],
    "dns": {"nameservers": ["10.96.0.10"], "domain": "example", "search": ["a.example"], "options": ["ndots:5"]},
}
# Every key of cni/contracts/netconf.py.
CONFIGURATION = {
    "cniVersion": "1.1.0",
    "name": "net",
    "type": "ptp",
    "ipam": {
        "type": "spiderpool",
        "ipam_unix_socket_path": "@FOLDER@/agent.sock",
        "request_timeout": 1,
        "result_shape": "subnet",
        "default_ipv4_ippool": ["v4"],
        "default_ipv6_ippool": ["v6"],
        "clean_gateway": False,
        "match_master_subnet": False,
        "log_level": "debug",
        "log_file_path": "@FOLDER@/log",
        "log_file_max_size": 1,
        "log_file_max_age": 1,
        "log_file_max_count": 1,
    },
    "runtimeConfig": {"ips": ["10.244.100.10/16"]},
    "args": {"cni": {"ips": ["10.244.100.10"]}},
}
STDIN = {
    "ADD": {**CONFIGURATION, "prevResult": None},
    "DEL": {**CONFIGURATION, "prevResult": None},
    "CHECK": {**CONFIGURATION, "prevResult": PREV_RESULT},
    "STATUS": CONFIGURATION,
    "GC": {
        **CONFIGURATION,
        "cni.dev/valid-attachments": [
            {"containerID": "c1", "ifname": "eth0"},
            {"containerID": "c2", "ifname": "eth1"},
        ],
    },
}
# Every member of IpamAddResponse and WorkloadEndpointStatus in cni/contracts/agent_api.py.
DETECTION = {"enableGatewayDetection": True, "enableIPConflictDetection": True}
IPV4 = {"address": "10.244.100.10/16", "gateway": "10.244.0.1", "ipPool": "v4", "vlan": 0, "mac": "8e:0d:31:aa:52:f9"}
IPV6 = {"address": "fd00:244::a/64", "gateway": "fd00:244::1", "ipPool": "v6", "vlan": 0, "mac": "8e:0d:31:aa:52:f9"}
ROUTES = [
    {"ifName": "eth0", "dst": "10.1.0.0/16", "gw": "10.244.0.1"},
    {"ifName": "eth0", "dst": "::/0", "gw": "fd00:244::1"},
]
ADD_RESPONSE = {
    "ips": [{"version": 4, "nic": "eth0", **IPV4, **DETECTION}, {"version": 6, "nic": "eth0", **IPV6, **DETECTION}],
    "routes": ROUTES,
    "dns": PREV_RESULT["dns"],
}
ENDPOINT = {
    "podNamespace": "default",
    "podName": "pod-1",
    "podUID": "u1",
    "node": "node",
    "interfaces": [
        {
            "interface": "eth0", "ipv4": "10.244.100.10/16", "ipv6": "fd00:244::a/64", "ipv4Pool": "v4",
            "ipv6Pool": "v6", "ipv4Gateway": "10.244.0.1", "ipv6Gateway": "fd00:244::1", "mac": "8e:0d:31:aa:52:f9",
            "vlan": 0, "routes": ROUTES,
        }
    ],
}  # fmt: skip
RIGHT = {
    ("POST", "/v1/ipam/ip"): response(200, json.dumps(ADD_RESPONSE).encode()),
    ("GET", "/v1/workloadendpoint"): response(200, json.dumps(ENDPOINT).encode()),
    ("POST", "/v1/ipam/gc"): response(200, b'{"released":["10.244.100.11"]}'),
    ("GET", "/v1/ipam/allocations"): response(200, b'{"allocations":[]}'),
}
ASKED_BY = {
    "ADD": ("POST", "/v1/ipam/ip"),
    "DEL": ("DELETE", "/v1/ipam/ip"),
    "CHECK": ("GET", "/v1/workloadendpoint"),
    "STATUS": ("GET", "/v1/ipam/healthy"),
    "GC": ("POST", "/v1/ipam/gc"),
}
