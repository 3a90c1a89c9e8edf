"""Probing on real links: a bridge, machines that hold addresses, gateways that answer or do not."""

import json
import socket
import subprocess
import sys
import time
from ipaddress import ip_address
from typing import Any

import pytest

from cni.detection.packets import Arp, Claim, Ndp, protocol_of
from cni.detection.probe import CARRIER_WAIT, TRIES
from cni.errors import ADDRESS_CONFLICT, GATEWAY_UNREACHABLE, INVALID_NETNS, IO_FAILURE
from tests.requirements import ROOT
from tests.segment import Segment, ip, mac, packet_socket, path

V4, V6 = "10.244.100.10", "fd00:244::1234:5678"
ETH_P_ALL = 3
GATEWAYS = ("10.244.0.1/16", "fd00:244::1/64")


def asked(*addresses: str, gateway: bool = False, conflict: bool = True) -> list[dict[str, Any]]:
    gateways = {4: GATEWAYS[0].split("/")[0], 6: GATEWAYS[1].split("/")[0]}
    return [
        {
            "address": address,
            "gateway": gateways[6 if ":" in address else 4],
            "detectConflict": conflict,
            "detectGateway": gateway,
        }
        for address in addresses
    ]


def start(pod: str, addresses: list[dict[str, Any]], ifname: str = "eth0") -> "subprocess.Popen[str]":
    """Run what the plugin runs: a process of its own, because it stays in the pod's namespace."""
    command = [sys.executable, "-m", "cni.cli", "detect"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert child.stdin
    with child.stdin:
        json.dump({"netns": path(pod), "ifname": ifname, "addresses": addresses}, child.stdin)
    return child


def answer_of(child: "subprocess.Popen[str]") -> tuple[int, str]:
    """Return the answer's code, and its details or what it says without an error."""
    assert child.stdout
    with child, child.stdout:
        answer = json.load(child.stdout)
    assert child.returncode == 0
    return answer["code"], answer["details"] or answer["msg"]


def detect(pod: str, addresses: list[dict[str, Any]], ifname: str = "eth0") -> tuple[int, str]:
    return answer_of(start(pod, addresses, ifname))


def test_addresses_that_nobody_has_are_clear_and_the_link_is_up_then(lan: Segment) -> None:
    lan.join(*GATEWAYS)
    pod = lan.join(up=False)
    assert detect(pod, asked(V4, V6, gateway=True)) == (0, "clear")
    assert "state UP" in ip(pod, "-o link show dev eth0")


@pytest.mark.parametrize("address", [V4, V6])
def test_an_address_that_another_machine_has_is_code_102_with_its_mac(address: str, lan: Segment) -> None:
    other = lan.join(f"{address}/64" if ":" in address else f"{address}/16")
    pod = lan.join(up=False)
    want = (ADDRESS_CONFLICT, f"{address} is at {mac(other)}")
    assert detect(pod, asked(V4, V6)) == want
    # A pod that is up already is probed as well.
    assert detect(pod, asked(address)) == want


def test_with_both_families_taken_the_first_one_is_named(lan: Segment) -> None:
    other = lan.join(f"{V4}/16", f"{V6}/64")
    assert detect(lan.join(), asked(V4, V6)) == (ADDRESS_CONFLICT, f"{V4} is at {mac(other)}")


@pytest.mark.parametrize("kind", ["veth", "macvlan"])
@pytest.mark.parametrize("address", [V4, V6])
def test_an_address_that_another_pod_probes_for_at_the_same_time_is_code_102(
    address: str, kind: str, lan: Segment
) -> None:
    """A macvlan hears of multicast only what was joined, and the probes of IPv6 are multicast."""
    theirs = lan.join()
    ours = lan.join() if kind == "veth" else macvlan(lan)
    protocol, target, its_mac = protocol_of(packed(address)), packed(address), packed_mac(theirs)
    with packet_socket(theirs, protocol.ETHERTYPE) as wire:
        child = start(ours, asked(address))
        while claim_on(wire, protocol) != Claim(target, packed_mac(ours), is_probe=True):
            pass
        probe = protocol.question(its_mac, protocol.UNSPECIFIED, target)
        wire.send(protocol.destination(target) + its_mac + protocol.ETHERTYPE.to_bytes(2) + probe)
        assert answer_of(child) == (ADDRESS_CONFLICT, f"{address} is at {mac(theirs)}")


@pytest.mark.parametrize("address", [V4, V6])
def test_a_gateway_that_does_not_answer_is_code_103(address: str, lan: Segment) -> None:
    lan.join(*[gateway for gateway in GATEWAYS if (":" in gateway) != (":" in address)])
    code, details = detect(lan.join(up=False), asked(V4, V6, gateway=True))
    assert code == GATEWAY_UNREACHABLE
    assert details.endswith(f"from {address} on eth0")


def test_a_gateway_that_somebody_only_probes_for_does_not_answer(lan: Segment) -> None:
    pod, other = lan.join(), lan.join()
    gateway, its_mac = packed("10.244.0.1"), packed_mac(other)
    with packet_socket(other, Arp.ETHERTYPE) as wire:
        child = start(pod, asked(V4, gateway=True, conflict=False))
        while claim_on(wire, Arp) != Claim(packed(V4), packed_mac(pod), is_probe=False):
            pass
        probe = Arp.question(its_mac, Arp.UNSPECIFIED, gateway)
        wire.send(Arp.ALL_NODES_MAC + its_mac + Arp.ETHERTYPE.to_bytes(2) + probe)
        assert answer_of(child)[0] == GATEWAY_UNREACHABLE


def test_what_is_not_asked_for_is_not_probed(lan: Segment) -> None:
    lan.join(f"{V4}/16", f"{V6}/64")  # conflicts
    pod = lan.join()
    assert detect(pod, asked(V4, V6, gateway=True, conflict=False))[0] == GATEWAY_UNREACHABLE
    lan.join(*GATEWAYS)
    assert detect(pod, asked(V4, V6, gateway=True, conflict=False)) == (0, "clear")
    without_gateway = [{**wanted, "gateway": ""} for wanted in asked(V4, V6, gateway=True, conflict=False)]
    assert detect(pod, without_gateway) == (0, "clear")


def test_our_own_probes_that_come_back_are_no_conflict(lan: Segment) -> None:
    pod = lan.join()
    ip(lan.name, "link set port1 type bridge_slave hairpin on")
    with packet_socket(pod, Arp.ETHERTYPE) as wire:
        assert detect(pod, asked(V4, V6)) == (0, "clear")
        # This frame has come back, because a socket of one protocol does not receive what its own machine sends.
        frame = wire.recv(2048)
    assert frame[6:12].hex(":") == mac(pod)


@pytest.mark.parametrize("address", [V4, V6])
def test_an_address_is_announced_once_it_is_clear(address: str, lan: Segment) -> None:
    # The pod's link is up already: the bridge may take a moment before it forwards what a new link sends.
    other, pod = lan.join(), lan.join()
    protocol, wanted = protocol_of(packed(address)), packed(address)
    with packet_socket(other, protocol.ETHERTYPE) as wire:
        assert detect(pod, asked(address)) == (0, "clear")
        said: list[Claim] = []
        while not said or said[-1].is_probe:
            claim = claim_on(wire, protocol)
            said += [claim] if claim and claim.address == wanted else []
    probe = Claim(wanted, packed_mac(pod), is_probe=True)
    assert said == [probe] * TRIES + [probe._replace(is_probe=False)]


def test_nothing_is_announced_when_one_family_is_taken(lan: Segment) -> None:
    lan.join(f"{V6}/64")
    other, pod = lan.join(), lan.join()
    with packet_socket(other, Arp.ETHERTYPE) as wire:
        assert detect(pod, asked(V4, V6))[0] == ADDRESS_CONFLICT
        said = all_claims_on(wire)
    assert [claim.is_probe for claim in said] == [True] * TRIES


def test_nothing_is_announced_when_nobody_hears_the_answer(lan: Segment) -> None:
    pod, other = lan.join(), lan.join()
    with packet_socket(other, Arp.ETHERTYPE) as wire:
        child = start(pod, asked(V4))
        assert child.stdout
        child.stdout.close()
        child.wait(20)
        said = all_claims_on(wire)
    assert [claim.is_probe for claim in said] == [True] * TRIES


def all_claims_on(wire: socket.socket) -> list[Claim]:
    """Return what has been said over ARP, until nothing comes for half a second."""
    wire.settimeout(0.5)
    said: list[Claim | None] = []
    with pytest.raises(TimeoutError):
        while True:
            said.append(claim_on(wire, Arp))
    return [claim for claim in said if claim]


def test_an_announcement_moves_the_address_in_the_others_tables(lan: Segment) -> None:
    other, before, now = lan.join("10.244.0.7/16", "fd00:244::7/64"), lan.join(), lan.join()
    for address in (V4, V6):
        ip(other, f"neighbour add {address} lladdr {mac(before)} dev eth0 nud reachable")
    assert detect(now, asked(V4, V6)) == (0, "clear")
    for address in (V4, V6):
        assert mac(now) in ip(other, f"neighbour show {address}")


def test_an_interface_that_is_not_there_is_skipped(lan: Segment) -> None:
    pod = lan.add()
    assert detect(pod, asked(V4, V6)) == (0, "skipped: eth0 is not there yet")


def test_an_interface_without_neighbours_is_skipped(lan: Segment) -> None:
    pod = lan.join()
    ip(pod, "link set eth0 arp off")
    assert detect(pod, asked(V4)) == (0, "skipped: eth0 resolves no addresses")
    assert detect(pod, asked(V4), ifname="lo") == (0, "skipped: lo resolves no addresses")


def test_an_interface_without_a_carrier_is_code_5(lan: Segment) -> None:
    pod = lan.join()
    ip(lan.name, "link set port1 down")
    started = time.monotonic()
    assert detect(pod, asked(V4)) == (IO_FAILURE, "eth0: no carrier")
    assert time.monotonic() - started >= CARRIER_WAIT


def test_a_carrier_that_comes_late_is_waited_for(lan: Segment) -> None:
    other, pod = lan.join(f"{V4}/16"), lan.join(up=False)
    ip(lan.name, "link set port2 down")
    child = start(pod, asked(V4))
    while "UP" not in ip(pod, "-o link show dev eth0"):
        time.sleep(0.01)
    ip(lan.name, "link set port2 up")
    assert answer_of(child) == (ADDRESS_CONFLICT, f"{V4} is at {mac(other)}")


def test_a_namespace_that_is_none_is_code_8(lan: Segment) -> None:
    assert detect("no-such", asked(V4)) == (INVALID_NETNS, f"{path('no-such')}: No such file or directory")
    assert detect("../../../dev/null", asked(V4))[0] == INVALID_NETNS


def test_both_families_are_probed_at_once(lan: Segment) -> None:
    other, pod = lan.join(), lan.join()
    with packet_socket(other, ETH_P_ALL) as wire:
        assert detect(pod, asked(V4, V6, gateway=True))[0] == GATEWAY_UNREACHABLE
        wire.settimeout(0.5)
        claims = [claim_in(frame) for frame in iter(lambda: received(wire), b"")]
    addresses = [claim.address for claim in claims if claim and claim.mac == packed_mac(pod)]
    last_of_v4 = max(place for place, address in enumerate(addresses) if address == packed(V4))
    assert addresses.index(packed(V6)) < last_of_v4


def received(wire: socket.socket) -> bytes:
    try:
        return wire.recv(2048)
    except TimeoutError:
        return b""


def macvlan(lan: Segment) -> str:
    """Make a pod whose eth0 is a macvlan on the segment."""
    master, pod = lan.join(), lan.add()
    ip(master, "link add mac0 link eth0 type macvlan mode bridge")
    ip(master, f"link set mac0 netns {pod} name eth0")
    return pod


def packed(address: str) -> bytes:
    return ip_address(address).packed


def packed_mac(namespace: str) -> bytes:
    return bytes.fromhex(mac(namespace).replace(":", ""))


def claim_on(wire: socket.socket, protocol: type[Arp] | type[Ndp]) -> Claim | None:
    """Return what the next frame claims, which goes where it should."""
    frame = wire.recv(2048)
    claim = claim_in(frame)
    assert not claim or frame[:6] in (protocol.ALL_NODES_MAC, protocol.destination(claim.address))
    return claim


def claim_in(frame: bytes) -> Claim | None:
    protocol = Arp if frame[12:14] == Arp.ETHERTYPE.to_bytes(2) else Ndp
    return protocol.read_claim(frame[14:], frame[6:12])
