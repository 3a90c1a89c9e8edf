"""The responses that are made out of held interfaces."""

from cni.agent.answers import Detection, add_response, allocation, endpoint_status
from cni.agent.leases import HeldInterface, Lease

FOUR = Lease(4, "10.244.0.9", 16, "four", "10.244.0.1", 7, [{"dst": "0.0.0.0/0", "gw": "10.244.0.1"}])
SIX = Lease(6, "fd00::9", 64, "six", None, 0, [])


def _held(ifname: str, *leases: Lease, network: str = "net") -> HeldInterface:
    return HeldInterface("pod u", network, ifname, "default", "web", "u", ["c1", "c2"], list(leases))


def test_an_add_is_answered_with_its_own_interface_first_then_the_pods_others() -> None:
    response = add_response(
        [_held("net1", FOUR._replace(address="10.244.0.8")), _held("eth0", FOUR, SIX)], "net", "eth0", Detection()
    )
    assert response == {
        "ips": [
            {
                "version": 4,
                "address": "10.244.0.9/16",
                "nic": "eth0",
                "ipPool": "four",
                "vlan": 7,
                "gateway": "10.244.0.1",
            },
            {"version": 6, "address": "fd00::9/64", "nic": "eth0", "ipPool": "six", "vlan": 0},
            {
                "version": 4,
                "address": "10.244.0.8/16",
                "nic": "net1",
                "ipPool": "four",
                "vlan": 7,
                "gateway": "10.244.0.1",
            },
        ],
        "routes": [
            {"ifName": "eth0", "dst": "0.0.0.0/0", "gw": "10.244.0.1"},
            {"ifName": "net1", "dst": "0.0.0.0/0", "gw": "10.244.0.1"},
        ],
    }


def test_another_networks_interface_of_the_same_name_is_not_in_the_answer() -> None:
    of_pod = [_held("eth0", FOUR, network="other"), _held("eth0", SIX)]
    response = add_response(of_pod, "net", "eth0", Detection())
    assert [ip["address"] for ip in response["ips"] or ()] == ["fd00::9/64"]
    assert response.get("routes") == []


def test_each_address_says_what_the_plugin_is_to_find_out() -> None:
    for asked, key in (
        (Detection(conflicts=True), "enableIPConflictDetection"),
        (Detection(gateway=True), "enableGatewayDetection"),
    ):
        ips = add_response([_held("eth0", FOUR, SIX)], "net", "eth0", asked)["ips"] or []
        assert [[name for name in ip if name.startswith("enable")] for ip in ips] == [[key], [key]]


def test_an_endpoint_shows_each_interface() -> None:
    assert endpoint_status([_held("eth0", FOUR, SIX), _held("net1", SIX)], "node1") == {
        "podNamespace": "default",
        "podName": "web",
        "podUID": "u",
        "node": "node1",
        "interfaces": [
            {
                "interface": "eth0",
                "routes": [{"ifName": "eth0", "dst": "0.0.0.0/0", "gw": "10.244.0.1"}],
                "vlan": 7,
                "ipv4": "10.244.0.9/16",
                "ipv4Pool": "four",
                "ipv4Gateway": "10.244.0.1",
                "ipv6": "fd00::9/64",
                "ipv6Pool": "six",
                "ipv6Gateway": None,
            },
            {
                "interface": "net1",
                "routes": [],
                "vlan": 0,
                "ipv6": "fd00::9/64",
                "ipv6Pool": "six",
                "ipv6Gateway": None,
            },
        ],
    }


def test_an_allocation_names_its_key_and_its_holders() -> None:
    assert allocation(_held("eth0", FOUR)) == {
        "network": "net",
        "podNamespace": "default",
        "podName": "web",
        "podUID": "u",
        "ifName": "eth0",
        "containerIDs": ["c1", "c2"],
        "ipv4": "10.244.0.9/16",
        "ipv4Pool": "four",
    }
