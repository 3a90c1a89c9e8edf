"""The responses on the wire: statuses, headers and bodies as real agents were seen to send them."""

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
from pydantic import TypeAdapter

from cni.agent.answers import Detection
from cni.agent.api import create_app
from cni.contracts.agent_api import Allocations, IpamAddResponse, WorkloadEndpointStatus
from tests.agent.agent_process import Agent, Answer, add_args, pool, running_agent, write_pools

ADD = add_args("wire")
_ROUTES = [{"dst": f"172.16.{number}.0/24", "gw": "10.244.0.2"} for number in range(60)]


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    folder = tmp_path_factory.mktemp("agent")
    pools = write_pools(
        folder / "pools.yaml",
        pool("four", "10.244.0.9-10.244.0.99", gateway="10.244.0.1", vlan=7, default=True),
        pool("six", "fd00:244::9-fd00:244::99", subnet="fd00:244::/64", default=True),
        pool("tiny", "10.244.1.1"),
        pool("routes", "10.244.2.1", routes=_ROUTES),
        pool("off", "10.244.3.1", disable=True),
    )
    with running_agent(folder, pools) as running:
        yield running


def _without(field: str) -> dict[str, Any]:
    return {name: value for name, value in ADD.items() if name != field}


def _is_empty_success(answer: Answer) -> bool:
    return (
        answer.status == 200
        and answer.body == b""
        and answer.headers["content-length"] == "0"
        and "content-type" not in answer.headers
    )


def _error_object(answer: Answer) -> tuple[int, int, str]:
    """Check an error of the HTTP layer: an object, no newline; return status, code and message."""
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-length"] == str(len(answer.body))
    assert answer.body.startswith(b"{") and not answer.body.endswith(b"\n")
    body = answer.json()
    assert body.keys() == {"code", "message"}
    return answer.status, body["code"], body["message"]


def _error_string(answer: Answer) -> tuple[int, str]:
    """Check an error of the agent itself: a JSON string and a newline; return status and text."""
    assert answer.headers["content-type"] == "application/json"
    assert answer.body.startswith(b'"') and answer.body.endswith(b'"\n')
    return answer.status, answer.json()


def test_healthy_is_200_without_body_and_content_type(agent: Agent) -> None:
    assert _is_empty_success(agent.ask("GET", "/ipam/healthy"))


def test_add_is_answered_with_json_and_a_newline(agent: Agent) -> None:
    answer = agent.add({**ADD, "defaultIPv4IPPool": None, "defaultIPv6IPPool": None, "unknown": {"a": 1}})
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-length"] == str(len(answer.body))
    assert answer.body.endswith(b"}\n")
    response = TypeAdapter(IpamAddResponse).validate_python(answer.json())
    four, six = response["ips"] or []
    assert (four["version"], six["version"]) == (4, 6)
    assert (four["nic"], four.get("gateway"), four.get("ipPool"), four.get("vlan")) == ("eth0", "10.244.0.1", "four", 7)
    assert "gateway" not in six
    assert response.get("routes") == [{"ifName": "eth0", "dst": "0.0.0.0/0", "gw": "10.244.0.1"}]


def test_the_go_plugins_request_without_network_is_a_network_of_its_own(agent: Agent) -> None:
    with_network, without = agent.add(ADD).json(), agent.add(_without("network")).json()
    assert with_network["ips"][0]["address"] != without["ips"][0]["address"]
    assert _is_empty_success(agent.delete(_without("network")))
    assert agent.add(ADD).json() == with_network


def test_clean_gateway_leaves_the_default_route_out(agent: Agent) -> None:
    response = agent.add(add_args("clean", cleanGateway=True, matchMasterSubnet=True)).json()
    assert (response["ips"][0]["gateway"], response["routes"]) == ("10.244.0.1", [])


def test_the_answer_holds_the_pods_other_interfaces_too(agent: Agent) -> None:
    agent.add(add_args("multi"))
    second = agent.add(add_args("multi", ifname="net1", network="other")).json()
    assert [ip["nic"] for ip in second["ips"]] == ["net1", "net1", "eth0", "eth0"]
    assert [route["ifName"] for route in second["routes"]] == ["net1", "eth0"]


def test_an_answer_of_more_than_2048_bytes_is_chunked(agent: Agent) -> None:
    answer = agent.add(add_args("chunked", defaultIPv4IPPool=["routes"]))
    assert answer.headers["transfer-encoding"] == "chunked"
    assert "content-length" not in answer.headers
    assert len(answer.json()["routes"]) == 60


def test_a_chunked_request_and_an_http_1_0_request_without_host_are_understood(agent: Agent) -> None:
    body = json.dumps(ADD).encode()
    head = b"POST /v1/ipam/ip HTTP/1.1\r\nHost:\r\nConnection: close\r\nContent-Type: application/json\r\n"
    chunks = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    assert agent.exchange(head + chunks).startswith(b"HTTP/1.1 200 ")
    assert b" 200 " in agent.exchange(b"GET /v1/ipam/healthy HTTP/1.0\r\n\r\n").split(b"\r\n")[0]


def test_keep_alive_serves_several_requests_on_one_connection(agent: Agent) -> None:
    first = b"GET /v1/ipam/healthy HTTP/1.1\r\nHost:\r\n\r\n"
    last = b"GET /v1/ipam/healthy HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n"
    assert agent.exchange(first + last).count(b"HTTP/1.1 200 ") == 2


@pytest.mark.parametrize("host", ["Host: a/b\r\n", ""])
def test_a_malformed_or_missing_host_is_400_in_plain_text(agent: Agent, host: str) -> None:
    head, _, body = agent.exchange(
        f"GET /v1/ipam/healthy HTTP/1.1\r\n{host}Connection: close\r\n\r\n".encode()
    ).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ") and b"content-type: text/plain" in head.lower()
    assert not body.startswith(b"{")


def test_two_hosts_are_400(agent: Agent) -> None:
    request = b"GET /v1/ipam/healthy HTTP/1.1\r\nHost: x\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert agent.exchange(request).startswith(b"HTTP/1.1 400 ")


def test_an_upgrade_is_refused_and_its_body_is_not_taken_for_a_request(agent: Agent) -> None:
    agent.add(add_args("kept"))
    body = json.dumps(add_args("kept")).encode()
    form = "Host: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
    inner = f"DELETE /v1/ipam/ip HTTP/1.1\r\n{form % len(body)}\r\n".encode() + body
    upgrade = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(agent.socket_path))
        connection.sendall(f"POST /v1/ipam/ip HTTP/1.1\r\n{form % len(inner)}{upgrade}\r\n".encode())
        time.sleep(0.05)
        with suppress(BrokenPipeError):
            connection.sendall(inner)
        answer = b""
        with suppress(ConnectionResetError):
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 400 ") and answer.count(b"HTTP/1.1 ") == 1
    assert [held["podUID"] for held in agent.allocations() if held["podUID"] == "kept"]


@pytest.mark.parametrize("upgrade", ["h2c", "websocket"])
def test_an_upgrade_with_its_body_beside_it_is_refused_once(agent: Agent, upgrade: str) -> None:
    body = json.dumps(ADD).encode()
    head = f"POST /v1/ipam/ip HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: {upgrade}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    answer = agent.exchange(head.encode() + body)
    assert answer.startswith(b"HTTP/1.1 400 ") and answer.count(b"HTTP/1.1 ") == 1


def test_an_http_1_0_client_gets_a_long_answer_in_one_piece(agent: Agent) -> None:
    body = json.dumps(add_args("chunked", defaultIPv4IPPool=["routes"])).encode()
    head = f"POST /v1/ipam/ip HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    answer, _, text = agent.exchange(head.encode() + body).partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in answer.lower()
    assert len(json.loads(text)["routes"]) == 60


def test_delete_is_200_without_body_whether_or_not_anything_is_held(agent: Agent) -> None:
    args = add_args("gone")
    agent.add(args)
    assert [_is_empty_success(agent.delete(args)) for _ in range(3)] == [True] * 3
    assert not [held for held in agent.allocations() if held["podUID"] == "gone"]


def test_delete_may_leave_out_the_netns(agent: Agent) -> None:
    assert _is_empty_success(agent.delete(_without("netNamespace") | {"podUID": "x"}))


def test_delete_ips_frees_all_of_a_pod(agent: Agent) -> None:
    for ifname in ("eth0", "net1"):
        agent.add(add_args("batch", ifname=ifname, network=ifname))
    body = {name: add_args("batch")[name] for name in ("containerID", "podNamespace", "podName", "podUID")}
    assert _is_empty_success(agent.ask("DELETE", "/ipam/ips", {**body, "isReleaseConflictIPs": True}))
    assert not [held for held in agent.allocations() if held["podUID"] == "batch"]


def test_an_exhausted_pool_is_500_with_a_json_string(agent: Agent) -> None:
    assert agent.add(add_args("first", defaultIPv4IPPool=["tiny"])).status == 200
    answer = agent.add(add_args("second", defaultIPv4IPPool=["tiny"]))
    text = "failed to allocate any IPv4 IP address to NIC eth0 from IPPools [tiny]: all IP addresses used out"
    status, words = _error_string(answer)
    assert (status, words.startswith(f"{text}: `spiderpool-ipam attach gc ")) == (500, True)


@pytest.mark.parametrize(("name", "text"), [("nope", '"nope" not found'), ("off", "disabled IPPool off")])
def test_an_unknown_and_a_disabled_pool_are_500_with_a_json_string_naming_it(
    agent: Agent, name: str, text: str
) -> None:
    status, message = _error_string(agent.add(add_args("refused", defaultIPv4IPPool=[name])))
    assert status == 500 and text in message


def test_a_long_error_is_chunked_too(agent: Agent) -> None:
    answer = agent.add(add_args("refused", defaultIPv4IPPool=["x" * 3000]))
    assert (answer.status, answer.headers["transfer-encoding"]) == (500, "chunked")
    assert "x" * 3000 in answer.json()


@pytest.mark.parametrize("method", ["POST", "DELETE"])
@pytest.mark.parametrize("content_type", ["", "text/plain"])
def test_a_body_that_is_not_declared_json_is_415(agent: Agent, method: str, content_type: str) -> None:
    status, code, message = _error_object(agent.ask(method, "/ipam/ip", ADD, Content_Type=content_type))
    assert (status, code) == (415, 415)
    assert message.startswith("unsupported media type ")


def test_a_required_field_that_is_missing_or_null_is_422_with_code_602(agent: Agent) -> None:
    expected = (422, 602, "podUID in body is required")
    assert _error_object(agent.add(_without("podUID"))) == expected
    assert _error_object(agent.add({**ADD, "podUID": None})) == expected


def test_empty_strings_pass(agent: Agent) -> None:
    empty = {name: "" for name in ADD if name != "network"}
    assert agent.add({**empty, "ifName": "eth0", "containerID": "c"}).status == 200


@pytest.mark.parametrize("body", [b"{", b"\xff", json.dumps({**ADD, "podName": 7}).encode()])
def test_broken_json_and_wrong_types_are_400(agent: Agent, body: bytes) -> None:
    assert _error_object(agent.ask("POST", "/ipam/ip", body))[:2] == (400, 400)


@pytest.mark.parametrize("path", ["/ipam/nope", "/coordinator/config", "/ipam/healthy/", "/docs", "/openapi.json"])
def test_an_unknown_path_is_404(agent: Agent, path: str) -> None:
    assert _error_object(agent.ask("GET", path)) == (404, 404, f"path /v1{path} was not found")


def test_what_is_outside_of_the_api_is_404(agent: Agent) -> None:
    for path in ("/docs", "/redoc", "/openapi.json", "/"):
        head = agent.exchange(f"GET {path} HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n".encode())
        assert head.startswith(b"HTTP/1.1 404 "), path


def test_another_method_is_405_and_says_which_are_allowed(agent: Agent) -> None:
    answer = agent.ask("PUT", "/ipam/ip", ADD)
    assert _error_object(answer) == (405, 405, "method PUT is not allowed, but [DELETE,POST] are")
    assert answer.headers["allow"] == "DELETE,POST"


def test_a_get_that_does_not_accept_json_is_406_and_a_post_is_served(agent: Agent) -> None:
    assert _error_object(agent.ask("GET", "/ipam/healthy", Accept="text/plain"))[:2] == (406, 406)
    assert agent.ask("GET", "/ipam/healthy", Accept="application/json").status == 200
    assert agent.ask("POST", "/ipam/ip", ADD, Accept="text/plain").status == 200


def test_workloadendpoint_shows_what_a_pod_holds(agent: Agent) -> None:
    added = agent.add(add_args("shown")).json()
    answer = agent.ask("GET", "/workloadendpoint?podNamespace=default&podName=pod-shown")
    endpoint = TypeAdapter(WorkloadEndpointStatus).validate_python(answer.json())
    assert (endpoint["podNamespace"], endpoint["podName"], endpoint["podUID"]) == ("default", "pod-shown", "shown")
    (interface,) = endpoint["interfaces"] or []
    assert [interface.get("ipv4"), interface.get("ipv6")] == [ip["address"] for ip in added["ips"]]
    assert (interface.get("ipv4Pool"), interface.get("ipv4Gateway"), interface.get("vlan")) == ("four", "10.244.0.1", 7)


def test_workloadendpoint_goes_by_the_container_where_there_is_no_pod_name(agent: Agent) -> None:
    agent.add(add_args("", container="alone", podName="", podNamespace=""))
    query = "/workloadendpoint?podNamespace=&podName=&containerID=alone&ifName="
    assert agent.ask("GET", query + "eth0").status == 200
    assert _error_string(agent.ask("GET", query + "net1"))[0] == 404


def test_workloadendpoint_of_a_pod_that_holds_nothing_is_404_with_a_json_string(agent: Agent) -> None:
    answer = agent.ask("GET", "/workloadendpoint?podNamespace=default&podName=nobody")
    assert _error_string(answer) == (404, "SpiderEndpoint default/nobody not found")


@pytest.mark.parametrize(("missing", "query"), [("podNamespace", "podName=x"), ("podName", "podNamespace=x")])
def test_workloadendpoint_without_a_required_parameter_is_422_with_code_602(
    agent: Agent, missing: str, query: str
) -> None:
    expected = (422, 602, f"{missing} in query is required")
    assert _error_object(agent.ask("GET", f"/workloadendpoint?{query}")) == expected


def test_allocations_lists_who_holds_what(agent: Agent) -> None:
    agent.add(add_args("listed", container="second"))
    TypeAdapter(Allocations).validate_python({"allocations": agent.allocations()})
    (listed,) = [held for held in agent.allocations() if held["podUID"] == "listed"]
    assert listed["containerIDs"] == ["second"]
    assert listed["ipv4"].endswith("/16") and listed["ipv6"].endswith("/64")


def test_gc_frees_what_is_not_valid_in_its_network(agent: Agent) -> None:
    kept, dropped = add_args("kept", network="gc"), add_args("dropped", network="gc")
    agent.add(kept)
    gone = [ip["address"].partition("/")[0] for ip in agent.add(dropped).json()["ips"]]
    valid = [{"containerID": kept["containerID"], "ifname": "eth0"}]
    answer = agent.ask("POST", "/ipam/gc", {"network": "gc", "validAttachments": valid})
    assert (answer.status, answer.json()) == (200, {"released": gone})
    assert [held["podUID"] for held in agent.allocations() if held["network"] == "gc"] == ["kept"]


def test_gc_without_a_list_is_refused_rather_than_taken_for_none_valid(agent: Agent) -> None:
    for body in ({"network": "net"}, {"network": "net", "validAttachments": None}):
        assert _error_object(agent.ask("POST", "/ipam/gc", body))[:2] == (422, 602)


def test_a_change_is_one_line_in_the_log_whatever_the_pod_is_called(agent: Agent) -> None:
    log = agent.socket_path.parent / "state.log"
    args = add_args("logged", podName="evil\nname\x1b[31m")
    before = log.read_text()
    agent.add(args)
    agent.add(args)
    agent.delete(args)
    allocated, freed = log.read_text().removeprefix(before).splitlines()
    assert " allocated 10.244." in allocated and "pod default/evil?name?[31m" in allocated
    assert " freed 10.244." in freed


def test_what_nobody_expected_is_500_and_leaves_a_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    app: Any = create_app(None, Detection())  # type: ignore[arg-type]  # no store: anything that is asked fails

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
            return await client.post("/v1/ipam/ip", json=ADD)

    answer = asyncio.run(ask())
    assert (answer.status_code, answer.json()) == (500, "AttributeError: 'NoneType' object has no attribute 'allocate'")
    logged = capfd.readouterr().err
    assert "refused POST /v1/ipam/ip: AttributeError" in logged and "Traceback (most recent call last)" in logged
