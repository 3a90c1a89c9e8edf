"""What the tests of the lab's parts run on: the test API server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doctor.api_server import make_certificates
from tests.lab.api_process import Api, running_api


@pytest.fixture
def api() -> Iterator[Api]:
    with running_api() as running:
        yield running


@pytest.fixture
def real(tmp_path: Path) -> Iterator[Api]:
    """Run it as a real one is: by HTTPS. The kubeconfig in tmp_path names its authority."""
    certificates = make_certificates(tmp_path)
    key = certificates.server.with_suffix(".key")
    with running_api(f"--tls-cert={certificates.server}", f"--tls-key={key}") as running:
        running.kubeconfig(tmp_path, certificates.ca)
        yield running
