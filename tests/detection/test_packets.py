"""What ARP and Neighbour Discovery packets claim. test_probe.py shows that the kernel reads ours, and we its."""

from hypothesis import given
from hypothesis import strategies as st

from cni.detection.packets import Arp, Claim, Ndp, protocol_of

MAC = st.binary(min_size=6, max_size=6)
ADDRESS = st.sampled_from((4, 16)).flatmap(lambda size: st.binary(min_size=size, max_size=size).filter(any))
OURS, OTHERS = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
FD00_9 = bytes.fromhex("fd000000000000000000000000000009")

# A Linux 6.18 kernel's own: its answer to an ARP probe for 10.0.0.9, its advertisement of fd00::9 to all nodes.
ARP_REPLY = bytes.fromhex("0001080006040002 020000000002 0a000009 020000000001 00000000")
ADVERTISEMENT = bytes.fromhex(
    "6000000000203aff fd000000000000000000000000000009 ff020000000000000000000000000001"
    "88005a8a20000000 fd000000000000000000000000000009 0201020000000002"
)


@given(MAC, ADDRESS)
def test_a_probe_names_who_asks_and_what_for(mac: bytes, address: bytes) -> None:
    protocol = protocol_of(address)
    packet = protocol.question(mac, protocol.UNSPECIFIED, address)
    assert protocol.read_claim(packet, mac) == Claim(address, mac, is_probe=True)


@given(MAC, ADDRESS)
def test_an_announcement_says_who_has_the_address(mac: bytes, address: bytes) -> None:
    protocol = protocol_of(address)
    assert protocol.read_claim(protocol.announcement(mac, address), b"") == Claim(address, mac, is_probe=False)


def test_a_kernels_answers_say_who_has_the_address() -> None:
    assert Arp.read_claim(ARP_REPLY, OTHERS) == Claim(bytes((10, 0, 0, 9)), OTHERS, is_probe=False)
    assert Ndp.read_claim(ADVERTISEMENT, OTHERS) == Claim(FD00_9, OTHERS, is_probe=False)


def test_an_ordinary_question_claims_the_senders_address_in_arp_and_says_nothing_in_ndp() -> None:
    sender, target = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))
    assert Arp.read_claim(Arp.question(OURS, sender, target), OURS) == Claim(sender, OURS, is_probe=False)
    assert Ndp.read_claim(Ndp.question(OURS, FD00_9, FD00_9[::-1]), OURS) is None


@given(st.integers(0, 8 * len(ADVERTISEMENT) - 1))
def test_an_advertisement_with_any_bit_flipped_does_not_claim_the_address(bit: int) -> None:
    flipped = bytearray(ADVERTISEMENT)
    flipped[bit // 8] ^= 1 << bit % 8
    claim = Ndp.read_claim(bytes(flipped), OTHERS)
    # Traffic class and flow label are not covered by the checksum, and say nothing here.
    assert claim is None or bit // 8 < 4


@given(st.integers(0, len(ADVERTISEMENT) - 1))
def test_a_cut_packet_says_nothing(length: int) -> None:
    assert Ndp.read_claim(ADVERTISEMENT[:length], OTHERS) is None
    assert Arp.read_claim(ARP_REPLY[: min(length, len(ARP_REPLY) - 1)], OTHERS) is None


@given(st.binary(max_size=200), st.booleans())
def test_no_packet_is_an_error(data: bytes, as_neighbour_discovery: bool) -> None:
    if as_neighbour_discovery:
        data = ADVERTISEMENT[:6] + b"\x3a\xff" + data
    for protocol in (Arp, Ndp):
        protocol.read_claim(data, OTHERS)
