"""Puts the document of facts together out of what the collectors read. Side effects: theirs."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from cni.contracts.facts import FACTS, ClusterFacts, Facts, NodeFacts
from cni.doctor.facts import unknown

# Reads the facts of these names, without their part: what it leaves out is not known.
Collector: TypeAlias = Callable[[set[str]], Mapping[str, Any]]

NAMES = {"node": NodeFacts.__annotations__, "cluster": ClusterFacts.__annotations__}
ALL = {f"{part}.{name}" for part, names in NAMES.items() for name in names}


def gather(collectors: Mapping[str, Collector], wanted: Iterable[str], version: str) -> Facts:
    """Have each part's collector read what is wanted of it, and return the document."""
    parts = {}
    for part, names in NAMES.items():
        asked = {name.partition(".")[2] for name in wanted if name.partition(".")[0] == part}
        found = collectors[part](asked) if asked else {}
        parts[part] = {name: unknown(f"no check that was chosen needs {part}.{name}") for name in names} | dict(found)
    return FACTS.validate_python({"version": version, "collected_at": time.time(), **parts})


def not_asked(because: str) -> Collector:
    """Return a collector that reads nothing, and says why."""
    return lambda names: {name: unknown(because) for name in names}
