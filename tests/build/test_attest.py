"""What vouches for a release: checksums, SBOMs and provenance, checked by programs of others."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests import requirements
from tests.build.releases import ARCHES, COMMIT, NAME, SBOM, VERSION, attest, make_key, run, write_small_tarballs

ENDINGS = ("tar.gz", "packages", "sbom.cdx.json", "SHA256SUMS")
PUBLISHED = {
    f"{NAME}-oci.tar", f"{NAME}.provenance.json",
    *(f"{NAME}-linux-{arch}.{ending}" for arch in ARCHES for ending in ENDINGS),
}  # fmt: skip


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    write_small_tarballs(tmp_path / "dist")
    return tmp_path / "dist"


def sums(dist: Path) -> dict[str, str]:
    lines = (dist / "SHA256SUMS").read_text().splitlines()
    return {name: digest for digest, name in (line.split("  ") for line in lines)}


def test_the_checksums_are_of_all_that_is_published(dist: Path) -> None:
    attest(dist)
    assert sums(dist).keys() == PUBLISHED
    done = subprocess.run(["sha256sum", "--check", "SHA256SUMS"], cwd=dist, capture_output=True, text=True)
    assert (done.returncode, done.stdout.count(": OK\n")) == (0, len(PUBLISHED))
    tarballs_sums = {f"{NAME}-linux-{arch}.tar.gz.sha256" for arch in ARCHES}
    assert {path.name for path in dist.iterdir()} == {*PUBLISHED, *tarballs_sums, "SHA256SUMS"}


def test_sbom_and_checksums_of_each_architecture_are_those_of_its_tarball(dist: Path) -> None:
    attest(dist)
    for arch in ARCHES:
        assert (dist / f"{NAME}-linux-{arch}.sbom.cdx.json").read_text() == SBOM.format(arch)
        assert (dist / f"{NAME}-linux-{arch}.SHA256SUMS").read_text() == f"of {arch}\n"


def read_statement(dist: Path) -> dict[str, Any]:
    statement: dict[str, Any] = json.loads((dist / f"{NAME}.provenance.json").read_text())
    return statement


def test_the_provenance_names_what_was_made_and_of_what(dist: Path) -> None:
    attest(dist)
    statement = read_statement(dist)
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    subjects = {one["name"]: one["digest"]["sha256"] for one in statement["subject"]}
    index = subjects.pop(f"spiderpool-ipam:{VERSION}")
    digests = sums(dist)
    lists = {f"{NAME}-linux-{arch}.packages" for arch in ARCHES}
    assert subjects == {name: digests[name] for name in PUBLISHED - lists - {f"{NAME}.provenance.json"}}
    assert run("oci", dist, COMMIT, *ARCHES).stdout.endswith(f"sha256:{index}\n")
    definition = statement["predicate"]["buildDefinition"]
    source = {"name": "source", "digest": {"gitCommit": COMMIT}}
    assert definition["externalParameters"] == {"source": source, "version": VERSION, "architectures": [*ARCHES]}
    assert definition["resolvedDependencies"] == [
        source,
        *({"name": name, "digest": {"sha256": digests[name]}} for name in sorted(lists)),
        {"uri": "pkg:deb/debian/libc6@2?arch=amd64"},
        {"uri": "pkg:deb/debian/libc6@2?arch=arm64"},
        {"uri": "pkg:pypi/one@1"},
    ]


@pytest.mark.slow
def test_the_in_toto_project_takes_the_statement_for_a_valid_one(dist: Path) -> None:
    attestation = requirements.need_package("in_toto_attestation.v1.statement")
    provenance = requirements.need_package("in_toto_attestation.predicates.provenance.v1.provenance_pb2")
    json_format = requirements.need_package("google.protobuf.json_format")
    attest(dist)
    statement = read_statement(dist)
    attestation.Statement.copy_from_pb(
        json_format.ParseDict(statement, requirements.need_package("in_toto_attestation.v1.statement_pb2").Statement())
    ).validate()
    json_format.ParseDict(statement["predicate"], provenance.Provenance())  # refuses what it does not know


def test_the_same_release_gives_the_same_files(dist: Path) -> None:
    attest(dist)
    first = {path.name: path.read_bytes() for path in dist.iterdir()}
    attest(dist)
    assert {path.name: path.read_bytes() for path in dist.iterdir()} == first


def test_signatures_of_an_older_release_do_not_stay(dist: Path, tmp_path: Path) -> None:
    attest(dist, make_key(tmp_path))
    attest(dist)
    assert not list(dist.glob("*.sig"))
    assert not list(dist.glob("*.jsonl"))
