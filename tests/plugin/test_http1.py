import pytest
from hypothesis import given
from hypothesis import strategies as st

from cni.plugin.http1 import BODY_LIMIT, ProtocolError, decode_response, encode_request

WHOLE = {
    "content-length": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "chunked": b"HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n2;x\r\nhe\r\n3\r\nllo\r\n0\r\nTrailer: 1\r\n\r\n",
    "after-continue": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "same-length-twice": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\ncontent-length: 5\r\n\r\nhello",
    "no-reason": b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello",
}
BROKEN = {
    "not http": b"SSH-2.0-OpenSSH_9.2\r\n",
    "http/2": b"HTTP/2 200\r\n\r\n",
    "status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "switch of protocols": b"HTTP/1.1 101 Switching\r\n\r\n",
    "header without colon": b"HTTP/1.1 200 OK\r\nContent-Length 5\r\n\r\n",
    "blank before colon": b"HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
    "length and chunked": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "gzip": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunk size with a sign": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n",
    "empty chunk size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\nhello\r\n0\r\n\r\n",
    "chunk longer than its size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n",
    "body over the limit": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (BODY_LIMIT + 1),
    "chunk over the limit": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % (BODY_LIMIT + 1),
    "endless line": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70000,
    "endless headers": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000,
    "nothing": b"",
}


def decode(answer: bytes, sizes: list[int] | None = None) -> tuple[int, bytes]:
    """Feed the answer in pieces of the given sizes, the last one repeated; whole without."""
    rest, pieces = answer, list(sizes or [len(answer) or 1])

    def receive() -> bytes:
        nonlocal rest
        size = pieces.pop(0) if len(pieces) > 1 else pieces[0]
        piece, rest = rest[:size], rest[size:]
        return piece

    return decode_response(receive)


@pytest.mark.parametrize("answer", WHOLE.values(), ids=WHOLE)
@given(sizes=st.lists(st.integers(1, 20), min_size=1))
def test_any_cutting_into_pieces_gives_the_same_answer(answer: bytes, sizes: list[int]) -> None:
    assert decode(answer, sizes) == (200, b"hello")


@pytest.mark.parametrize("answer", WHOLE.values(), ids=WHOLE)
def test_an_answer_cut_anywhere_is_an_error(answer: bytes) -> None:
    for length in range(len(answer)):
        with pytest.raises(ProtocolError):
            decode(answer[:length], [7])


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
def test_a_broken_answer_is_an_error(answer: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(answer)


@given(st.binary(max_size=300))
def test_bytes_of_any_kind_give_an_answer_or_a_protocol_error(answer: bytes) -> None:
    for prefix in (b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"):
        try:
            status, body = decode(prefix + answer)
        except ProtocolError:
            continue
        assert 200 <= status <= 999
        assert len(body) <= len(answer)


def test_without_a_length_the_body_ends_with_the_stream() -> None:
    assert decode(b"HTTP/1.0 500 Oops\r\n\r\nhello\n", [3]) == (500, b"hello\n")


def test_an_endless_body_without_a_length_is_an_error() -> None:
    pieces = iter([b"HTTP/1.1 200 OK\r\n\r\n", *[b"x" * 2**20] * 17])
    with pytest.raises(ProtocolError, match="more than"):
        decode_response(lambda: next(pieces))


@pytest.mark.parametrize("status", [204, 304])
def test_statuses_without_a_body_do_not_wait_for_one(status: int) -> None:
    assert decode(b"HTTP/1.1 %d X\r\nContent-Length: 5\r\n\r\n" % status) == (status, b"")


def test_a_request_has_the_headers_that_the_agent_wants() -> None:
    assert encode_request("DELETE", "/v1/ipam/ip", b"{}") == (
        b"DELETE /v1/ipam/ip HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\nConnection: close\r\n"
        b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    )
    assert b"Content" not in encode_request("GET", "/v1/ipam/healthy")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 100 Continue\r\n\r\n", "more than 20 interim responses"),
        (b"X: y\r\n", "more than 200 trailer lines"),
    ],
    ids=["interim responses", "trailers"],
)
def test_what_has_no_end_is_given_up(answer: bytes, words: str) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
    begin = iter([answer if words.endswith("responses") else head])
    with pytest.raises(ProtocolError, match=words):
        decode_response(lambda: next(begin, answer))
