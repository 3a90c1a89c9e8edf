"""What each CNI_COMMAND does. CNI specification section 2; side effects are the agent client's, and pending releases.

An operation returns the object to print, or None for silence; everything that goes wrong is one CNIError, but for a
signal, which is a KeyboardInterrupt.
"""

import posix
import time

from cni.cni_versions import FIRST_VERSION, LATEST, SUPPORTED, knows
from cni.errors import BAD_AGENT_ANSWER, CHECK_DIFFERS, INCOMPATIBLE_VERSION, NOT_AVAILABLE, CNIError
from cni.plugin import ip_address, parameters
from cni.plugin import netconf as network_configuration
from cni.plugin.agent_client import AgentClient
from cni.plugin.interrupts import Waiting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType
    from typing import Any

    from cni.plugin.netconf import NetConf
    from cni.plugin.parameters import Attachment

TIMEOUTS = {"STATUS": 2, "DEL": 30}  # seconds, where request_timeout is longer; a pod waits for its DEL
DEL_CONNECT_TIMEOUT = 2  # seconds
# How long an agent that is not there is waited for: agents restart. STATUS is asked what is true now, and GC is asked
# again before long. A failed CHECK makes some runtimes replace the pod, which a restart of the agent is no reason for.
PATIENCE = {"ADD": 3, "CHECK": 3, "DEL": DEL_CONNECT_TIMEOUT}  # seconds

# The agent answers CHECK out of a cache that may lag behind an ADD.
CHECK_RETRY = 3.0  # seconds
_CHECK_PAUSE = 0.2  # seconds


class Call:
    """One call. `run` fills it in step by step, so that the log tells as much as was understood when it ended."""

    __slots__ = ("agent", "attachment", "command", "netconf", "notes", "owes")

    if TYPE_CHECKING:
        attachment: Attachment  # of ADD, DEL, CHECK
        netconf: NetConf
        agent: AgentClient

    def __init__(self, command: str) -> None:
        self.command = command
        self.notes: dict[str, Any] = {}  # what else the log line tells
        self.owes = False  # a pending release of this very attachment was removed


def run(call: Call, environ: "Mapping[bytes, bytes]", stdin: bytes) -> "dict[str, Any] | None":
    """Check environment and stdin as skel does, then run the command; return what to print."""
    try:
        attachment = parameters.read(call.command, environ)
    except CNIError:
        _read_log_settings(call, stdin)
        raise
    if attachment:
        call.attachment = attachment
    if call.command == "VERSION":
        return cmd_version(stdin)
    call.netconf = netconf = network_configuration.parse(stdin)
    if not knows(netconf.version, call.command):
        text = f"{call.command} exists from cniVersion {FIRST_VERSION[call.command]} on"
        raise CNIError(INCOMPATIBLE_VERSION, text, f"the configuration's is {netconf.version}")
    timeout = min(netconf.timeout, TIMEOUTS.get(call.command, netconf.timeout))
    connect_timeout = DEL_CONNECT_TIMEOUT if call.command == "DEL" else timeout
    call.agent = AgentClient(netconf.socket_path, timeout, PATIENCE.get(call.command, 0), connect_timeout)
    return _COMMANDS[call.command](call)


def cmd_version(stdin: bytes) -> "dict[str, Any]":
    """Return the versions spoken."""
    stated = network_configuration.stated_version(stdin) or LATEST
    return {"cniVersion": stated, "supportedVersions": list(SUPPORTED)}


def cmd_add(call: Call) -> "dict[str, Any]":
    """Ask the agent for addresses; return the IPAM result. Codes 2, 11, 100, 105, and those of detection.

    The netns is not opened unless the agent asks for detection: Calico calls before the interface exists. If this
    fails at any point, or what it returns cannot be printed, `main` gives the addresses back.
    """
    from cni.plugin import result  # not at the top: a DEL does without

    netconf, ifname = call.netconf, call.attachment.ifname
    is_pending = posix.access(call.attachment.pending_path(netconf.name), posix.F_OK)
    if is_pending:
        _recovery().forget(call)
    response = call.agent.add(call.attachment, netconf)
    addresses = result.select(response, ifname)
    result.refuse_static(_requested(call), addresses)
    ipam_result = result.render(netconf.version, netconf.result_shape, ifname, addresses, response)
    to_probe = [address for address in addresses if address.detect_conflict or address.detect_gateway]
    if to_probe:
        from cni.plugin import detection

        detection.probe(call, to_probe)
    if is_pending:
        _recovery().replay_own(call)
    call.notes["addresses"] = [ip_address.text(address.packed) for address in addresses]
    return ipam_result


def cmd_del(call: Call) -> None:
    """Release the attachment's addresses; what the agent does not take is written down, and done. Code 11: neither.

    # SPEC DEL: "Plugins should generally complete a DEL action without error even if some resources are missing."
    """
    try:
        call.agent.release(call.attachment, call.netconf)
    except (CNIError, KeyboardInterrupt) as error:
        _recovery().release_later(call, error)
        return
    try:
        names = posix.listdir(parameters.PENDING_FOLDER)
    except OSError:
        return
    if any(name.endswith(".release") for name in names):
        _recovery().after_release(call)


def cmd_check(call: Call) -> None:
    """Compare what the agent holds with prevResult. Codes 7, 11, 104, 105.

    # SPEC CHECK: "The plugin must return an error if a resource included in the CNI Result type that was created by
    # the plugin … is missing or in an invalid state." Not the reverse: chained plugins may have added addresses.
    """
    previous = _previous(call.netconf.prev_addresses())
    if call.attachment.pod_name.startswith("virt-launcher-"):
        # KubeVirt: the endpoint carries the virtual machine's name, which nobody tells us.
        return _check_health(call, "a KubeVirt pod's endpoint has another name")
    give_up = min(time.monotonic() + CHECK_RETRY, call.agent.deadline)
    while True:
        known, endpoint = call.agent.endpoint(call.attachment)
        if not known:
            return _check_health(call, "this agent cannot tell what a pod holds")
        difference = _difference(call.attachment, previous, endpoint)
        if difference is None:
            return None
        left = give_up - time.monotonic()
        if left <= 0:
            raise CNIError(CHECK_DIFFERS, "the pod's addresses are not those that the agent holds for it", difference)
        with Waiting():
            time.sleep(min(left, _CHECK_PAUSE))


def cmd_status(call: Call) -> None:
    """Say by code 50 that no ADD can be served now."""
    try:
        call.agent.require_healthy()
    except CNIError as error:
        raise CNIError(NOT_AVAILABLE, error.msg, error.details) from None


def cmd_gc(call: Call) -> None:
    """Have the agent free what the network holds for attachments that are gone. Codes 7, 11, 105.

    # DEPARTS: the specification has the plugin clean up; a real agent has no operation for that and needs none,
    # because spiderpool-controller frees the addresses of pods that are gone. So that is success.
    """
    valid_attachments = call.netconf.valid_attachments()
    _recovery().replay(call)
    if not call.agent.collect_garbage(call.netconf.name, valid_attachments):
        call.notes["note"] = "left to spiderpool-controller: this agent has no GC of its own"


_COMMANDS = {"ADD": cmd_add, "DEL": cmd_del, "CHECK": cmd_check, "STATUS": cmd_status, "GC": cmd_gc}


def _recovery() -> "ModuleType":
    """Load what only those calls need for which a release is pending, or will be."""
    from cni.plugin import recovery

    return recovery


def _requested(call: Call) -> list[tuple[str, str]]:
    """Return (key, value) of each static address asked for; CNI_ARGS may list several after one IP=."""
    values = call.attachment.requested_ip.split(",") if call.attachment.requested_ip else []
    return [("CNI_ARGS IP", value) for value in values] + call.netconf.requested_addresses()


def _check_health(call: Call, reason: str) -> None:
    call.notes["note"] = f"only the agent's health was checked: {reason}"
    call.agent.require_healthy()


def _difference(attachment: "Attachment", previous: list[bytes], endpoint: "dict[str, Any] | None") -> str | None:
    """Say how prevResult and what the agent holds differ, or None; code 105 for an address that does not parse."""
    if endpoint is None:
        return f"the agent holds nothing for this pod, prevResult has {_texts(previous)}"
    if endpoint["podUID"] and attachment.pod_uid and endpoint["podUID"] != attachment.pod_uid:
        return f"the agent's pod has UID {endpoint['podUID']}, this one {attachment.pod_uid}"
    details = [detail for detail in endpoint["interfaces"] or () if detail["interface"] == attachment.ifname]
    held = _held([detail[key] for detail in details for key in ("ipv4", "ipv6") if detail.get(key)])
    if held and all(address in previous for address in held):
        return None
    return f"the agent holds {_texts(held)} for {attachment.ifname}, prevResult has {_texts(previous)}"


def _held(addresses: list[str]) -> list[bytes]:
    try:
        return [ip_address.parse(address.partition("/")[0]) for address in addresses]
    except ValueError as error:
        text = "the agent's answer to CHECK makes no sense: see the agent's log"
        raise CNIError(BAD_AGENT_ANSWER, text, str(error)) from None


def _previous(addresses: list[str]) -> list[bytes]:
    """Return prevResult's addresses; what does not parse was not ours, and equals none of the agent's."""
    packed = []
    for address in addresses:
        try:
            packed.append(ip_address.parse(address.partition("/")[0]))
        except ValueError:
            continue
    return packed


def _read_log_settings(call: Call, stdin: bytes) -> None:
    """Have a call with a broken environment logged where its configuration says, if that can be read."""
    try:
        call.netconf = network_configuration.parse(stdin)
    except CNIError:
        pass


def _texts(addresses: list[bytes]) -> str:
    return " ".join([ip_address.text(address) for address in addresses]) or "none"
