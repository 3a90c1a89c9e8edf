"""What is asked of the node's spiderpool-agent: one method per operation. Side effect: the only connection to it.

Operations, bodies and statuses: spec/agent/openapi.yaml. Every request has a connection of its own, as with upstream's
client, and one deadline holds for all of them: with a timeout per read, an agent that sends a byte now and then would
hold the pod for ever. At the deadline the connection is closed, so that the agent stops as well. Before that the
writing side stays open: Go's server takes its end for a client that is gone, and cancels the ADD.
"""

import posix
import time
from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM, socket

from cni.deadline import Deadline
from cni.errors import CNIError
from cni.plugin import interrupts
from cni.plugin._validators import IPAM_ADD_RESPONSE
from cni.plugin.http1 import ProtocolError, decode_response, encode_request, quoted
from cni.plugin.json_text import encode
from cni.plugin.validation import Invalid, validate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cni.plugin.attachment import Attachment
    from cni.plugin.netconf import NetConf

NO_LIMIT = float("inf")  # seconds
GIVE_BACK_TIMEOUT = 2  # seconds, beyond the call's own deadline, for releasing what a failed ADD holds
_BACKLOG_PAUSE = 0.01  # seconds
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 0.4  # seconds between two attempts to connect
_RECEIVE_SIZE = 65536

# What an ADD that fails may have made the agent hold (AgentClient.holds). UNKNOWN: the request was sent, and no answer
# has begun. SOMETHING: an answer has begun.
NOTHING, UNKNOWN, SOMETHING = "nothing", "unknown", "something"


class UnknownOperationError(Exception):
    """This agent does not know the operation."""


class AgentClient:
    """The agent behind one socket, for one call: all its requests together end at `deadline`.

    An agent whose socket is missing or refuses is tried again for `connect_retry` seconds from the first attempt on,
    because agents restart. No connection may take longer than `connect_timeout` seconds, whatever the obstacle is.
    """

    def __init__(
        self, socket_path: str, deadline: Deadline, connect_retry: float = 0, connect_timeout: float = NO_LIMIT
    ) -> None:
        self.deadline = deadline
        self.holds = NOTHING
        self.seconds = 0.0  # spent waiting for the agent
        self._socket_path = socket_path
        self._is_connected = False
        self._connect_retry = connect_retry
        self._retry: Deadline | None = None  # from the first attempt on
        self._connect_timeout = connect_timeout

    def add(self, attachment: "Attachment", netconf: "NetConf") -> "dict[str, Any]":
        """POST /ipam/ip; return an IpamAddResponse. Codes 11, 100, 105."""
        options = {
            "defaultIPv4IPPool": netconf.ipam.get("default_ipv4_ippool"),
            "defaultIPv6IPPool": netconf.ipam.get("default_ipv6_ippool"),
            "cleanGateway": netconf.ipam.get("clean_gateway"),
            "matchMasterSubnet": netconf.ipam.get("match_master_subnet"),
        }
        body = {**attachment.identity(netconf.name), "netNamespace": attachment.netns}
        body.update({key: value for key, value in options.items() if value})
        status, answer = self.ask("POST", "/v1/ipam/ip", body)
        if status != 200:
            from cni.plugin import agent_errors

            # After a refusal nothing is given back: the answer may be "dead Pod …", for a terminating pod, and a real
            # agent would release what that pod still uses.
            self.holds = NOTHING
            raise agent_errors.refusal(answer) if status == 500 else agent_errors.unexpected("ADD", status, answer)
        return _parsed(IPAM_ADD_RESPONSE, "ADD", answer)

    def release(self, attachment: "Attachment", netconf: "NetConf") -> None:
        """DELETE /ipam/ip. Codes 11, 105."""
        netns = {"netNamespace": attachment.netns} if attachment.netns else {}
        status, answer = self.ask("DELETE", "/v1/ipam/ip", {**attachment.identity(netconf.name), **netns})
        _require_ok("DEL", status, answer, "the agent failed to release the address")

    def release_conflicting(self, attachment: "Attachment", netconf: "NetConf") -> str:
        """DELETE /ipam/ips, for an address conflict or an unreachable gateway only: it frees all that a live pod holds.

        Return what went wrong with that, or "": the caller is told of the conflict. With 521 and 522 the agent says
        that its settings forbid it, for stateless and for stateful pods.

        # DEPARTS: upstream leaves isReleaseConflictIPs out, and so takes a StatefulSet's fixed address away.
        """
        from cni.plugin import agent_errors

        body = {**attachment.identity(netconf.name), "netNamespace": attachment.netns, "isReleaseConflictIPs": True}
        del body["ifName"]
        self.deadline = Deadline(max(self.deadline.left(), GIVE_BACK_TIMEOUT))
        try:
            status, answer = self.ask("DELETE", "/v1/ipam/ips", body)
        except CNIError as error:
            return f"the conflict's addresses are not released: {error}"
        if status != 200:
            return f"the conflict's addresses are not released: {status} {agent_errors.words(answer)}"
        self.holds = NOTHING
        return ""

    def endpoint(self, attachment: "Attachment") -> "dict[str, Any] | None":
        """GET /workloadendpoint; return a WorkloadEndpointStatus, None where nothing is held. Codes 11, 105.

        Raises UnknownOperationError for 501 (agents before v1.2), and for a 404 whose body is a JSON object. A 404 with
        a JSON string means that nothing is held.
        """
        from cni.plugin._rare_validators import WORKLOAD_ENDPOINT

        # Real agents look at the first two; the embedded one needs the others where there is no pod.
        query = {
            "podNamespace": attachment.pod_namespace,
            "podName": attachment.pod_name,
            "containerID": attachment.container_id,
            "ifName": attachment.ifname,
        }
        target = "/v1/workloadendpoint?" + "&".join([f"{key}={quoted(value)}" for key, value in query.items()])
        status, answer = self.ask("GET", target)
        if status == 404 and answer.lstrip()[:1] == b'"':
            return None
        if status in (404, 501):
            raise UnknownOperationError
        _require_ok("CHECK", status, answer, "the agent failed to look the pod's addresses up")
        return _parsed(WORKLOAD_ENDPOINT, "CHECK", answer)

    def collect_garbage(self, network: str, valid_attachments: "list[dict[str, str]]") -> None:
        """POST /ipam/gc, our extension. Codes 11, 105. Raises UnknownOperationError where the agent is a real one."""
        status, answer = self.ask("POST", "/v1/ipam/gc", {"network": network, "validAttachments": valid_attachments})
        if status in (404, 405, 501):
            raise UnknownOperationError
        _require_ok("GC", status, answer, "the agent failed to collect garbage")

    def require_healthy(self) -> None:
        """GET /ipam/healthy. Codes 11, 105."""
        status, answer = self.ask("GET", "/v1/ipam/healthy")
        _require_ok("the health check", status, answer, "the spiderpool-agent says that it is not healthy")

    def ask(self, method: str, target: str, body: "dict[str, Any] | None" = None) -> tuple[int, bytes]:
        """Make one request; return status and body. Codes 11, 105."""
        started = time.monotonic()
        request = encode_request(method, target, None if body is None else encode(body))
        try:
            return self._exchange(request)
        except (ProtocolError, EOFError, OSError) as error:
            from cni.plugin import agent_errors

            operation = method + " " + target.partition("?")[0]
            seconds = time.monotonic() - started
            if self._is_connected:
                raise agent_errors.of_exchange(error, operation, self._socket_path, seconds) from error
            raise agent_errors.of_connecting(error, operation, self._socket_path, seconds) from error
        finally:
            self.seconds += time.monotonic() - started

    def _exchange(self, request: bytes) -> tuple[int, bytes]:
        self._is_connected = False
        interrupts.check()
        self.deadline.require_left()
        connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK)
        try:
            self._connect(connection)
            self._is_connected = True
            self.holds = UNKNOWN
            try:
                interrupts.send(connection, request, self.deadline)
            except ConnectionError:
                pass  # it has stopped reading; what it said before that is read below

            def next_piece() -> bytes:
                piece = self._receive(connection)
                if not piece and self.holds is UNKNOWN:
                    raise EOFError
                self.holds = SOMETHING
                return piece

            return decode_response(next_piece)
        finally:
            connection.close()

    def _receive(self, connection: socket) -> bytes:
        try:
            return interrupts.receive(connection, _RECEIVE_SIZE, self.deadline)
        except ConnectionError:
            return b""  # an agent that dies resets its connections, or closes them

    def _connect(self, connection: socket) -> None:
        deadline = self.deadline.within(self._connect_timeout)
        self._retry = self._retry or Deadline(self._connect_retry)
        pause = _FIRST_PAUSE
        while True:
            # Looked at before the attempt, so that after the last pause there is one attempt more.
            left = deadline.left()
            left_to_retry = min(left, self._retry.left())
            try:
                return connection.connect(self._socket_path)
            except BlockingIOError:
                # The queue of connections is full.
                if not left:
                    raise TimeoutError from None
                interrupts.sleep(min(_BACKLOG_PAUSE, left))
            except (FileNotFoundError, ConnectionRefusedError):
                if not left_to_retry:
                    raise
                # Jitter: a node's pods must not all come back at the same moment.
                interrupts.sleep(min(pause * (0.5 + posix.urandom(1)[0] / 256), left_to_retry))
                pause = min(2 * pause, _LONGEST_PAUSE)


def _parsed(schema: "dict[str, Any]", command: str, answer: bytes) -> "dict[str, Any]":
    try:
        return validate(schema, answer)  # type: ignore[no-any-return]
    except Invalid as invalid:
        from cni.plugin import agent_errors

        raise agent_errors.senseless(command, invalid.one_line()) from None


def _require_ok(command: str, status: int, answer: bytes, failure: str) -> None:
    """Raise the error for any status but 200: code 11 with the text `failure` for 500, else 105."""
    if status != 200:
        from cni.plugin import agent_errors

        raise (
            agent_errors.failed(failure, answer) if status == 500 else agent_errors.unexpected(command, status, answer)
        )
