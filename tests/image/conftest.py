"""Gives the tests of the image the bundle's copies, and calls with an agent."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.image import builds
from tests.image import bundles as copies
from tests.image import moved as moves
from tests.image.calls import Calls, calls_in


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> copies.Bundles:
    return copies.make(tmp_path_factory.mktemp("bundles"))


@pytest.fixture
def calls(tmp_path: Path) -> Iterator[Calls]:
    with calls_in(tmp_path) as made:
        yield made


@pytest.fixture(scope="session")
def moved(tmp_path_factory: pytest.TempPathFactory) -> moves.Moved:
    return moves.moved_in(builds.once(tmp_path_factory, "moved", moves.make))
