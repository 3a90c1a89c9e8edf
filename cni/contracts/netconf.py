"""The network configuration that a CNI plugin gets on stdin, as far as this plugin reads it.

CNI specification section 1 ("Plugin configuration objects") and 2. The `ipam` object has upstream's keys (spiderpool
cmd/spiderpool/cmd/cni_types.go) and two of ours. Unknown keys are legal everywhere, because Calico's own configuration
arrives here as well. `null` means the same as absence, as in Go.
"""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema, with_config
from typing_extensions import TypedDict

from cni import defaults, syntax
from cni.cni_versions import SUPPORTED, WHEN_EMPTY

# These descriptions are published twice: in spec/netconf, and in docs/reference/configuration.md (build/reference.py).
_SHAPE = (
    "`calico`: addresses as /32 and /128, and nothing else. `subnet`: prefix, gateway and routes. "
    "Default: `calico` where the main plugin's type is calico, else `subnet`."
)
_LOG_LEVEL = (
    "`debug` and `info` log every call, `warn` and `error` log failures, `panic` and `fatal` log nothing. "
    f"Default: {defaults.LOG_LEVEL}."
)
_LOG_FILE = (
    "The log file, with one JSON line for each call. Only a log is written to: a new or empty file, or one that begins "
    "with `{` and cannot be executed. A symbolic link to its folder is followed if it and the folder belong to root. "
    "Otherwise nothing is logged, and a line on standard error says why. /dev/null switches logging off. "
    f"Default: {defaults.LOG_PATH}."
)
_STATIC = "Static addresses. An ADD fails with code 2 unless the agent gives these."
_COUNT_SCHEMA = {"type": "integer", "minimum": 0, "maximum": syntax.WHOLE_NUMBER_MAX}

# Binding the subscript to a name keeps mypy from reading SUPPORTED as part of a type.
Version = Literal["", "0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]
assert Version.__args__[1:] == SUPPORTED  # type: ignore[attr-defined]

Name = Annotated[str, AfterValidator(syntax.name), WithJsonSchema({"type": "string", "pattern": syntax.NAME_PATTERN})]
LogLevel = Annotated[
    str, AfterValidator(syntax.log_level), WithJsonSchema({"type": "string", "pattern": syntax.LOG_LEVEL_PATTERN})
]
SocketPath = Annotated[
    str, AfterValidator(syntax.socket_path), WithJsonSchema({"type": "string", "pattern": syntax.SOCKET_PATH_PATTERN})
]
WholeNumber = Annotated[
    Any,
    AfterValidator(syntax.whole_number),
    WithJsonSchema({"anyOf": [_COUNT_SCHEMA, {"type": "string", "pattern": syntax.WHOLE_NUMBER_PATTERN}]}),
]
Seconds = Annotated[
    Any,
    AfterValidator(syntax.seconds),
    WithJsonSchema(
        {
            "anyOf": [
                {**_COUNT_SCHEMA, "minimum": 1},
                {"type": "string", "pattern": "^(?!0+$)[0-9]{1,6}$"},
            ]
        }
    ),
]


@with_config(ConfigDict(strict=True))
class Ipam(TypedDict):
    """The `ipam` object: which agent to ask, for what, and where to log."""

    type: NotRequired[Annotated[str | None, Field(description="The name of the IPAM plugin: `spiderpool`.")]]
    ipam_unix_socket_path: NotRequired[
        Annotated[
            SocketPath | None,
            Field(description=f"The socket of the spiderpool-agent. Default: {defaults.AGENT_SOCKET}."),
        ]
    ]
    request_timeout: NotRequired[
        Annotated[
            Seconds | None,
            Field(
                description="Seconds for all that one call asks of the agent. DEL takes at most 30, STATUS at most 2. "
                f"Default: {defaults.REQUEST_TIMEOUT}."
            ),
        ]
    ]
    result_shape: NotRequired[Annotated[Literal["calico", "subnet"] | None, Field(description=_SHAPE)]]
    default_ipv4_ippool: NotRequired[
        Annotated[list[str] | None, Field(description="SpiderIPPools to try first for IPv4.")]
    ]
    default_ipv6_ippool: NotRequired[
        Annotated[list[str] | None, Field(description="SpiderIPPools to try first for IPv6.")]
    ]
    clean_gateway: NotRequired[
        Annotated[bool | None, Field(description="Asks the agent for no default route. Default: false.")]
    ]
    match_master_subnet: NotRequired[
        Annotated[
            bool | None,
            Field(description="Asks the agent for an address in the subnet of the master interface. Default: false."),
        ]
    ]
    log_level: NotRequired[Annotated[LogLevel | None, Field(description=_LOG_LEVEL)]]
    log_file_path: NotRequired[Annotated[str | None, Field(description=_LOG_FILE)]]
    log_file_max_size: NotRequired[
        Annotated[
            WholeNumber | None,
            Field(
                description="The size in MB at which the log file is set aside, and a new one is begun. "
                f"Default: {defaults.LOG_MAX_SIZE}."
            ),
        ]
    ]
    log_file_max_age: NotRequired[
        Annotated[
            WholeNumber | None,
            Field(
                description="The number of days for which such files are kept; 0 means no limit. "
                f"Default: {defaults.LOG_MAX_AGE}."
            ),
        ]
    ]
    log_file_max_count: NotRequired[
        Annotated[
            WholeNumber | None,
            Field(
                description="The number of such files that are kept; 0 means no limit. "
                f"Default: {defaults.LOG_MAX_COUNT}."
            ),
        ]
    ]


@with_config(ConfigDict(strict=True))
class RuntimeConfig(TypedDict):
    """The capability arguments that matter here (CONVENTIONS.md of containernetworking/cni)."""

    ips: NotRequired[Annotated[list[str] | None, Field(description=_STATIC)]]


@with_config(ConfigDict(strict=True))
class CniArgs(TypedDict):
    """`args.cni` of CONVENTIONS.md."""

    ips: NotRequired[Annotated[list[str] | None, Field(description=_STATIC)]]


@with_config(ConfigDict(strict=True))
class Args(TypedDict):
    """The `args` object of CONVENTIONS.md."""

    cni: NotRequired[CniArgs | None]


@with_config(ConfigDict(strict=True))
class ValidAttachment(TypedDict):
    """One attachment that GC must keep."""

    containerID: str
    ifname: str


_KEPT = "Read by GC only, which needs it: the attachments to keep. GC frees all others of this network."
_Gc = TypedDict(
    "_Gc",
    {"cni.dev/valid-attachments": NotRequired[Annotated[list[ValidAttachment] | None, Field(description=_KEPT)]]},
)


@with_config(ConfigDict(strict=True))
class NetConf(_Gc):
    """The network configuration as a CNI plugin gets it on stdin."""

    cniVersion: NotRequired[
        Annotated[Version | None, Field(description=f"The CNI version of the call. Default: {WHEN_EMPTY}.")]
    ]
    name: Annotated[Name, Field(description="The name of the network. It has to be there.")]
    type: NotRequired[
        Annotated[str | None, Field(description="The name of the main plugin. `calico` decides on `result_shape`.")]
    ]
    ipam: Ipam
    runtimeConfig: NotRequired[RuntimeConfig | None]
    args: NotRequired[Args | None]
    prevResult: NotRequired[
        Annotated[
            Any,
            Field(description="Read by CHECK only: the result of the ADD. Each of its `ips` must have an `address`."),
        ]
    ]


class PrevIp(TypedDict):
    """An address of prevResult. Its further keys come from the main plugin and are not read."""

    address: str


class PrevResult(TypedDict):
    """The result of the ADD, as chained plugins have left it."""

    ips: NotRequired[list[PrevIp] | None]


class CheckNetConf(TypedDict):
    """What CHECK reads beside a NetConf. Other commands do not look at prevResult: a DEL must succeed whatever it
    holds."""

    prevResult: NotRequired[PrevResult | None]


@with_config(ConfigDict(strict=True))
class VersionProbe(TypedDict):
    """What VERSION reads of its stdin."""

    cniVersion: NotRequired[Version | None]
