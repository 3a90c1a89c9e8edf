"""The plugin in process writes nothing on the machine: its pending releases go to a folder of the test."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def pending_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder in the place of the fixed one; it does not exist yet."""
    folder = tmp_path / "state/pending"
    monkeypatch.setattr("cni.defaults.PENDING_FOLDER", str(folder))
    return folder
