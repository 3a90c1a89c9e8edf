import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from cni.cni_versions import SUPPORTED
from cni.contracts.result import RESULTS
from cni.errors import BAD_AGENT_ANSWER, UNSUPPORTED_FIELD, CNIError
from cni.plugin.result import refuse_static, render, select

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
    return render(version, shape, "eth0", select(response, "eth0"), response)


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
        None,
        [],
        [OTHER],
        [V4, V4],
        [{**V4, "address": "10.244.100.10"}],
        [{**V4, "address": "10.244.100.300/16"}],
        [{**V4, "version": 6}],
        [{**V6, "address": "::ffff:10.0.0.1/96"}],
        [{**V4, "gateway": "10.244.0.1/16"}],
        [{**V4, "gateway": "fd00::1"}],
    ],
)
def test_an_answer_that_makes_no_sense_is_code_105_with_what_was_seen(ips: list[dict[str, Any]] | None) -> None:
    with pytest.raises(CNIError) as raised:
        ipam_result({"ips": ips})
    assert raised.value.code == BAD_AGENT_ANSWER
    assert all(ip["address"].partition("/")[0] in raised.value.details or ip["gateway"] in raised.value.details
               for ip in ips or [])  # fmt: skip


@pytest.mark.parametrize("dst", ["172.16.0.0", "172.16.0.0/33", "x"])
def test_a_route_that_does_not_parse_is_code_105_only_where_routes_are_printed(dst: str) -> None:
    response = {"ips": [V4], "routes": [{"ifName": "eth0", "dst": dst, "gw": "10.244.0.1"}]}
    ipam_result(response, shape="calico")
    with pytest.raises(CNIError, match=str(BAD_AGENT_ANSWER)):
        ipam_result(response)


def test_a_static_address_that_the_agent_gave_is_no_error() -> None:
    refuse_static(
        [("CNI_ARGS IP", "10.244.100.10"), ("args.cni.ips", "fd00:244:0::a/64")], select({"ips": [V4, V6]}, "eth0")
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
        refuse_static([("runtimeConfig.ips", value)], select({"ips": [V4]}, "eth0"))
    assert (raised.value.code, raised.value.details) == (UNSUPPORTED_FIELD, f"runtimeConfig.ips={shown}")
