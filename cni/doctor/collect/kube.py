"""Reads the API of Kubernetes: GET and nothing else. Side effects: connects to it, runs an exec plugin.

Everything waits for one deadline at most, also an answer that comes byte by byte. What is refused is KubeError.
"""

import ssl
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any, TypeVar

import httpx
from pydantic import TypeAdapter, ValidationError

from cni import input_file
from cni.contracts.api_objects import FAILURE, Page
from cni.contracts.kubeconfig import ExecStatus
from cni.deadline import Deadline
from cni.doctor.collect.exec_plugin import credential
from cni.doctor.collect.kubeconfig import Access, AccessError
from cni.doctor.collect.tls import tls_context
from cni.installer.errors import InstallerError, first_fault
from cni.installer.node.cutoff import Cutoff
from cni.installer.node.os_errors import one_line

T = TypeVar("T")

_LIMIT = 500  # objects in a page
_MOST_PAGES = 2000
_MOST_BYTES = 64 << 20  # of an answer
_TIMEOUT = 10.0  # seconds without a byte
_RETRY_AFTER = 1.0  # seconds before the second try, if the server does not say
_LONGEST_RETRY = 10.0
_FRESH = 30.0  # seconds in which no other credential is asked for: one that is new and refused has another fault
_TO_A_POD = "/proxy/"
_UNAUTHORIZED, _GONE, _TOO_MANY = 401, 410, 429


class KubeError(InstallerError):
    """Why an answer cannot be had; `status` is the HTTP status, 0 for none."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status


class Kube:
    """A reader of one API server, for several threads at once."""

    def __init__(self, access: Access, deadline: Deadline) -> None:
        """Prepare it. AccessError."""
        self._access, self._deadline = access, deadline
        self._cutoff = Cutoff(deadline.left())
        self._is_dead = ""  # why the server cannot be reached: it is not tried again for each list
        # What requests are sent with: the last is present, and others may still be in use by other threads.
        self._sessions: list[tuple[httpx.Client, ExecStatus | None]] = []
        self._renewing, self._fresh = threading.Lock(), Deadline(0)
        self._shown: set[str] = set()  # tokens
        try:
            self._open()
        except BaseException:
            self._cutoff.close()
            raise

    def close(self) -> None:
        """Close the connections."""
        self._cutoff.close()
        for client, _ in self._sessions:
            client.close()

    def prolong(self, seconds: float) -> None:
        """Have this many seconds, from now, for all that is still to be asked."""
        self._deadline = Deadline(seconds)
        self._cutoff.postpone(seconds)

    def read(self, path: str, contract: "TypeAdapter[T]", selector: Mapping[str, str] = MappingProxyType({})) -> T:
        """Return one object. KubeError."""
        return self._parse(self._get(path, dict(selector)), contract)

    def list(
        self, path: str, contract: "TypeAdapter[Page[T]]", selector: Mapping[str, str] = MappingProxyType({})
    ) -> list[T]:
        """Return all objects of a list that are selected, read page by page. KubeError."""
        try:
            return [item for page in self._pages(path, contract, selector) for item in page["items"]]
        except KubeError as error:
            if error.status != _GONE:
                raise
            # The list has become too old while it was read: read it as a whole, as client-go's pager does.
            return self.read(path, contract, selector)["items"]

    def _pages(self, path: str, contract: "TypeAdapter[Page[T]]", selector: Mapping[str, str]) -> "Iterator[Page[T]]":
        parameters = {**selector, "limit": str(_LIMIT)}
        for _ in range(_MOST_PAGES):
            page = self._parse(self._get(path, parameters), contract)
            yield page
            following = page.get("metadata", {}).get("continue", "")
            if not following:
                return
            parameters["continue"] = following
        raise KubeError(f"the list does not end: more than {_MOST_PAGES} pages")

    def _parse(self, body: bytes, contract: "TypeAdapter[T]") -> T:
        try:
            return contract.validate_json(body)
        except ValidationError as error:
            raise KubeError(f"what the server has sent is no such object: {first_fault(error)}") from None

    def _get(self, path: str, parameters: dict[str, str]) -> bytes:
        """Return an answer; try once more where the server says so, or does not know the user any more. KubeError."""
        for is_last in (False, True):
            status, headers, body = self._ask(path, parameters)
            if status == 200:
                return body
            if is_last or not self._may_retry(status, headers):
                break
        raise KubeError(self._words(status, body), status)

    def _may_retry(self, status: int, headers: httpx.Headers) -> bool:
        if status == _UNAUTHORIZED and self._access.exec:
            self._renew()
            return True
        if status != _TOO_MANY and status < 500:
            return False
        after = headers.get("Retry-After", "")
        seconds = float(after) if after.isascii() and after.isdigit() and len(after) < 6 else _RETRY_AFTER
        if seconds > min(_LONGEST_RETRY, self._deadline.left()):
            return False
        self._deadline.sleep(seconds)
        return True

    def _ask(self, path: str, parameters: dict[str, str]) -> tuple[int, httpx.Headers, bytes]:
        if self._is_dead:
            raise KubeError(self._is_dead)
        if not self._deadline.left():
            raise KubeError("there was no time left to ask the API")
        client, said = self._sessions[-1]
        body = bytearray()
        try:
            with client.stream(
                "GET",
                self._access.server + path,
                params=parameters,
                headers=self._headers(said),
                timeout=min(_TIMEOUT, self._deadline.left()),
                extensions=self._cutoff.extensions,
            ) as response:
                for chunk in response.iter_bytes():
                    body += chunk
                    if len(body) > _MOST_BYTES:
                        raise KubeError(f"the answer has more than {_MOST_BYTES >> 20} MiB")
                    if not self._deadline.left():
                        raise KubeError("the answer has not come to its end in time")
                return response.status_code, response.headers, bytes(body)
        except (httpx.LocalProtocolError, ValueError) as error:  # whose text may quote a header, and so the token
            raise KubeError(f"{self._access.name}: no request can be made: {type(error).__name__}") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            if self._cutoff.is_over:
                raise KubeError(f"{self._access.name}: timed out") from None
            why = "" if isinstance(error, httpx.InvalidURL) else str(error)  # it may quote a password
            text = self._without_secrets(f"{self._access.name}: {why or type(error).__name__}")
            dead = httpx.ConnectError | httpx.TimeoutException | httpx.ProxyError | httpx.InvalidURL
            if isinstance(error, dead) and _TO_A_POD not in path:  # a pod that hangs says nothing of the server
                self._is_dead = text
            raise KubeError(text) from None

    def _headers(self, said: ExecStatus | None) -> Sequence[tuple[str, str]]:
        token = self._token(said)
        self._shown.add(token)
        if not (token.isascii() and token.isprintable()):
            raise KubeError("the token has characters that no request can have")
        authorization = [("Authorization", f"Bearer {token}")] if token else []
        return [("Accept", "application/json"), *authorization, *self._access.impersonation]

    def _token(self, said: ExecStatus | None) -> str:
        if said:
            return said.get("token", "")
        if file := self._access.token_file:
            try:
                return input_file.read(file).decode().strip()
            except OSError as error:
                raise KubeError(one_line(error)) from None
            except UnicodeDecodeError:
                raise KubeError(f"{file}: not UTF-8") from None
        return self._access.token

    def _words(self, status: int, body: bytes) -> str:
        try:
            message = FAILURE.validate_json(body).get("message", "")
        except ValidationError:
            message = ""
        text = " ".join(message.split())[:300]
        return self._without_secrets(f"HTTP status {status}{': ' if text else ''}{text}")

    def _without_secrets(self, text: str) -> str:
        """Return a text without what a server may have sent back of ours."""
        for secret in (*self._shown, self._access.password):
            text = text.replace(secret, "...") if secret else text
        return text

    def _renew(self) -> None:
        """Have the exec plugin run once for all threads whose credential is refused."""
        with self._renewing:
            if not self._fresh.left():
                try:
                    self._open()
                except AccessError as error:
                    self._is_dead = str(error)
                self._fresh = Deadline(_FRESH)

    def _open(self) -> None:
        access = self._access
        said = credential(access, access.exec, self._deadline) if access.exec else None
        auth = (access.username, access.password) if access.username else None
        context = tls_context(access, said)
        # httpx would take more from the environment than kubectl does, and by other rules: kubeconfig.py has done it.
        client = httpx.Client(verify=context, proxy=_proxy(access, context), auth=auth, trust_env=False)
        self._sessions.append((client, said))


def _proxy(access: Access, context: ssl.SSLContext) -> httpx.Proxy | None:
    """Return the proxy that leads to a server. TLS to it is as that to the server, as in Go. AccessError."""
    if not access.proxy:
        return None
    with suppress(ValueError, httpx.InvalidURL):
        proxy = httpx.Proxy(access.proxy)
        if proxy.url.host and proxy.url.scheme in ("http", "https"):
            proxy.ssl_context = context if proxy.url.scheme == "https" else None
            return proxy
    raise AccessError(
        f"{access.name}: doctor can use a proxy of http:// or https:// only, and none of SOCKS. Name one in the"
        " kubeconfig's proxy-url, or run doctor where the server can be reached without a proxy"
    )


def page_of(contract: Any) -> "TypeAdapter[Page[Any]]":
    """Return the type of a page of these objects."""
    return TypeAdapter(Page[contract])
