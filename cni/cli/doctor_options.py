"""What the command line of `spiderpool-ipam doctor` says."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import click
    from click.shell_completion import CompletionItem

    from cni.doctor.languages import Language


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    node_only: bool
    cluster_only: bool
    kubeconfig: Path | None
    context: str
    pre: bool
    nodes: bool
    no_pods: bool
    wait: float
    only: Sequence[str]
    skip: Sequence[str]
    fail_on: Any
    output: str
    as_json: bool
    suggest: bool
    pod: str
    router: str
    bundle: Path | None
    origin: Path | None
    list_checks: bool
    explain: str
    lang: "Language | None"

    @property
    def fault(self) -> str:
        """What is wrong with them together; "" for nothing."""
        if self.node_only and (self.cluster_only or self.nodes):
            return "--node-only excludes --cluster-only and --nodes"
        if self.bundle and self.no_pods:
            return "--bundle excludes --no-pods: it holds what was read, pods included"
        if self.origin and self.nodes:
            return "--from excludes --nodes: it looks at what a bundle holds, and asks no node"
        if self.is_json and (self.list_checks or self.explain or self.suggest):
            return "--json excludes --list, --explain and --suggest: it prints the report"
        if self.pod and (self.no_pods or self.suggest):
            return "--pod excludes --no-pods and --suggest"
        if self.pod and not re.fullmatch("[^/]+/[^/]+", self.pod):
            return f"--pod: {self.pod!r} is not NAMESPACE/NAME"
        return ""

    @property
    def is_json(self) -> bool:
        """Whether the output is for a program."""
        return self.as_json or self.output == "json"

    @property
    def language(self) -> "Language":
        """The language to speak. What programs read is the same for all callers, unless it is asked for."""
        from cni.doctor import caller

        return self.lang or ("en" if self.is_json else caller.language())


def complete_id(
    _context: "click.Context", _parameter: "click.Parameter", incomplete: str
) -> "list[CompletionItem[str]]":
    """Complete the id of a check."""
    from click.shell_completion import CompletionItem

    from cni.doctor.checks import CHECKS

    return [CompletionItem(one.id, help=one.looks_at) for one in CHECKS if one.id.startswith(incomplete)]
