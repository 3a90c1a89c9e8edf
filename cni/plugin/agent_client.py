"""What is asked of the node's spiderpool-agent: one method per operation. Side effect: the only socket.

Operations, bodies and statuses: spec/agent/openapi.yaml. Every request has a connection of its own, as the agent's
own client does it, and one deadline for the whole exchange: a timeout per read would let a dripping agent hold the
pod for ever. The writing side is never shut down: Go's server takes that for a gone client and cancels the ADD.
"""

import time
from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_STREAM, socket

from cni.errors import ALLOCATION_REFUSED, BAD_AGENT_ANSWER, TRY_AGAIN_LATER, CNIError
from cni.plugin._validators import IPAM_ADD_RESPONSE, WORKLOAD_ENDPOINT
from cni.plugin.http1 import ProtocolError, decode_response, encode_request
from cni.plugin.json_text import encode
from cni.plugin.validation import Invalid, validate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cni.plugin.netconf import NetConf
    from cni.plugin.parameters import Attachment

STATUS_TIMEOUT = 2  # seconds
_GIVE_BACK_TIMEOUT = 2  # seconds, beyond the call's own deadline
_BACKLOG_PAUSE = 0.01  # seconds
_RECEIVE_SIZE = 65536
_UNRESERVED = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")

# The agent's words (upstream pkg/constant/errors.go, pkg/ipam) -> what to do about it; the first that fits.
_HINTS = (
    ("all IP addresses used out", "the SpiderIPPool is exhausted: add addresses to it, or delete pods"),
    ("cluster-network multus", "the agent lacks its Multus cluster network: set MULTUS_CLUSTER_NETWORK in its chart"),
    ("dead Pod", "the pod is terminating and gets no address any more"),
    ("failed to get Pod", "the agent does not find this pod: was it deleted meanwhile?"),
    ("no IPPool available", "no SpiderIPPool matches this pod: see its annotations and the pools' affinities"),
    ("filtered out", "no SpiderIPPool matches this pod: see its annotations and the pools' affinities"),
    ("is being recycled", "an earlier pod of this name still holds its address: it comes free shortly"),
)


class AgentClient:
    """The agent behind one socket, for one call: all its requests together end at `deadline`."""

    def __init__(self, socket_path: str, timeout: float) -> None:
        self._socket_path = socket_path
        self._timeout = timeout
        self.deadline = time.monotonic() + timeout
        self.seconds = 0.0  # spent waiting for the agent
        self.may_hold = False  # an answer has begun: after an ADD, addresses may be held that nobody reports

    def add(self, attachment: "Attachment", netconf: "NetConf") -> "dict[str, Any]":
        """POST /ipam/ip; return an IpamAddResponse. Codes 11, 100, 105."""
        body = _identity(attachment, netconf, netNamespace=attachment.netns)
        options = {
            "defaultIPv4IPPool": netconf.ipam.get("default_ipv4_ippool"),
            "defaultIPv6IPPool": netconf.ipam.get("default_ipv6_ippool"),
            "cleanGateway": netconf.ipam.get("clean_gateway"),
            "matchMasterSubnet": netconf.ipam.get("match_master_subnet"),
        }
        body.update({key: value for key, value in options.items() if value})
        status, answer = self._ask("POST", "/v1/ipam/ip", body)
        self.may_hold = status == 200
        if status == 500:
            raise _refusal(answer)
        if status != 200:
            raise _unexpected("ADD", status, answer)
        return _parsed(IPAM_ADD_RESPONSE, "ADD", answer)

    def release(self, attachment: "Attachment", netconf: "NetConf") -> None:
        """DELETE /ipam/ip. Codes 11, 105."""
        netns = {"netNamespace": attachment.netns} if attachment.netns else {}
        status, answer = self._ask("DELETE", "/v1/ipam/ip", _identity(attachment, netconf, **netns))
        if status == 500:
            raise CNIError(TRY_AGAIN_LATER, "the agent failed to release the address", _message(answer))
        if status != 200:
            raise _unexpected("DEL", status, answer)

    def give_back(self, attachment: "Attachment", netconf: "NetConf") -> str:
        """Release what an ADD that failed may have left held; return what went wrong with that, or "".

        A real agent keeps a live pod's address, and gives it to that pod's next ADD.
        """
        self.deadline = max(self.deadline, time.monotonic() + _GIVE_BACK_TIMEOUT)
        try:
            self.release(attachment, netconf)
        except CNIError as error:
            return f"not given back: {error.msg}: {error.details}"
        return ""

    def endpoint(self, attachment: "Attachment") -> "tuple[bool, dict[str, Any] | None]":
        """GET /workloadendpoint; return (the agent knows the operation, WorkloadEndpointStatus or None). Codes 11, 105.

        A 404 that is a JSON string says "nothing held"; as an object it says "unknown path". Agents before v1.2: 501.
        """
        # Real agents look at the first two; the embedded one needs the others where there is no pod.
        query = {
            "podNamespace": attachment.pod_namespace,
            "podName": attachment.pod_name,
            "containerID": attachment.container_id,
            "ifName": attachment.ifname,
        }
        target = "/v1/workloadendpoint?" + "&".join([f"{key}={_quoted(value)}" for key, value in query.items()])
        status, answer = self._ask("GET", target)
        if status == 200:
            return True, _parsed(WORKLOAD_ENDPOINT, "CHECK", answer)
        if status == 501 or status == 404:
            return status == 404 and answer.lstrip()[:1] == b'"', None
        if status == 500:
            raise CNIError(TRY_AGAIN_LATER, "the agent failed to look the pod's addresses up", _message(answer))
        raise _unexpected("CHECK", status, answer)

    def collect_garbage(self, network: str, valid_attachments: "list[dict[str, str]]") -> bool:
        """POST /ipam/gc, our extension; say whether the agent has it. Codes 11, 105."""
        status, answer = self._ask("POST", "/v1/ipam/gc", {"network": network, "validAttachments": valid_attachments})
        if status in (404, 405, 501):
            return False
        if status == 500:
            raise CNIError(TRY_AGAIN_LATER, "the agent failed to collect garbage", _message(answer))
        if status != 200:
            raise _unexpected("GC", status, answer)
        return True

    def require_healthy(self) -> None:
        """GET /ipam/healthy. Codes 11, 105."""
        status, answer = self._ask("GET", "/v1/ipam/healthy")
        if status != 200:
            raise CNIError(TRY_AGAIN_LATER, "the spiderpool-agent says that it is not healthy", _message(answer))

    def _ask(self, method: str, target: str, body: "dict[str, Any] | None" = None) -> tuple[int, bytes]:
        operation = method + " " + target.partition("?")[0]
        started = time.monotonic()
        try:
            return self._exchange(encode_request(method, target, None if body is None else encode(body)))
        except ProtocolError as error:
            text = f"the agent's answer to {operation} makes no sense: see the agent's log"
            raise CNIError(BAD_AGENT_ANSWER, text, str(error)) from None
        except TimeoutError:
            text = f"the spiderpool-agent did not answer {operation} within {self._timeout:g} s: is it overloaded?"
            raise CNIError(TRY_AGAIN_LATER, text, self._socket_path) from None
        except EOFError:
            text = f"the spiderpool-agent closed the connection without an answer to {operation}: is it restarting?"
            raise CNIError(TRY_AGAIN_LATER, text, self._socket_path) from None
        except OSError as error:
            text = "cannot reach the spiderpool-agent on this node: is its pod running?"
            raise CNIError(TRY_AGAIN_LATER, text, f"{self._socket_path}: {error.strerror}") from None
        finally:
            self.seconds += time.monotonic() - started

    def _exchange(self, request: bytes) -> tuple[int, bytes]:
        connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
        try:
            self._connect(connection)
            connection.sendall(request)
            self.may_hold = False

            def receive() -> bytes:
                self._limit(connection)
                piece = connection.recv(_RECEIVE_SIZE)
                if not piece and not self.may_hold:
                    raise EOFError
                self.may_hold = True
                return piece

            return decode_response(receive)
        finally:
            connection.close()

    def _connect(self, connection: socket) -> None:
        while True:
            self._limit(connection)
            try:
                return connection.connect(self._socket_path)
            except BlockingIOError:
                # A unix socket whose queue is full says so at once, whatever the timeout.
                time.sleep(_BACKLOG_PAUSE)

    def _limit(self, connection: socket) -> None:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        connection.settimeout(left)


def _identity(attachment: "Attachment", netconf: "NetConf", **more: str) -> "dict[str, Any]":
    """Return what names an attachment, to every agent: the embedded one also needs the network."""
    return {
        "containerID": attachment.container_id,
        "ifName": attachment.ifname,
        "podNamespace": attachment.pod_namespace,
        "podName": attachment.pod_name,
        "podUID": attachment.pod_uid,
        "network": netconf.name,
        **more,
    }


def _parsed(schema: "dict[str, Any]", command: str, answer: bytes) -> "dict[str, Any]":
    try:
        return validate(schema, answer)  # type: ignore[no-any-return]
    except Invalid as invalid:
        text = f"the agent's answer to {command} makes no sense: see the agent's log"
        raise CNIError(BAD_AGENT_ANSWER, text, invalid.one_line()) from None


def _refusal(answer: bytes) -> CNIError:
    words = _message(answer)
    for sign, hint in _HINTS:
        if sign in words:
            return CNIError(ALLOCATION_REFUSED, hint, words)
    return CNIError(ALLOCATION_REFUSED, "the spiderpool-agent refused to allocate an address", words)


def _unexpected(command: str, status: int, answer: bytes) -> CNIError:
    text = f"the agent answered {command} with HTTP status {status}: is it a spiderpool-agent?"
    return CNIError(BAD_AGENT_ANSWER, text, _message(answer))


def _message(answer: bytes) -> str:
    """Return the agent's words: of a JSON string its text, of anything else the bytes."""
    try:
        return validate({"type": "str"}, answer)  # type: ignore[no-any-return]
    except Invalid:
        return answer.decode("utf-8", "replace")


def _quoted(text: str) -> str:
    """Percent-encode a query value (RFC 3986); urllib costs 10 ms."""
    return "".join([chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in text.encode()])
