"""The plugin in process writes nothing on the machine: its pending releases go to a folder of the test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cni.plugin import operations
from tests.agent.agent_process import Agent, pool, running_agent, write_pools
from tests.plugin.node import Node


@pytest.fixture(autouse=True)
def pending_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder in the place of the fixed one; it does not exist yet."""
    folder = tmp_path / "state/pending"
    monkeypatch.setattr("cni.defaults.PENDING_FOLDER", str(folder))
    return folder


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    """A running embedded agent, unless a module has an agent of its own."""
    pools = write_pools(tmp_path / "pools", pool("a", "10.244.0.1-10.244.0.250", default=True))
    with running_agent(tmp_path, pools) as agent:
        yield agent


@pytest.fixture
def node(tmp_path: Path, pending_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    monkeypatch.setattr(operations, "LIMITS", {"ADD": (100, 100, 0.2), "DEL": (30, 2, 0.2), "GC": (100, 100, 0)})
    return Node(tmp_path, pending_folder)
