"""The CNI_* environment: which variables a command needs, and the attachment that they name. Pure.

CNI specification section 2, "Parameters"; containernetworking/cni pkg/skel (table, checks) and pkg/types/args.go.
"""

from cni import syntax
from cni.errors import INVALID_ENVIRONMENT, CNIError
from cni.plugin.attachment import Attachment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeVar

    T = TypeVar("T")

# skel's table. DEL may come without a netns, as containerd's second DEL of each pod does.
REQUIRED = {
    "ADD": ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"),
    "CHECK": ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"),
    "DEL": ("CNI_CONTAINERID", "CNI_IFNAME", "CNI_PATH"),
    "GC": ("CNI_PATH",),
    "STATUS": ("CNI_PATH",),
    "VERSION": (),
}

# upstream's K8sArgs (spiderpool cmd/spiderpool/cmd/cni_types.go)
KNOWN_ARGS = {
    "IgnoreUnknown",
    "IP",
    "K8S_POD_NAME",
    "K8S_POD_NAMESPACE",
    "K8S_POD_INFRA_CONTAINER_ID",
    "K8S_POD_UID",
}


def read(command: str, environ: "Mapping[bytes, bytes]") -> Attachment | None:
    """Check the environment of a command and return the attachment, for GC, STATUS and VERSION none. Raises code 4."""
    if command not in REQUIRED:
        raise CNIError(INVALID_ENVIRONMENT, "unknown CNI_COMMAND, want one of " + " ".join(REQUIRED), command)
    missing = [name for name in REQUIRED[command] if not environ.get(name.encode())]
    if missing:
        raise CNIError(INVALID_ENVIRONMENT, f"{command} needs variables that are missing", " ".join(missing))
    if "CNI_CONTAINERID" not in REQUIRED[command]:
        return None
    return Attachment(
        _checked(environ, "CNI_CONTAINERID", syntax.name),
        _checked(environ, "CNI_IFNAME", syntax.interface_name),
        _checked(environ, "CNI_NETNS", str),
        _checked(environ, "CNI_ARGS", parse_cni_args),
    )


def parse_cni_args(text: str) -> dict[str, str]:
    """Split `K=V;K=V`; ValueError for a pair without "=", and for an unknown key without IgnoreUnknown.

    The last of equal keys wins, as in Go: Calico puts its own IgnoreUnknown=1 before the runtime's. The error names
    positions, not texts: a secret may stand there, and errors are logged.
    """
    cni_args: dict[str, str] = {}
    ignores_unknown = False
    unknown = 0
    for position, pair in enumerate(text.split(";") if text else (), 1):
        key, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"pair {position} is not of the form KEY=VALUE")
        if key not in KNOWN_ARGS:
            unknown = unknown or position
        if key == "IgnoreUnknown":
            ignores_unknown = _boolean(value)
        cni_args[key] = value
    if unknown and not ignores_unknown:
        raise ValueError(f"pair {unknown} has an unknown key, and there is no IgnoreUnknown=1")
    return cni_args


def _boolean(text: str) -> bool:
    if text.lower() not in ("1", "true", "0", "false"):
        raise ValueError("IgnoreUnknown is neither 1, true, 0 nor false")
    return text.lower() in ("1", "true")


def _checked(environ: "Mapping[bytes, bytes]", name: str, check: "Callable[[str], T]") -> "T":
    try:
        return check(environ.get(name.encode(), b"").decode())
    except UnicodeDecodeError:
        raise CNIError(INVALID_ENVIRONMENT, f"{name} is not UTF-8") from None
    except ValueError as error:
        raise CNIError(INVALID_ENVIRONMENT, f"{name} is invalid", str(error)) from None
