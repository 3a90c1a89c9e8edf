"""What the tests of the lab's parts run on: the test API server."""

from collections.abc import Iterator

import pytest

from tests.lab.api_process import Api, running_api


@pytest.fixture
def api() -> Iterator[Api]:
    with running_api() as running:
        yield running
