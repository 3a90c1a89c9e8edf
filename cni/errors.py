"""The one error type and the table of codes. Imports nothing.

Codes 1 to 99 are the CNI specification's ("Error": well-known error codes), 8 and 999 are libcni's,
from 100 on they are ours. docs/reference/errors.md says what to do about each.
"""

INCOMPATIBLE_VERSION = 1
UNSUPPORTED_FIELD = 2
INVALID_ENVIRONMENT = 4
IO_FAILURE = 5
DECODING_FAILURE = 6
INVALID_NETWORK_CONFIG = 7
INVALID_NETNS = 8
TRY_AGAIN_LATER = 11  # the agent cannot be reached, or did not answer in time
NOT_AVAILABLE = 50  # STATUS: no ADD can be served now
INTERNAL = 999

ALLOCATION_REFUSED = 100  # the agent said no; its words are in details
ADDRESS_CONFLICT = 102
GATEWAY_UNREACHABLE = 103
CHECK_DIFFERS = 104
BAD_AGENT_ANSWER = 105  # the agent's answer makes no sense


class CNIError(Exception):
    """What the caller gets on stdout: code, msg (one line, what to do), details (one line, the variable part)."""

    def __init__(self, code: int, msg: str, details: str = "") -> None:
        super().__init__(code, msg, details)
        self.code = code
        self.msg = msg
        self.details = details

    def __str__(self) -> str:
        """Return all of it, for a log."""
        return f"code {self.code}: {self.msg}" + (f"; {self.details}" if self.details else "")
