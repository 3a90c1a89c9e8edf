"""What the command line of `spiderpool-ipam doctor` says."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
    def is_json(self) -> bool:
        """Whether the output is for a program."""
        return self.as_json or self.output == "json"

    @property
    def language(self) -> "Language":
        """The language to speak. What programs read is the same for all callers, unless it is asked for."""
        from cni.doctor import caller

        return self.lang or ("en" if self.is_json else caller.language())
