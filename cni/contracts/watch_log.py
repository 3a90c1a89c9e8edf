"""A line of watch's log with `--log-format json`. Published as spec/log/watch.schema.json."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

Level = Literal["info", "warn", "error"]


@with_config(ConfigDict(extra="forbid"))
class WatchLine(TypedDict):
    """What watch did, or found."""

    time: Annotated[str, Field(description="UTC with milliseconds (RFC 3339).")]
    level: Annotated[
        Level,
        Field(
            description="info: what watch did, or that all is well; warn: something needs to be looked at, or has to"
            " end before watch can go on; error: watch could not do its work."
        ),
    ]
    msg: Annotated[str, Field(description="What it was, for people. Its words may change with a release.")]
