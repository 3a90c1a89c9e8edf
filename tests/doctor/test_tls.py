"""Which servers doctor trusts where a kubeconfig has no authority: as kubectl does, with real certificates."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from cni.contracts.api_objects import GROUPS
from cni.deadline import Deadline
from cni.doctor.collect import tls
from cni.doctor.collect.kube import Kube
from cni.doctor.collect.kubeconfig import Access
from cni.installer.errors import InstallerError
from tests.doctor.api_server import ApiServer, Certificates, make_certificate, serving

UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"


@pytest.fixture(autouse=True)
def _nothing_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name in ("_FILES", "_FOLDERS"):
        monkeypatch.setattr(tls, name, str(tmp_path / "none"))


def ask(access: Access) -> str:
    """Return why the server was not asked."""
    kube = Kube(access, Deadline(20))
    try:
        kube.read("/apis", GROUPS)
    except InstallerError as error:
        return str(error)
    finally:
        kube.close()
    return ""


def test_the_first_file_of_a_system_that_can_be_read_is_trusted(
    api: ApiServer, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert UNTRUSTED in ask(Access(api.url))
    monkeypatch.setattr(tls, "_FILES", f"/nonexistent:{certificates.ca}")
    assert ask(Access(api.url)) == ""
    monkeypatch.setattr(tls, "_FILES", f"{certificates.client}:{certificates.ca}")
    assert UNTRUSTED in ask(Access(api.url))


def test_the_files_of_a_systems_folders_are_trusted_whatever_their_names(
    api: ApiServer, certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "certs"
    folder.mkdir()
    (folder / "a-link").symlink_to("nowhere")
    (folder / "no-certificate").write_bytes(b"\xff")
    shutil.copy(certificates.ca, folder / "ours.crt")
    monkeypatch.setattr(tls, "_FOLDERS", f"/nonexistent:{folder}")
    assert ask(Access(api.url)) == ""


def test_ssl_cert_file_and_ssl_cert_dir_are_taken_in_the_place_of_the_systems(
    api: ApiServer, certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))
    assert ask(Access(api.url)) == ""
    monkeypatch.setattr(tls, "_FILES", str(certificates.ca))
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent")
    assert UNTRUSTED in ask(Access(api.url))
    shutil.copy(certificates.ca, tmp_path / "ours.crt")
    monkeypatch.setenv("SSL_CERT_DIR", f"/nonexistent:{tmp_path}")
    assert ask(Access(api.url)) == ""


def test_they_count_for_nothing_where_the_kubeconfig_has_an_authority(
    api: ApiServer, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))
    assert UNTRUSTED in ask(Access(api.url, ca=certificates.client.read_text()))


def test_an_authority_that_another_one_has_signed_is_enough(certificates: Certificates, tmp_path: Path) -> None:
    between, server = tmp_path / "between.pem", tmp_path / "server.pem"
    make_certificate(between, "between", certificates.ca, "basicConstraints=critical,CA:true")
    make_certificate(server, "server", between, "subjectAltName=IP:127.0.0.1")
    with serving(certificates._replace(server=server)) as api:
        api.say("/apis", (200, {}, {"groups": []}))
        access = Access(api.url, ca=between.read_text())
        assert ask(access) == ""
        assert UNTRUSTED in ask(replace(access, ca=certificates.client.read_text()))
