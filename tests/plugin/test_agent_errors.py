"""The words of an exchange that failed; which failure gets which is in test_agent_client and in the vectors."""

import pytest

from cni.errors import BAD_AGENT_ANSWER, TRY_AGAIN_LATER
from cni.plugin.agent_errors import of_exchange
from cni.plugin.http1 import ProtocolError


@pytest.mark.parametrize(
    ("error", "seconds", "msg", "details"),
    [
        (TimeoutError(), 0.34, "the spiderpool-agent did not answer GET /x within 0.3 s: is it overloaded?", "/s"),
        (
            EOFError(),
            2.0,
            "the spiderpool-agent closed the connection without an answer to GET /x: is it restarting?",
            "/s",
        ),
        (
            FileNotFoundError(2, "No such file or directory"),
            3.04,
            "cannot reach the spiderpool-agent on this node for GET /x, tried for 3 s: is its pod running?",
            "/s: No such file or directory",
        ),
    ],
    ids=["no answer", "closed", "nobody"],
)
def test_what_may_pass_is_code_11_and_says_what_to_look_at(
    error: Exception, seconds: float, msg: str, details: str
) -> None:
    made = of_exchange(error, "GET /x", "/s", seconds)
    assert (made.code, made.msg, made.details) == (TRY_AGAIN_LATER, msg, details)


def test_an_answer_that_breaks_http_is_code_105_with_how() -> None:
    made = of_exchange(ProtocolError("the answer is cut"), "GET /x", "/s", 1)
    assert (made.code, made.details) == (BAD_AGENT_ANSWER, "the answer is cut")
