"""What an installation keeps on the node: the record beside the conflists, and in the state folder the names of the
folders and a copy of the record.

Releases read each other's files: the keys are those that release 0.1.0 wrote, and keys that a later release adds are
ignored. The record is the file `.spiderpool-ipam.swap` in the folder of network configurations, the rest is the file
`folders` in the state folder.
"""

import json
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from cni.defaults import MAIN_PLUGIN_TYPE


@dataclass(frozen=True)
class Desired:
    """What install was asked for, and watch keeps."""

    plugin_type: str = MAIN_PLUGIN_TYPE
    conf: str = ""  # --conf, as the node calls the file; "" where it is looked for
    as_name: str = ""  # --as; "" is in place
    settings: dict[str, Any] = field(default_factory=dict)  # --set
    force: bool = False  # replace an ipam of any type
    no_image: bool = False  # --no-image: the plugin starts without its image

    def options(self) -> list[str]:
        """Return the options that ask for this, one text each."""
        default = Desired()
        named = {"--plugin-type": self.plugin_type, "--conf": self.conf, "--as": self.as_name}
        usual = {"--plugin-type": default.plugin_type, "--conf": "", "--as": ""}
        texts = [f"{option} {value}" for option, value in named.items() if value != usual[option]]
        texts += [f"--set {key}={json.dumps(value, ensure_ascii=False)}" for key, value in self.settings.items()]
        flags = {"--force": self.force, "--no-image": self.no_image}
        return [*texts, *[flag for flag, is_set in flags.items() if is_set]]


@dataclass(frozen=True)
class Request:
    """What install is told: the options that are given. What is not given stays as it was asked for before."""

    given: dict[str, Any] = field(default_factory=dict)  # by their names in Desired
    reset: bool = False  # forget what was asked for before

    def desired(self, record: "Record | None") -> Desired:
        """Return what is to hold from now on; settings are kept one by one."""
        before = record.desired if record and not record.restored and not self.reset else Desired()
        settings = {**before.settings, **self.given.get("settings", {})}
        return replace(before, **{**self.given, "settings": settings})

    def kept(self, record: "Record | None") -> list[str]:
        """Return the options that were not given, and hold because they were asked for before."""
        given = replace(Desired(), **self.given).options()
        return [option for option in self.desired(record).options() if option not in given]


@dataclass(frozen=True)
class Record:
    """What was asked for, what stands in the conflist because of it, and what stood there before."""

    desired: Annotated[Desired, Field(alias="asked")]
    file: str  # the conflist that holds our ipam object, as the node calls it
    original: str | None = None  # the text of the ipam value that ours replaced in place; None: nothing to put back
    values: list[str] = field(default_factory=list)  # the texts of ours that may be there: two while one is replaced
    written: str = ""  # SHA-256 of the conflist as we wrote it
    since: float = 0  # Unix seconds of the first swap; 0: it has not come to its end
    applied: float = 0  # Unix seconds of the last write
    copies: list[str] = field(default_factory=list)  # names of copies that may be there: two while one is renamed
    drift_count: Annotated[int, Field(alias="reverts")] = 0  # how often others changed it, and it was swapped again
    restored: Annotated[bool, Field(alias="given_back")] = False  # by uninstall, though the plugin had to stay
    # What release 0.1.0 does not know.
    # The file with the main plugin in it, as the node calls it. While it is missing, another one may stand in for it.
    source: str = ""
    also: dict[str, str] = field(default_factory=dict)  # names of files before it that hold our ipam -> what theirs was
    # The types of others' plugins in the copy, and the array of those objects that its source has.
    chained: dict[str, str] = field(default_factory=dict)
    taken_out: list[str] = field(default_factory=list)  # of those, what is still in the source, and out of the copy

    seen: list[str] = field(default_factory=list)  # others' types whose executable the folder of plugins has, or had
    drifts: list[float] = field(default_factory=list)  # Unix seconds of the last ones since this was asked for
    left: str = ""  # what others had left of it the last time, which tells who they are
    emptied: bool = False  # the conflist was gone for longer than a rewrite takes: the next swap waits for the agent

    @property
    def is_in_force(self) -> bool:
        """Whether the node is swapped, and is to be kept so."""
        return self.since > 0 and not self.restored


@dataclass(frozen=True)
class Installation:
    """The node's names of the folders that were installed to (flags may have named them), and a copy of the record."""

    bin: str
    conf: str
    record: Record | None = None


RECORD = TypeAdapter(Record)
INSTALLATION = TypeAdapter(Installation)
