"""The reader of the API against a real server: pages, refusals, retries, and servers that hang or lie."""

import os
import time
from pathlib import Path
from typing import Any

import pytest

from cni.contracts.api_objects import GROUPS, Named
from cni.deadline import Deadline
from cni.doctor.collect.kube import Kube, KubeError, page_of
from cni.doctor.collect.kubeconfig import Access
from cni.installer.errors import InstallerError
from tests.doctor.api_server import ApiServer, Certificates, Seen
from tests.waiting import SLACK

PATH = "/api/v1/nodes"


def named(*names: str) -> list[Any]:
    return [{"metadata": {"name": name}} for name in names]


def access(api: ApiServer, certificates: Certificates, **more: Any) -> Access:
    return Access(api.url, ca=certificates.ca.read_text(), **more)


def listed(told: Access, seconds: float = 20) -> list[Any]:
    kube = Kube(told, Deadline(seconds))
    try:
        return kube.list(PATH, page_of(Named))
    finally:
        kube.close()


def refused(told: Access, seconds: float = 20) -> str:
    with pytest.raises(InstallerError) as error:
        listed(told, seconds)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_list_is_read_page_by_page_and_reduced(api: ApiServer, certificates: Certificates) -> None:
    names = [f"n{number}" for number in range(1203)]
    api.serve(PATH, *(one | {"spec": {"secret": "x"}} for one in named(*names)))
    assert listed(access(api, certificates)) == named(*names)
    assert [seen.query for seen in api.seen] == [
        {"limit": "500"},
        {"limit": "500", "continue": "500"},
        {"limit": "500", "continue": "1000"},
    ]


def test_a_list_that_go_has_never_made_is_empty(api: ApiServer, certificates: Certificates) -> None:
    api.say(PATH, (200, {}, {"metadata": {}, "items": None}))
    assert listed(access(api, certificates)) == []


def test_a_list_that_has_become_too_old_meanwhile_is_read_as_a_whole(
    api: ApiServer, certificates: Certificates
) -> None:
    first: Any = {"metadata": {"continue": "x"}, "items": named("a")}
    whole: Any = {"metadata": {}, "items": named("a", "b")}
    api.say(PATH, (200, {}, first), (410, {}, {"message": "too old"}), (200, {}, whole))
    assert listed(access(api, certificates)) == named("a", "b")
    assert api.seen[-1].query == {}


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_is_told_and_not_tried_again(api: ApiServer, certificates: Certificates, status: int) -> None:
    api.say(PATH, (status, {}, {"kind": "Status", "message": 'User "jane" cannot\nlist resource'}))
    assert refused(access(api, certificates)) == f'HTTP status {status}: User "jane" cannot list resource'
    assert len(api.seen) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_may_pass_is_tried_once_more(api: ApiServer, certificates: Certificates, status: int) -> None:
    api.say(PATH, (status, {"Retry-After": "0"}, b""), (200, {}, {"items": named("a")}))
    assert listed(access(api, certificates)) == named("a")
    api.say(PATH, (status, {"Retry-After": "0"}, b""))
    assert refused(access(api, certificates)) == f"HTTP status {status}"
    assert len(api.seen) == 4


def test_the_second_try_comes_as_late_as_the_server_says(api: ApiServer, certificates: Certificates) -> None:
    api.say(PATH, (429, {"Retry-After": "2"}, b""), (200, {}, {"items": []}))
    started = time.monotonic()
    assert listed(access(api, certificates)) == []
    assert time.monotonic() - started >= 2


@pytest.mark.parametrize("after", ["3600", "99999999999999999999"])
def test_a_second_try_that_would_come_too_late_is_none(api: ApiServer, certificates: Certificates, after: str) -> None:
    api.say(PATH, (503, {"Retry-After": after}, b""))
    started = time.monotonic()
    assert refused(access(api, certificates)) == "HTTP status 503"
    assert time.monotonic() - started < 2 + SLACK


def test_a_server_that_hangs_is_not_waited_for_beyond_the_limit(api: ApiServer, certificates: Certificates) -> None:
    def hang(_: Seen) -> Any:
        api.stopping.wait(30)
        return 200, {}, b"{}"

    api.answers[PATH] = hang
    started = time.monotonic()
    assert "timed out" in refused(access(api, certificates), 1)
    assert time.monotonic() - started < 1 + SLACK


def test_nor_is_one_that_sends_its_headers_byte_by_byte(api: ApiServer, certificates: Certificates) -> None:
    def drip(_: Seen) -> Any:
        for _place in range(200):
            if api.stopping.wait(0.2):
                break
            api.writing.write(b"H")
        return 200, {}, b"{}"

    api.answers[PATH] = drip
    started = time.monotonic()
    assert refused(access(api, certificates), 2) == f"{api.url}: timed out"
    assert time.monotonic() - started < 2 + SLACK


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"items": 3}',
        b'{"items": [{}]}',
        b'{"items": [{"metadata": {"name": 3}}]}',
        b'{"items": [' + b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_a_server_that_lies_is_found_out(api: ApiServer, certificates: Certificates, body: bytes) -> None:
    api.say(PATH, (200, {}, body))
    assert refused(access(api, certificates)).startswith("what the server has sent is no such object: ")


def test_a_list_without_an_end_is_left(
    api: ApiServer, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cni.doctor.collect.kube._MOST_PAGES", 3)
    api.say(PATH, (200, {}, {"metadata": {"continue": "x"}, "items": named("a")}))
    assert refused(access(api, certificates)) == "the list does not end: more than 3 pages"


def test_an_answer_that_is_too_large_is_left(
    api: ApiServer, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cni.doctor.collect.kube._MOST_BYTES", 1 << 20)
    api.say(PATH, (200, {}, b" " * (2 << 20)))
    assert refused(access(api, certificates)) == "the answer has more than 1 MiB"


def test_a_certificate_of_another_authority_is_refused_unless_told_otherwise(
    api: ApiServer, certificates: Certificates
) -> None:
    api.serve(PATH)
    assert "CERTIFICATE_VERIFY_FAILED" in refused(Access(api.url))
    assert listed(Access(api.url, is_insecure=True)) == []


def test_the_name_in_the_certificate_may_be_told(api: ApiServer, certificates: Certificates) -> None:
    api.serve(PATH)
    assert listed(access(api, certificates, tls_server_name="api.example")) == []
    assert "CERTIFICATE_VERIFY_FAILED" in refused(access(api, certificates, tls_server_name="other.example"))


def test_a_client_shows_its_certificate(api: ApiServer, certificates: Certificates) -> None:
    api.serve(PATH)
    shown = (certificates.client.read_text(), certificates.client.with_suffix(".key").read_text())
    assert listed(access(api, certificates, certificate=shown[0], key=shown[1])) == []
    assert [seen.client for seen in api.seen] == ["jane"]


def test_who_cannot_be_reached_is_asked_once(certificates: Certificates) -> None:
    kube = Kube(Access("https://127.0.0.1:1", ca=certificates.ca.read_text()), Deadline(20))
    for _ in range(2):
        with pytest.raises(KubeError, match="Connection refused"):
            kube.read("/apis", GROUPS)
    kube.close()


def test_a_token_that_the_server_sends_back_is_not_told(api: ApiServer, certificates: Certificates) -> None:
    api.say(PATH, (403, {}, {"message": "the token s3cr3t is no good"}))
    assert refused(access(api, certificates, token="s3cr3t")) == "HTTP status 403: the token ... is no good"


@pytest.mark.parametrize("token", ["s3cr3t\nx", "s3cr3tł", "s3cr3t\0", "s3cr3t\x7f"])
def test_a_token_that_no_request_can_have_is_not_told_either(
    api: ApiServer, certificates: Certificates, tmp_path: Path, token: str
) -> None:
    (tmp_path / "token").write_text(token)
    for more in ({"token": token}, {"token_file": tmp_path / "token"}):
        assert refused(access(api, certificates, **more)) == "the token has characters that no request can have"


def test_a_file_of_a_token_that_is_none_is_told(api: ApiServer, certificates: Certificates, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "token")
    text = refused(access(api, certificates, token_file=tmp_path / "token"))
    assert text == f"{tmp_path}/token: it is a FIFO (a named pipe), not a file"


@pytest.mark.parametrize("server", ["https://jane:s3cr3t@127.0.0.1:1", "https://jane:s3cr3t/x@127.0.0.1:1"])
def test_what_is_secret_in_the_servers_url_is_not_told(server: str) -> None:
    text = refused(Access(server))
    assert "s3cr3t" not in text
    assert text.startswith("https://")


def test_a_proxy_url_that_is_no_url_is_told(api: ApiServer) -> None:
    assert "proxy-url" in refused(Access(api.url, proxy="http://[::1"))


def test_a_proxy_of_a_kind_that_is_not_known_is_told_without_its_password(api: ApiServer) -> None:
    text = refused(Access(api.url, proxy="socks5://jane:s3cr3t@127.0.0.1:1"))
    assert "proxy-url" in text
    assert "s3cr3t" not in text
