"""What is asked of the node's spiderpool-agent: one method per operation. Side effect: the only socket.

Operations, bodies and statuses: spec/agent/openapi.yaml. Every request has a connection of its own, as the agent's
own client does it, and one deadline for the whole call: a timeout per read would let a dripping agent hold the pod for
ever. At the deadline the connection is closed, so that the agent stops, too. The writing side is never shut down
before: Go's server takes that for a gone client and cancels the ADD.
"""

import posix
import time
from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_STREAM, socket

from cni.errors import ALLOCATION_REFUSED, BAD_AGENT_ANSWER, TRY_AGAIN_LATER, CNIError
from cni.plugin._validators import IPAM_ADD_RESPONSE, WORKLOAD_ENDPOINT
from cni.plugin.http1 import ProtocolError, decode_response, encode_request, quoted
from cni.plugin.interrupts import Waiting
from cni.plugin.json_text import encode
from cni.plugin.validation import Invalid, validate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cni.plugin.netconf import NetConf
    from cni.plugin.parameters import Attachment

UNDO_TIMEOUT = 2  # seconds, beyond the call's own deadline
_BACKLOG_PAUSE = 0.01  # seconds
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 0.4  # seconds, while nobody listens
_RECEIVE_SIZE = 65536
_WORDS_LIMIT = 65536  # characters

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
    """The agent behind one socket, for one call: all its requests together end `timeout` seconds after its start.

    A socket that is missing or refuses is tried again for `patience` seconds: agents restart. With `connect_timeout`
    no connection may take longer than that, whatever the obstacle.
    """

    def __init__(
        self, socket_path: str, timeout: float, patience: float = 0, connect_timeout: float | None = None
    ) -> None:
        self._socket_path = socket_path
        self._started = time.monotonic()
        self.deadline = self._started + timeout
        self._patience = patience
        self._connect_timeout = timeout if connect_timeout is None else connect_timeout
        self.heard = False  # an answer to the last request has begun
        self.seconds = 0.0  # spent waiting for the agent
        self.may_hold = False  # the agent may have acted on the last request: an ADD may hold what nobody reports

    def add(self, attachment: "Attachment", netconf: "NetConf") -> "dict[str, Any]":
        """POST /ipam/ip; return an IpamAddResponse. Codes 11, 100, 105."""
        body = identity(attachment, netconf, netNamespace=attachment.netns)
        options = {
            "defaultIPv4IPPool": netconf.ipam.get("default_ipv4_ippool"),
            "defaultIPv6IPPool": netconf.ipam.get("default_ipv6_ippool"),
            "cleanGateway": netconf.ipam.get("clean_gateway"),
            "matchMasterSubnet": netconf.ipam.get("match_master_subnet"),
        }
        body.update({key: value for key, value in options.items() if value})
        status, answer = self.ask("POST", "/v1/ipam/ip", body)
        # After a refusal nothing is given back: "dead Pod …", say, is the answer for a terminating pod, and a real
        # agent would release what that one still uses.
        self.may_hold = status == 200
        if status == 500:
            raise _refusal(answer)
        if status != 200:
            raise _unexpected("ADD", status, answer)
        return _parsed(IPAM_ADD_RESPONSE, "ADD", answer)

    def release(self, attachment: "Attachment", netconf: "NetConf") -> None:
        """DELETE /ipam/ip. Codes 11, 105."""
        netns = {"netNamespace": attachment.netns} if attachment.netns else {}
        status, answer = self.ask("DELETE", "/v1/ipam/ip", identity(attachment, netconf, **netns))
        if status == 500:
            raise CNIError(TRY_AGAIN_LATER, "the agent failed to release the address", _message(answer))
        if status != 200:
            raise _unexpected("DEL", status, answer)

    def release_conflicting(self, attachment: "Attachment", netconf: "NetConf") -> str:
        """DELETE /ipam/ips, for an address conflict or an unreachable gateway only: it frees all that a live pod holds.

        Return what went wrong with that, or "": the conflict is the error that the caller hears of. 521 and 522 say
        that the agent's settings refuse it, for stateless and for stateful pods.

        # DEPARTS: upstream leaves isReleaseConflictIPs out, and so takes a StatefulSet's fixed address away.
        """
        body = {**identity(attachment, netconf), "netNamespace": attachment.netns, "isReleaseConflictIPs": True}
        del body["ifName"]
        self.deadline = max(self.deadline, time.monotonic() + UNDO_TIMEOUT)
        try:
            status, answer = self.ask("DELETE", "/v1/ipam/ips", body)
        except CNIError as error:
            return f"the conflict's addresses are not released: {error}"
        return "" if status == 200 else f"the conflict's addresses are not released: {status} {_message(answer)}"

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
        target = "/v1/workloadendpoint?" + "&".join([f"{key}={quoted(value)}" for key, value in query.items()])
        status, answer = self.ask("GET", target)
        if status == 200:
            return True, _parsed(WORKLOAD_ENDPOINT, "CHECK", answer)
        if status == 501 or status == 404:
            return status == 404 and answer.lstrip()[:1] == b'"', None
        if status == 500:
            raise CNIError(TRY_AGAIN_LATER, "the agent failed to look the pod's addresses up", _message(answer))
        raise _unexpected("CHECK", status, answer)

    def collect_garbage(self, network: str, valid_attachments: "list[dict[str, str]]") -> bool:
        """POST /ipam/gc, our extension; say whether the agent has it. Codes 11, 105."""
        status, answer = self.ask("POST", "/v1/ipam/gc", {"network": network, "validAttachments": valid_attachments})
        if status in (404, 405, 501):
            return False
        if status == 500:
            raise CNIError(TRY_AGAIN_LATER, "the agent failed to collect garbage", _message(answer))
        if status != 200:
            raise _unexpected("GC", status, answer)
        return True

    def require_healthy(self) -> None:
        """GET /ipam/healthy. Codes 11, 105."""
        status, answer = self.ask("GET", "/v1/ipam/healthy")
        if status != 200:
            raise CNIError(TRY_AGAIN_LATER, "the spiderpool-agent says that it is not healthy", _message(answer))

    def ask(self, method: str, target: str, body: "dict[str, Any] | None" = None) -> tuple[int, bytes]:
        """Make one request; return status and body. Codes 11, 105."""
        operation = method + " " + target.partition("?")[0]
        started = time.monotonic()
        try:
            return self._exchange(encode_request(method, target, None if body is None else encode(body)))
        except ProtocolError as error:
            text = f"the agent's answer to {operation} makes no sense: see the agent's log"
            raise CNIError(BAD_AGENT_ANSWER, text, str(error)) from None
        except TimeoutError:
            text = f"the spiderpool-agent did not answer {operation} within {self._elapsed()}: is it overloaded?"
            raise CNIError(TRY_AGAIN_LATER, text, self._socket_path) from None
        except EOFError:
            text = f"the spiderpool-agent closed the connection without an answer to {operation}: is it restarting?"
            raise CNIError(TRY_AGAIN_LATER, text, self._socket_path) from None
        except OSError as error:
            text = f"cannot reach the spiderpool-agent on this node for {operation}"
            text += f", tried for {self._elapsed()}: is its pod running?"
            raise CNIError(TRY_AGAIN_LATER, text, f"{self._socket_path}: {error.strerror}") from None
        finally:
            self.seconds += time.monotonic() - started

    def _elapsed(self) -> str:
        return f"{round(time.monotonic() - self._started, 1):g} s"

    def _exchange(self, request: bytes) -> tuple[int, bytes]:
        with Waiting():
            return self._converse(request)

    def _converse(self, request: bytes) -> tuple[int, bytes]:
        connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
        try:
            self._connect(connection)
            self.heard = False
            self.may_hold = True
            self._limit(connection, self.deadline)
            connection.sendall(request)

            def receive() -> bytes:
                self._limit(connection, self.deadline)
                piece = connection.recv(_RECEIVE_SIZE)
                if not piece and not self.heard:
                    raise EOFError
                self.heard = True
                return piece

            return decode_response(receive)
        finally:
            connection.close()

    def _connect(self, connection: socket) -> None:
        give_up = min(self.deadline, time.monotonic() + self._connect_timeout)
        pause = _FIRST_PAUSE
        while True:
            self._limit(connection, give_up)
            try:
                return connection.connect(self._socket_path)
            except BlockingIOError:
                # A unix socket whose queue is full says so at once, whatever the timeout.
                time.sleep(_BACKLOG_PAUSE)
            except (FileNotFoundError, ConnectionRefusedError):
                # Jitter: a node's pods must not all come back at the same moment.
                wait = pause * (0.5 + posix.urandom(1)[0] / 256)
                left = min(give_up, self._started + self._patience) - time.monotonic()
                time.sleep(max(0, min(wait, left)))
                if left <= wait:
                    raise
                pause = min(2 * pause, _LONGEST_PAUSE)

    @staticmethod
    def _limit(connection: socket, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        connection.settimeout(left)


def identity(attachment: "Attachment", netconf: "NetConf", **more: str) -> "dict[str, Any]":
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
    """Return the agent's words, as many as a log line can bear: a JSON string's text, anything else as it stands."""
    try:
        words: str = validate({"type": "str"}, answer)
    except Invalid:
        words = answer.decode("utf-8", "replace")
    return words[:_WORDS_LIMIT]
