"""The network configuration on stdin. Pure.

CNI specification sections 1 and 2. cni/contracts/netconf.py says what is legal; here it becomes one object, with the
defaults filled in.
"""

from cni import defaults
from cni.cni_versions import SUPPORTED, WHEN_EMPTY
from cni.errors import DECODING_FAILURE, INCOMPATIBLE_VERSION, INVALID_NETWORK_CONFIG, CNIError
from cni.plugin._validators import NETCONF, VERSION_PROBE
from cni.plugin.validation import Invalid, validate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class NetConf:
    """A network configuration, read and checked; `document` is its JSON object, `text` that object as it came."""

    __slots__ = ("document", "ipam", "name", "result_shape", "socket_path", "text", "timeout", "version")

    def __init__(self, document: "dict[str, Any]", text: bytes = b"{}") -> None:
        ipam = document["ipam"]
        self.document = document
        self.text = text
        self.ipam = ipam
        self.name: str = document["name"]
        self.version: str = document.get("cniVersion") or WHEN_EMPTY
        # Calico programs /32 and /128 and nothing else; every other main plugin wants to know the subnet.
        by_type = "calico" if document.get("type") == "calico" else "subnet"
        self.result_shape: str = ipam.get("result_shape") or by_type
        self.socket_path: str = ipam.get("ipam_unix_socket_path") or defaults.AGENT_SOCKET
        self.timeout: int = ipam.get("request_timeout") or defaults.REQUEST_TIMEOUT

    def requested_addresses(self) -> list[tuple[str, str]]:
        """Return (key, value) of each static address asked for (CONVENTIONS.md: capability `ips`, `args.cni.ips`)."""
        runtime_config = self.document.get("runtimeConfig") or {}
        cni_args = (self.document.get("args") or {}).get("cni") or {}
        return [("runtimeConfig.ips", address) for address in runtime_config.get("ips") or ()] + [
            ("args.cni.ips", address) for address in cni_args.get("ips") or ()
        ]

    def prev_addresses(self) -> list[str]:
        """Return the addresses in prevResult; code 7 when it is missing or broken."""
        from cni.plugin._rare_validators import CHECK_NETCONF

        try:
            prev_result = validate(CHECK_NETCONF, self.text).get("prevResult")
        except Invalid as invalid:
            raise CNIError(INVALID_NETWORK_CONFIG, "invalid network configuration", invalid.one_line()) from None
        if prev_result is None:
            raise CNIError(INVALID_NETWORK_CONFIG, "CHECK needs prevResult")
        return [ip["address"] for ip in prev_result.get("ips") or ()]

    def valid_attachments(self) -> "list[dict[str, str]]":
        """Return what GC must keep, null being nothing; code 7 when the key is missing."""
        if "cni.dev/valid-attachments" not in self.document:
            # Taking absence for "none" would free every address of the network.
            raise CNIError(INVALID_NETWORK_CONFIG, "GC needs cni.dev/valid-attachments; nothing was freed")
        return self.document["cni.dev/valid-attachments"] or []


def read_netconf(stdin: bytes) -> NetConf:
    """Read stdin; codes 6 (not JSON), 1 (version), 7 (anything else, naming the key)."""
    try:
        return NetConf(validate(NETCONF, stdin), stdin)
    except Invalid as invalid:
        kinds = [(where, kind) for where, kind, _ in invalid.errors]
        if kinds == [((), "json_invalid")]:
            text = "the network configuration on stdin is not JSON"
            raise CNIError(DECODING_FAILURE, text, invalid.one_line()) from None
        if (("cniVersion",), "literal_error") in kinds:
            text = "this cniVersion is not spoken here, want one of " + " ".join(SUPPORTED)
            raise CNIError(INCOMPATIBLE_VERSION, text) from None
        raise CNIError(INVALID_NETWORK_CONFIG, "invalid network configuration", invalid.one_line()) from None


def stated_version(stdin: bytes) -> str | None:
    """Return the cniVersion that stdin states: "" where it states none, None where it is not one of ours."""
    try:
        return validate(VERSION_PROBE, stdin).get("cniVersion") or ""
    except Invalid:
        return None
