"""The words of an exchange that failed; which failure gets which is in test_agent_client and in the vectors."""

import pytest

from cni.errors import ALLOCATION_REFUSED, BAD_AGENT_ANSWER, TRY_AGAIN_LATER
from cni.plugin.agent_errors import of_connecting, of_exchange, refusal
from cni.plugin.http1 import ProtocolError

CLOSED = "the spiderpool-agent closed the connection without an answer to GET /x: is it restarting?"
CANNOT_REACH = "cannot reach the spiderpool-agent on this node for GET /x"


@pytest.mark.parametrize(
    ("error", "seconds", "msg"),
    [
        (TimeoutError(), 0.34, "the spiderpool-agent did not answer GET /x within 0.3 s: is it overloaded?"),
        (EOFError(), 2.0, CLOSED),
    ],
    ids=["no answer", "closed"],
)
def test_an_agent_that_does_not_answer_is_code_11_and_says_what_to_look_at(
    error: Exception, seconds: float, msg: str
) -> None:
    made = of_exchange(error, "GET /x", "/s", seconds)
    assert (made.code, made.msg, made.details) == (TRY_AGAIN_LATER, msg, "/s")


@pytest.mark.parametrize(
    ("error", "seconds", "msg", "reason"),
    [
        (
            TimeoutError(),
            0.0,
            "no time was left to ask the spiderpool-agent for GET /x",
            "",
        ),
        (
            TimeoutError(),
            2.0,
            "the spiderpool-agent did not accept a connection for GET /x within 2 s: is it overloaded?",
            "",
        ),
        (
            FileNotFoundError(2, "No such file or directory"),
            3.04,
            f"{CANNOT_REACH}, tried for 3 s: is its pod running?",
            ": No such file or directory",
        ),
        (
            ConnectionRefusedError(111, "Connection refused"),
            0.004,
            f"{CANNOT_REACH}: is its pod running?",
            ": Connection refused",
        ),
        (
            PermissionError(13, "Permission denied"),
            0.0,
            f"{CANNOT_REACH}: look at the socket and at ipam_unix_socket_path",
            ": Permission denied",
        ),
    ],
    ids=["no time left", "queue full", "missing", "refuses", "forbidden"],
)
def test_an_agent_that_cannot_be_connected_to_is_code_11_and_says_what_to_look_at(
    error: Exception, seconds: float, msg: str, reason: str
) -> None:
    made = of_connecting(error, "GET /x", "/s", seconds)
    assert (made.code, made.msg, made.details) == (TRY_AGAIN_LATER, msg, f"/s{reason}")


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("allocate IPs, all IP addresses used out", "the SpiderIPPool is exhausted"),
        ("cluster-network multus isn't set", "multus.multusCNI.defaultCniCRName"),
        ("currently the IPAllocation is being recycled. You may create two Pods", "an earlier pod of this name"),
        ("dead Pod default/a, we cannot allocate IP addresees to it", "the pod is terminating"),
        ("failed to get Pod default/a: Pod not found", "does not find this pod"),
        ("no IPPool available", "no SpiderIPPool matches"),
        ("[p] of eth0 filtered out: unmatched", "no SpiderIPPool matches"),
        ("wrong input, IPv4 is enabled, but no IPv4 IPPool specified", "the pod's annotation names no SpiderIPPool"),
        ("exhaust all retries", "refused to allocate"),
    ],
)
def test_known_words_of_a_refusing_agent_get_a_hint(words: str, hint: str) -> None:
    made = refusal(b'"%b"' % words.encode())
    assert (made.code, made.details) == (ALLOCATION_REFUSED, words)
    assert hint in made.msg


def test_an_answer_that_breaks_http_is_code_105_with_how() -> None:
    made = of_exchange(ProtocolError("the answer is cut"), "GET /x", "/s", 1)
    assert (made.code, made.details) == (BAD_AGENT_ANSWER, "the answer is cut")
