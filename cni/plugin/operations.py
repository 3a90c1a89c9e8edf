"""What each CNI_COMMAND does. CNI specification section 2; side effects: the agent client's, and pending releases.

What not every call needs is imported in the function that needs it: recovery only where a release is pending or has to
be, detection only where the agent asks for it. An operation returns the object to print, or None for silence.
Everything that goes wrong is one CNIError, except a signal, which is a KeyboardInterrupt.
"""

import posix

from cni.cni_versions import FIRST_VERSION, LATEST, SUPPORTED, knows
from cni.deadline import Deadline
from cni.errors import INCOMPATIBLE_VERSION, NOT_AVAILABLE, CNIError
from cni.plugin import ip_address, parameters
from cni.plugin.agent_client import NO_LIMIT, AgentClient, UnknownOperationError
from cni.plugin.netconf import read_netconf, stated_version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from cni.plugin.call import Call

# For each command, in seconds: the most for all requests together (request_timeout may be shorter), the most for one
# connection, and for how long to try again while no agent listens, because agents restart.
LIMITS = {
    "ADD": (NO_LIMIT, NO_LIMIT, 3),
    "CHECK": (NO_LIMIT, NO_LIMIT, 3),  # some runtimes replace a pod whose CHECK fails
    "DEL": (30, 2, 2),  # a pod stays Terminating until its DEL has ended
    "STATUS": (2, 2, 0),  # it is asked what is true now
    "GC": (NO_LIMIT, NO_LIMIT, 0),  # runtimes call it again before long
}


def run(call: "Call", environ: "Mapping[bytes, bytes]", stdin: bytes) -> "dict[str, Any] | None":
    """Check environment and stdin as skel does, then run the command; return what to print."""
    try:
        call.attachment = parameters.read(call.command, environ)
    except CNIError:
        _read_log_settings(call, stdin)
        raise
    if call.command == "VERSION":
        return cmd_version(stdin)
    call.netconf = netconf = read_netconf(stdin)
    if not knows(netconf.version, call.command):
        text = f"{call.command} exists from cniVersion {FIRST_VERSION[call.command]} on"
        raise CNIError(INCOMPATIBLE_VERSION, text, f"the configuration's is {netconf.version}")
    timeout, connect_timeout, connect_retry = LIMITS[call.command]
    call.deadline = Deadline(min(netconf.timeout, timeout))
    call.agent = AgentClient(netconf.socket_path, call.deadline, connect_retry, connect_timeout)
    return COMMANDS[call.command](call)


def cmd_version(stdin: bytes) -> "dict[str, Any]":
    """Return the versions that the plugin speaks."""
    return {"cniVersion": stated_version(stdin) or LATEST, "supportedVersions": list(SUPPORTED)}


def cmd_add(call: "Call") -> "dict[str, Any]":
    """Ask the agent for addresses; return the IPAM result. Codes 2, 11, 100, 105, and those of detection.

    The network namespace is not opened unless the agent asks for detection: Calico calls before the interface exists.
    If this fails at any point, or if what it returns cannot be printed, `main` gives the addresses back.
    """
    from cni.plugin import result  # not at the top: a DEL does without

    assert call.agent and call.attachment and call.netconf
    netconf, ifname = call.netconf, call.attachment.ifname
    is_release_pending = _is_release_pending(call)
    if is_release_pending:
        from cni.plugin import recovery

        recovery.remove_own(call)
    answer = result.Answer(call.agent.add(call.attachment, netconf), ifname)
    result.refuse_static(_requested(call), answer.addresses)
    ipam_result = result.render(netconf.version, netconf.result_shape, answer)
    to_probe = [address for address in answer.addresses if address.detect_conflict or address.detect_gateway]
    if to_probe:
        from cni.plugin import detection

        detection.probe(call, to_probe)
    if is_release_pending:
        recovery.release_earlier(call)
    call.log_fields["addresses"] = [ip_address.text(address.packed) for address in answer.addresses]
    return ipam_result


def cmd_del(call: "Call") -> None:
    """Release the attachment's addresses. Code 11 if the release can neither be sent nor be written down.

    # SPEC DEL: "Plugins should generally complete a DEL action without error even if some resources are missing."
    """
    assert call.agent and call.attachment and call.netconf
    try:
        call.agent.release(call.attachment, call.netconf)
    except (CNIError, KeyboardInterrupt) as error:
        from cni.plugin import recovery

        return recovery.release_later(call, error)
    if _is_release_pending(call):
        from cni.plugin import recovery

        recovery.release_earlier(call)
    return None


def cmd_check(call: "Call") -> None:
    """Compare what the agent holds with prevResult. Codes 7, 11, 104, 105."""
    from cni.plugin import check

    check.compare(call)


def cmd_status(call: "Call") -> None:
    """Say by code 50 that no ADD can be served now."""
    assert call.agent
    try:
        call.agent.require_healthy()
    except CNIError as error:
        raise CNIError(NOT_AVAILABLE, error.msg, error.details) from None


def cmd_gc(call: "Call") -> None:
    """Have the agent free what the network holds for attachments that are gone. Codes 7, 11, 105.

    # DEPARTS: the specification has the plugin clean up. A real agent has no operation for that and needs none, because
    # spiderpool-controller frees the addresses of pods that are gone. So that is success.
    """
    from cni.plugin import recovery

    assert call.agent and call.netconf
    valid_attachments = call.netconf.valid_attachments()
    recovery.replay_pending(call)
    try:
        call.agent.collect_garbage(call.netconf.name, valid_attachments)
    except UnknownOperationError:
        call.log_fields["note"] = "left to spiderpool-controller: this agent has no GC of its own"


COMMANDS = {"ADD": cmd_add, "DEL": cmd_del, "CHECK": cmd_check, "STATUS": cmd_status, "GC": cmd_gc}


def _is_release_pending(call: "Call") -> bool:
    """Tell by one look whether a release of the pod's interface is pending, whatever else is."""
    assert call.attachment and call.netconf
    return posix.access(call.attachment.pending_path(call.netconf.name), posix.F_OK)


def _requested(call: "Call") -> list[tuple[str, str]]:
    """Return (key, value) of each static address asked for; CNI_ARGS may list several after one IP=."""
    assert call.attachment and call.netconf
    values = call.attachment.requested_ip.split(",") if call.attachment.requested_ip else []
    return [("CNI_ARGS IP", value) for value in values] + call.netconf.requested_addresses()


def _read_log_settings(call: "Call", stdin: bytes) -> None:
    """Have a call with a broken environment logged where its configuration says, if that can be read."""
    try:
        call.netconf = read_netconf(stdin)
    except CNIError:
        pass
