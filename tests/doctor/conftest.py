from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doctor.api_server import GROUPS, ApiServer, Certificates, make_certificates, serving
from tests.doctor.kubeconfigs import config, write
from tests.installer.sample_node import Node


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def api(certificates: Certificates) -> Iterator[ApiServer]:
    with serving(certificates) as server:
        server.say("/apis", (200, {}, GROUPS))
        yield server


@pytest.fixture
def kubeconfig(tmp_path: Path, api: ApiServer, certificates: Certificates) -> Path:
    return write(tmp_path / "k", config(api, certificates))


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)
