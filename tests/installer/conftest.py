from pathlib import Path

import pytest

from cni.installer import uninstall
from cni.installer.node import atomic_file
from tests.installer.sample_node import Node


@pytest.fixture(autouse=True)
def _no_wait_for_adds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let uninstall go on at once, but in the test of its waiting."""
    monkeypatch.setattr(uninstall, "SETTLE", 0.0)


@pytest.fixture(autouse=True)
def _no_second_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what was replaced go at once, but in the tests of the second look at it."""
    monkeypatch.setattr(atomic_file, "LOOK_AGAIN", 0.0)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)
