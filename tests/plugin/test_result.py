import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from cni.cni_versions import SUPPORTED
from cni.contracts.result import RESULTS
from cni.errors import ALLOCATION_REFUSED, BAD_AGENT_ANSWER, UNSUPPORTED_FIELD, CNIError
from cni.plugin.result import Answer, refuse_static, render

V4 = {"version": 4, "address": "10.244.100.10/16", "nic": "eth0", "gateway": "10.244.0.1"}
V6 = {"version": 6, "address": "fd00:244::a/64", "nic": "eth0", "gateway": "fd00:244::1"}
OTHER = {"version": 4, "address": "192.168.0.9/24", "nic": "net1"}
ROUTES = [
    {"ifName": "eth0", "dst": "::/0", "gw": "fd00:244::1"},
    {"ifName": "eth0", "dst": "172.16.9.9/12", "gw": "10.244.0.2"},
    {"ifName": "net1", "dst": "0.0.0.0/0", "gw": "192.168.0.1"},
    {"ifName": "eth0", "dst": "169.254.1.1/32", "gw": ""},
]


def ipam_result(response: dict[str, Any], version: str = "1.0.0", shape: str = "subnet") -> dict[str, Any]:
    return render(version, shape, Answer(response, "eth0"))


@pytest.mark.parametrize("order", list(itertools.permutations([V4, V6, OTHER])))
def test_the_agents_order_does_not_show(order: tuple[dict[str, Any], ...]) -> None:
    assert ipam_result({"ips": list(order)}) == ipam_result({"ips": [V4, V6, OTHER]})


def test_routes_of_the_interface_ipv4_first_otherwise_in_the_agents_order() -> None:
    assert ipam_result({"ips": [V4, V6], "routes": ROUTES})["routes"] == [
        {"dst": "172.16.0.0/12", "gw": "10.244.0.2"},
        {"dst": "169.254.1.1/32"},
        {"dst": "::/0", "gw": "fd00:244::1"},
    ]


@pytest.mark.parametrize("version", SUPPORTED)
@pytest.mark.parametrize("shape", ["calico", "subnet"])
@given(ips=st.sampled_from([[V4], [V6], [V4, V6]]), dns=st.none() | st.just({"search": None, "domain": "a.b"}))
def test_every_result_keeps_its_versions_contract(
    version: str, shape: str, ips: list[dict[str, Any]], dns: dict[str, Any] | None
) -> None:
    result = ipam_result({"ips": ips, "routes": ROUTES, "dns": dns}, version, shape)
    TypeAdapter(RESULTS[version]).validate_python(result)


@pytest.mark.parametrize(
    "ips",
    [
        [OTHER],
        [V4, V4],
        [{**V4, "address": "10.244.100.10"}],
        [{**V4, "address": "10.244.100.300/16"}],
        [{**V4, "version": 6}],
        [{**V6, "address": "::ffff:10.0.0.1/96"}],
        [{**V4, "gateway": "10.244.0.1/16"}],
        [{**V4, "gateway": "fd00::1"}],
        [{**V4, "gateway": "the router"}],
        [V4, {**V6, "gateway": "10.244.0.1"}],
    ],
)
@pytest.mark.parametrize("shape", ["calico", "subnet"])
def test_an_answer_that_makes_no_sense_is_code_105_with_what_was_seen(ips: list[dict[str, Any]], shape: str) -> None:
    with pytest.raises(CNIError) as raised:
        ipam_result({"ips": ips}, shape=shape)
    assert raised.value.code == BAD_AGENT_ANSWER
    words = [word for ip in ips for word in (ip["address"].partition("/")[0], ip.get("gateway", "?"))]
    assert any(word in raised.value.details for word in words)


@pytest.mark.parametrize("ips", [None, []])
def test_no_address_at_all_is_code_100_and_points_to_the_annotation(
    ips: list[dict[str, Any]] | None,
) -> None:
    with pytest.raises(CNIError) as raised:
        ipam_result({"ips": ips, "routes": None})
    assert raised.value.code == ALLOCATION_REFUSED
    assert "annotation" in raised.value.msg


@pytest.mark.parametrize("shape", ["calico", "subnet"])
@pytest.mark.parametrize(
    ("dst", "gw"),
    [("172.16.0.0", ""), ("172.16.0.0/33", ""), ("x", ""), ("172.16.0.0/12", "x"), ("172.16.0.0/12", "fd00::1")],
)
def test_a_route_that_does_not_parse_is_code_105_whether_or_not_routes_are_printed(
    dst: str, gw: str, shape: str
) -> None:
    response = {"ips": [V4], "routes": [{"ifName": "eth0", "dst": dst, "gw": gw}]}
    with pytest.raises(CNIError, match=str(BAD_AGENT_ANSWER)):
        ipam_result(response, shape=shape)
    other = {"ips": [V4], "routes": [{"ifName": "net1", "dst": dst, "gw": gw}]}
    assert ipam_result(other, shape=shape)


def test_a_static_address_that_the_agent_gave_is_no_error() -> None:
    refuse_static(
        [("CNI_ARGS IP", "10.244.100.10"), ("args.cni.ips", "fd00:244:0::a/64")],
        Answer({"ips": [V4, V6]}, "eth0").addresses,
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("10.244.100.11", "10.244.100.11"),
        ("10.244.100.10.1", "(no address)"),
        ("", "(no address)"),
        ("x", "(no address)"),
    ],
)
def test_another_static_address_is_code_2_with_its_key_and_nothing_that_is_no_address(value: str, shown: str) -> None:
    with pytest.raises(CNIError) as raised:
        refuse_static([("runtimeConfig.ips", value)], Answer({"ips": [V4]}, "eth0").addresses)
    assert (raised.value.code, raised.value.details) == (UNSUPPORTED_FIELD, f"runtimeConfig.ips={shown}")
