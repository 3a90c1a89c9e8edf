"""Every place, one after the other, for the tests that take one."""

from collections.abc import Iterator

import pytest

from tests.portability.place import Place
from tests.portability.places import PLACES


@pytest.fixture(scope="session", params=PLACES)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    with PLACES[request.param]() as place:
        yield place
