"""What the operator's commands print with --json: one object each. Published as spec/report/<command>.schema.json.

`attach --json` prints what the plugin printed (spec/result).
"""

import json
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

NodePath = Annotated[str, Field(description="A path, as the node's own processes call it.")]
UnixSeconds = Annotated[float, Field(ge=0, description="Unix time; 0: never.")]
Count = Annotated[int, Field(ge=0)]


class _Report(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, extra="forbid", frozen=True)

    def to_json(self) -> str:
        """Return the report as it is printed: one line, with camelCase keys."""
        return json.dumps(self.model_dump(by_alias=True))


_START = "How the plugin starts: from its image, or why it does not."


class InstallReport(_Report):
    """The result of install."""

    bin_dir: NodePath
    conf_dir: NodePath
    bundle: Annotated[str, Field(description="The bundle in force: its version and the start of its hash.")]
    bundle_changed: Annotated[bool, Field(description="It was put there by this run.")]
    foreign_kept: Annotated[bool, Field(description="Another plugin of that name is kept for uninstall.")]
    start: Annotated[str, Field(description=_START)]
    conflist: Annotated[str, Field(description="The file that names the plugin, as the node calls it.")]
    conflist_changed: Annotated[bool, Field(description="It was written by this run.")]
    message: Annotated[str, Field(description="Why the conflist was written; empty where it was as desired.")]
    loaded_first: Annotated[str | None, Field(description="A file that runtimes take before the conflist.")]
    options: Annotated[list[str], Field(description="What holds from now on, as options of install.")]
    options_kept: Annotated[list[str], Field(description="Those of them that were asked for before, and not now.")]


class DryRunReport(_Report):
    """What `install --dry-run` would change in the folder of network configurations."""

    diff: Annotated[str, Field(description="Unified diffs; empty where nothing would change.")]
    options_kept: Annotated[list[str], Field(description="Options that were asked for before, and not now.")]
    bin_dir: NodePath
    conf_dir: NodePath


class UninstallReport(_Report):
    """The result of uninstall."""

    done: Annotated[list[str], Field(description="One line for each thing that was restored or removed.")]
    plugin_stays: Annotated[list[str], Field(description="Why the plugin is still needed; empty where it is gone.")]


class PendingOfAgent(_Report):
    """The releases that one agent has not taken yet."""

    agent_socket: NodePath
    agent: Annotated[
        Literal["embedded", "real", "absent", "silent"],
        Field(description="What is behind the socket; absent: nobody listens; silent: no proper answer."),
    ]
    releases: Annotated[Count, Field(description="How many they are.")]
    oldest: Annotated[UnixSeconds, Field(description="When the oldest of them was written down.")]


class PendingReport(_Report):
    """The releases that no agent has taken yet."""

    agents: Annotated[list[PendingOfAgent], Field(description="One object for each agent that has missed some.")]
    dropped: Annotated[Count, Field(description="How many releases --drop has dropped.")]


class StatusReport(_Report):
    """The state of a node's installation."""

    plugin: NodePath
    bundle: Annotated[str | None, Field(description="The bundle that the plugin leads to; null where it is not ours.")]
    bundles: Annotated[list[str], Field(description="All bundles that are there.")]
    start: Annotated[str, Field(description=_START)]
    conflist: Annotated[str, Field(description="The file that should name the plugin; empty where there is none.")]
    conflist_modified: Annotated[bool, Field(description="The file has changed since it was last written by us.")]
    plugin_type: Annotated[str, Field(description="The type of the main plugin that delegates IPAM.")]
    ipam_type: Annotated[str, Field(description="The ipam.type that is in force for it.")]
    swapped_at: UnixSeconds
    written_at: UnixSeconds
    drift_count: Annotated[Count, Field(description="How often others changed it, and it was swapped again.")]
    watch_runs: Annotated[bool | None, Field(description="Whether watch runs on the node; null: it cannot be told.")]
    agent_socket: NodePath
    agent_fault: Annotated[str, Field(description="What is wrong with the agent; empty where it is healthy.")]
    pending_releases: Annotated[Count, Field(description="How many releases no agent has taken yet.")]
    pending: Annotated[list[PendingOfAgent], Field(description="The same by the agents that they are for.")]
    problems: Annotated[list[str], Field(description="One line for each thing that is not well.")]


class Component(_Report):
    """A piece of software in the release."""

    name: Annotated[str, Field(description="Its name, as in the release's SBOM.")]
    version: Annotated[str, Field(description="Its version there.")]


class VersionReport(_Report):
    """The version, what the plugin speaks, and what is bundled."""

    version: Annotated[str, Field(description="The version of the release.")]
    cni_versions: Annotated[list[str], Field(description="The CNI versions that the plugin speaks.")]
    components: Annotated[list[Component], Field(description="Empty where it runs from a source tree.")]


# command -> what its --json prints
REPORTS = {
    "install": InstallReport | DryRunReport,
    "uninstall": UninstallReport,
    "status": StatusReport,
    "pending": PendingReport,
    "version": VersionReport,
}
