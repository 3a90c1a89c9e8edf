"""CHECK: does the agent still hold for the pod what prevResult says? Side effects: the agent client's.

CNI specification section 2, "CHECK". Loaded by CHECK only.
"""

from cni.errors import CHECK_DIFFERS, CNIError
from cni.plugin import agent_errors, interrupts, ip_address
from cni.plugin.agent_client import UnknownOperationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cni.plugin.attachment import Attachment
    from cni.plugin.call import Call

RETRY = 3.0  # seconds: the agent answers CHECK out of a cache that may lag behind an ADD
_PAUSE = 0.2  # seconds between two attempts


def compare(call: "Call") -> None:
    """Compare what the agent holds with prevResult. Codes 7, 11, 104, 105.

    # SPEC CHECK: "The plugin must return an error if a resource included in the CNI Result type that was created by
    # the plugin … is missing or in an invalid state." The reverse is not
    # checked, because chained plugins may have added addresses.
    """
    assert call.agent and call.attachment and call.netconf
    previous = _parsed_where_possible(call.netconf.prev_addresses())
    if call.attachment.pod_name.startswith("virt-launcher-"):
        # KubeVirt: the endpoint carries the virtual machine's name, which nobody tells us.
        return _check_health(call, "a KubeVirt pod's endpoint has another name")
    retry = call.agent.deadline.within(RETRY)
    differs: CNIError | None = None
    while True:
        try:
            endpoint = call.agent.endpoint(call.attachment)
        except UnknownOperationError:
            return _check_health(call, "this agent cannot tell what a pod holds")
        except CNIError:
            if differs and not call.agent.deadline.left():
                raise differs from None  # there was no time to look again
            raise
        difference = _difference(call.attachment, previous, endpoint)
        if difference is None:
            return None
        differs = CNIError(CHECK_DIFFERS, "the pod's addresses are not those that the agent holds for it", difference)
        if not retry.left():
            raise differs
        interrupts.sleep(min(_PAUSE, retry.left()))


def _check_health(call: "Call", reason: str) -> None:
    assert call.agent
    call.log_fields["note"] = f"only the agent's health was checked: {reason}"
    call.agent.require_healthy()


def _difference(attachment: "Attachment", previous: list[bytes], endpoint: "dict[str, Any] | None") -> str | None:
    """Say how prevResult and what the agent holds differ, or None; code 105 for an address that does not parse."""
    if endpoint is None:
        return f"the agent holds nothing for this pod, prevResult has {_texts(previous)}"
    if endpoint["podUID"] and attachment.pod_uid and endpoint["podUID"] != attachment.pod_uid:
        return f"the agent's pod has UID {endpoint['podUID']}, this one {attachment.pod_uid}"
    details = [detail for detail in endpoint["interfaces"] or () if detail["interface"] == attachment.ifname]
    held = _parsed([detail[key] for detail in details for key in ("ipv4", "ipv6") if detail.get(key)])
    if held and all(address in previous for address in held):
        return None
    return f"the agent holds {_texts(held)} for {attachment.ifname}, prevResult has {_texts(previous)}"


def _parsed(addresses: list[str]) -> list[bytes]:
    try:
        return [ip_address.parse(address.partition("/")[0]) for address in addresses]
    except ValueError as error:
        raise agent_errors.senseless("CHECK", str(error)) from None


def _parsed_where_possible(addresses: list[str]) -> list[bytes]:
    """Return prevResult's addresses; one that does not parse was not ours, and equals none of the agent's."""
    packed = []
    for address in addresses:
        try:
            packed.append(ip_address.parse(address.partition("/")[0]))
        except ValueError:
            continue
    return packed


def _texts(addresses: list[bytes]) -> str:
    return " ".join([ip_address.text(address) for address in addresses]) or "none"
