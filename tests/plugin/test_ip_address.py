import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cni.plugin import ip_address

ADDRESSES = st.ip_addresses(v=4) | st.ip_addresses(v=6).filter(
    lambda a: not a.packed.startswith(bytes(10) + b"\xff\xff")
)


@given(ADDRESSES)
def test_every_address_reads_as_the_standard_library_reads_it(address: ipaddress.IPv4Address) -> None:
    packed = ip_address.parse(str(address))
    assert packed == address.packed
    assert ip_address.family(packed) == address.version
    assert ipaddress.ip_address(ip_address.text(packed)) == address


@given(ADDRESSES, st.integers(0, 200))
def test_prefixes_and_their_networks_agree_with_the_standard_library(
    address: ipaddress.IPv4Address, length: int
) -> None:
    text = f"{address}/{length}"
    if length > address.max_prefixlen:
        with pytest.raises(ValueError, match="prefix length"):
            ip_address.parse_prefix(text)
        return
    packed, parsed = ip_address.parse_prefix(text)
    network = ipaddress.ip_network(text, strict=False).network_address.packed
    assert (parsed, ip_address.network(packed, parsed)) == (length, network)


@given(st.text() | st.text("0123456789.:/abcdef%"))
def test_any_other_text_is_a_value_error(text: str) -> None:
    try:
        packed, length = ip_address.parse_prefix(text)
    except ValueError:
        return
    assert ipaddress.ip_interface(f"{ip_address.text(packed)}/{length}") == ipaddress.ip_interface(text)


@pytest.mark.parametrize(
    "text", ["", "10.0.0.1", "10.0.0.1/", "10.0.0.1/33", "::1/129", "10.0.0.1/ 8", "10.0.0.1/-1", "10.0.0.1/٨",
             "010.0.0.1/8", "10.0.0/8", "fe80::1%eth0/64", "10.0.0.1\x00/8", "::ffff:10.0.0.1/96"]
)  # fmt: skip
def test_not_an_address_with_prefix(text: str) -> None:
    with pytest.raises(ValueError):
        ip_address.parse_prefix(text)
