"""One call of the plugin: all that is known of it so far. Pure."""

from cni import defaults
from cni.deadline import Deadline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cni.plugin.agent_client import AgentClient
    from cni.plugin.attachment import Attachment
    from cni.plugin.netconf import NetConf


class Call:
    """One call. A field is None until it is known, so that the log tells as much as was understood when the call ended.

    When an operation runs, all fields are known, except the attachment of GC and STATUS, which have none.
    """

    __slots__ = (
        "agent",
        "attachment",
        "command",
        "deadline",
        "log_fields",
        "netconf",
        "owes_release",
        "pending_seconds",
    )

    def __init__(self, command: str) -> None:
        self.command = command
        # For all that waits. The command and request_timeout make it an earlier one, once they are known.
        self.deadline = Deadline(defaults.REQUEST_TIMEOUT)
        self.attachment: Attachment | None = None
        self.netconf: NetConf | None = None
        self.agent: AgentClient | None = None
        self.log_fields: dict[str, Any] = {}  # what the operation adds to the call's log line
        # An ADD has removed a pending release of its attachment, which has to come back if the ADD fails.
        self.owes_release = False
        self.pending_seconds = 0.0  # spent on what is pending
