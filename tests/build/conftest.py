import pytest

from tests.installer.sample_node import Node


@pytest.fixture
def node(tmp_path_factory: pytest.TempPathFactory) -> Node:
    """Make a node whose folder has a short name, because the path of a socket in it may not exceed 107 bytes."""
    return Node(tmp_path_factory.mktemp("node"))
