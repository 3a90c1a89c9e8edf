"""What went wrong between the plugin and the agent, in words that tell an operator what to do. Pure.

Loaded when something has gone wrong.
"""

from cni.errors import ALLOCATION_REFUSED, BAD_AGENT_ANSWER, TRY_AGAIN_LATER, CNIError
from cni.plugin.http1 import CutError, ProtocolError
from cni.plugin.validation import Invalid, validate

_NO_TIME = 0.01  # seconds: the deadline had come before
_WORDS_LIMIT = 65536  # characters of the agent's words that go into a log line

# (part of the agent's words, what to do about it): the first that matches is used. Upstream pkg/constant/errors.go,
# pkg/ipam.
_HINTS = (
    ("all IP addresses used out", "the SpiderIPPool is exhausted: add addresses to it, or delete pods"),
    (
        "cluster-network multus",
        "the agent lacks its Multus cluster network: set the chart's value multus.multusCNI.defaultCniCRName",
    ),
    ("dead Pod", "the pod is terminating and gets no address any more"),
    ("failed to get Pod", "the agent does not find this pod: was it deleted meanwhile?"),
    ("IPPool specified", "the pod's annotation names no SpiderIPPool for an IP family that the agent has enabled"),
    ("no IPPool available", "no SpiderIPPool matches this pod: see its annotations and the pools' affinities"),
    ("filtered out", "no SpiderIPPool matches this pod: see its annotations and the pools' affinities"),
    ("is being recycled", "an earlier pod of this name still holds its address: it comes free shortly"),
)


def of_connecting(error: Exception, operation: str, socket_path: str, seconds: float) -> CNIError:
    """Return the error for an agent that could not be connected to within `seconds` (code 11)."""
    elapsed = f"{round(seconds, 1):g} s"
    if isinstance(error, TimeoutError) and seconds < _NO_TIME:
        return CNIError(TRY_AGAIN_LATER, f"no time was left to ask the spiderpool-agent for {operation}", socket_path)
    if isinstance(error, TimeoutError):
        text = f"the spiderpool-agent did not accept a connection for {operation} within {elapsed}: is it overloaded?"
        return CNIError(TRY_AGAIN_LATER, text, socket_path)
    tried = f", tried for {elapsed}" if seconds >= 0.1 else ""
    text = f"cannot reach the spiderpool-agent on this node for {operation}{tried}: "
    if isinstance(error, FileNotFoundError | ConnectionRefusedError):
        text += "is its pod running?"
    else:
        text += "look at the socket and at ipam_unix_socket_path"
    return CNIError(TRY_AGAIN_LATER, text, f"{socket_path}: {getattr(error, 'strerror', error)}")


def of_exchange(error: Exception, operation: str, socket_path: str, seconds: float) -> CNIError:
    """Return the error for a request that was sent and got no proper answer within `seconds` (codes 11, 105)."""
    if isinstance(error, CutError):
        text = (
            f"the spiderpool-agent closed the connection in the middle of its answer to {operation}: is it restarting?"
        )
        return CNIError(BAD_AGENT_ANSWER, text, str(error))
    if isinstance(error, ProtocolError):
        return senseless(operation, str(error))
    if isinstance(error, TimeoutError):
        text = f"the spiderpool-agent did not answer {operation} within {round(seconds, 1):g} s: is it overloaded?"
        return CNIError(TRY_AGAIN_LATER, text, socket_path)
    text = f"the spiderpool-agent closed the connection without an answer to {operation}: is it restarting?"
    return CNIError(TRY_AGAIN_LATER, text, socket_path)


def senseless(operation: str, details: str) -> CNIError:
    """Return the error for an answer that breaks HTTP or the agent's contract (code 105)."""
    return CNIError(BAD_AGENT_ANSWER, f"the agent's answer to {operation} makes no sense: see the agent's log", details)


def unexpected(command: str, status: int, answer: bytes) -> CNIError:
    """Return the error for an HTTP status that no agent gives (code 105)."""
    text = f"the agent answered {command} with HTTP status {status}: is it a spiderpool-agent?"
    return CNIError(BAD_AGENT_ANSWER, text, words(answer))


def failed(text: str, answer: bytes) -> CNIError:
    """Return the error for an agent that says that it failed (code 11)."""
    return CNIError(TRY_AGAIN_LATER, text, words(answer))


def refusal(answer: bytes) -> CNIError:
    """Return the error for an agent that gives no address (code 100), with a hint where its words are known."""
    said = words(answer)
    hints = [hint for sign, hint in _HINTS if sign in said]
    return CNIError(ALLOCATION_REFUSED, [*hints, "the spiderpool-agent refused to allocate an address"][0], said)


def no_address(ifname: str) -> CNIError:
    """Return the error for an answer without any address (code 100): a real agent gives it where the pod's annotation
    asks for nothing."""
    text = f"the spiderpool-agent gives {ifname} no address: does the pod's annotation (ipam.spidernet.io/ippool or"
    text += " ippools) name this interface, and a pool of an IP family that the agent has enabled?"
    return CNIError(ALLOCATION_REFUSED, text)


def other_interfaces(ifname: str, seen: str) -> CNIError:
    """Return the error for an answer that has addresses for other interfaces only (code 105)."""
    text = f"the spiderpool-agent gives {ifname} no address, but other interfaces: does the pod's annotation"
    text += " (ipam.spidernet.io/ippools) name this interface?"
    return CNIError(BAD_AGENT_ANSWER, text, seen)


def words(answer: bytes) -> str:
    """Return the agent's words: the text of a JSON string, anything else as it stands, cut to fit into a log line."""
    try:
        said: str = validate({"type": "str"}, answer)
    except Invalid:
        said = answer.decode("utf-8", "replace")
    return said[:_WORDS_LIMIT]
