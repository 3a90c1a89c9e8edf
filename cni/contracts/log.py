"""A line of the plugin's log: one JSON object for each call. Published as spec/log/line.schema.json."""

from typing import Annotated, Literal, NotRequired

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict


@with_config(ConfigDict(extra="forbid"))
class LogLine(TypedDict):
    """One call. Texts may be empty where the runtime did not tell them."""

    time: Annotated[str, Field(description="When the call ended: UTC with milliseconds (RFC 3339).")]
    level: Annotated[
        Literal["info", "warn", "error"],
        Field(description="error: the call failed; warn: it has a warning, or pending releases were given up."),
    ]
    command: Annotated[str, Field(description="CNI_COMMAND.")]
    network: NotRequired[Annotated[str, Field(description="The network's name, if the configuration could be read.")]]
    containerID: NotRequired[str]
    ifname: NotRequired[str]
    podNamespace: NotRequired[str]
    podName: NotRequired[str]
    podUID: NotRequired[str]
    outcome: Literal["ok", "error"]
    code: Annotated[int, Field(ge=0, description="The error's code, 0 for none.")]
    msg: NotRequired[Annotated[str, Field(description="Of an error: what to do.")]]
    details: NotRequired[Annotated[str, Field(description="Of an error: the agent's words, for example.")]]
    addresses: NotRequired[Annotated[list[str], Field(description="What ADD gave the interface.")]]
    detection: NotRequired[Annotated[str, Field(description="What the probes found, or why they were skipped.")]]
    conflict: NotRequired[Annotated[str, Field(description="Why a conflict's addresses could not be released.")]]
    note: NotRequired[Annotated[str, Field(description="What was left out, and why.")]]
    warning: NotRequired[Annotated[str, Field(description="What the call could not do besides its answer.")]]
    pending: NotRequired[Annotated[list[str], Field(description="A line for each pending release that was given up.")]]
    ms: Annotated[int, Field(ge=0, description="How long the call took, in milliseconds.")]
    agent_ms: Annotated[
        int, Field(ge=0, description="How much of that it waited for the agent, or looked after pending releases.")
    ]


_Milliseconds = Annotated[int, Field(ge=0, le=10**9)]


class CountedCall(TypedDict):
    """What watch counts of a line. It takes lines with other keys as well: those of releases to come."""

    command: str
    code: Annotated[int, Field(ge=0, le=10**9)]
    ms: _Milliseconds
    agent_ms: _Milliseconds
