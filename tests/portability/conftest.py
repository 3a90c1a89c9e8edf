"""Gives every place in turn to the tests that ask for one."""

from collections.abc import Iterator

import pytest

from tests.portability.place import Place
from tests.portability.places import PLACES, SLOW


@pytest.fixture(
    scope="session", params=[pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in PLACES]
)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    with PLACES[request.param]() as place:
        yield place
