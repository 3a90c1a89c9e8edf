from pathlib import Path

import pytest

from cni.installer import install as installer
from tests.installer.node import Node


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    monkeypatch.setattr(installer, "SETTLE", 0.0)  # but in the test of it
    return Node(tmp_path)
