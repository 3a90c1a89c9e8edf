"""The container image: an OCI layout with both architectures, of the tarballs' bytes."""

import gzip
import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests import requirements
from tests.build.releases import ARCHES, COMMIT, DATE, NAME, VERSION, make_image, run, tarball, write_small_tarballs
from tests.requirements import ROOT

LABELS = {"created", "description", "revision", "title", "version"}


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    write_small_tarballs(tmp_path / "dist")
    return tmp_path / "dist"


class Layout:
    """What is in the file."""

    def __init__(self, path: Path) -> None:
        with tarfile.open(path) as archive:
            members = [(member, archive.extractfile(member)) for member in archive]
            self.files = {member.name: file.read() for member, file in members if file}
            self.dates = {member.mtime for member, _ in members}

    def blob(self, descriptor: dict[str, Any]) -> bytes:
        """Return what a descriptor leads to, which is as the descriptor says."""
        content = self.files["blobs/sha256/" + descriptor["digest"].removeprefix("sha256:")]
        assert descriptor["digest"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
        assert descriptor["size"] == len(content)
        return content

    def document(self, descriptor: dict[str, Any]) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.blob(descriptor))
        assert document.get("mediaType", descriptor["mediaType"]) == descriptor["mediaType"]
        return document


def test_one_index_leads_to_an_image_of_each_tarball(dist: Path) -> None:
    layout = Layout(make_image(dist, *ARCHES))
    assert json.loads(layout.files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    (named,) = json.loads(layout.files["index.json"])["manifests"]
    assert named["annotations"]["io.containerd.image.name"] == f"docker.io/library/spiderpool-ipam:{VERSION}"
    manifests = layout.document(named)["manifests"]
    assert [one["platform"] for one in manifests] == [{"architecture": arch, "os": "linux"} for arch in ARCHES]
    for manifest, arch in zip(map(layout.document, manifests), ARCHES, strict=True):
        (layer,) = manifest["layers"]
        assert layout.blob(layer) == tarball(dist, arch).read_bytes()
        config = layout.document(manifest["config"])
        assert (config["architecture"], config["os"]) == (arch, "linux")
        unpacked = hashlib.sha256(gzip.decompress(layout.blob(layer))).hexdigest()
        assert config["rootfs"] == {"type": "layers", "diff_ids": [f"sha256:{unpacked}"]}
        assert config["config"]["Entrypoint"] == ["/spiderpool-ipam/spiderpool-ipam"]


def test_the_labels_are_those_of_oci_and_the_same_everywhere(dist: Path) -> None:
    layout = Layout(make_image(dist, *ARCHES))
    index = layout.document(json.loads(layout.files["index.json"])["manifests"][0])
    labels = index["annotations"]
    assert labels.keys() == {f"org.opencontainers.image.{name}" for name in LABELS}
    assert labels["org.opencontainers.image.version"] == VERSION
    assert labels["org.opencontainers.image.revision"] == COMMIT
    assert labels["org.opencontainers.image.created"] == "2027-01-15T08:00:00Z"
    for manifest in map(layout.document, index["manifests"]):
        assert manifest["annotations"] == labels
        assert layout.document(manifest["config"])["config"]["Labels"] == labels


def test_without_a_commit_no_label_names_one(dist: Path) -> None:
    make_image(dist, *ARCHES)
    assert run("oci", dist, "", *ARCHES).returncode == 0
    layout = Layout(dist / f"{NAME}-oci.tar")
    index = layout.document(json.loads(layout.files["index.json"])["manifests"][0])
    assert "org.opencontainers.image.revision" not in index["annotations"]


def test_it_prints_the_digest_by_which_a_registry_has_it(dist: Path) -> None:
    make_image(dist, *ARCHES)
    done = run("oci", dist, COMMIT, *ARCHES)
    (named,) = json.loads(Layout(dist / f"{NAME}-oci.tar").files["index.json"])["manifests"]
    assert done.stdout.splitlines()[-1] == named["digest"]


def test_other_surroundings_give_the_same_bytes(dist: Path, tmp_path: Path) -> None:
    first = make_image(dist, *ARCHES).read_bytes()
    other = dist.rename(tmp_path / "another folder")
    environ = {**os.environ, "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "7", "SOURCE_DATE_EPOCH": "1"}
    command: list[str | Path] = [sys.executable, ROOT / "build/oci.py", other, COMMIT, *reversed(ARCHES)]
    subprocess.run(command, env=environ, umask=0o077, check=True, capture_output=True, timeout=60)
    assert (other / f"{NAME}-oci.tar").read_bytes() == first
    assert Layout(other / f"{NAME}-oci.tar").dates == {DATE}


@pytest.mark.slow
def test_a_copy_to_another_place_keeps_the_digest(dist: Path, tmp_path: Path) -> None:
    """As a registry does: skopeo, too, may pack nothing anew."""
    skopeo, image = requirements.need_program("skopeo"), make_image(dist, *ARCHES)
    command = [skopeo, "copy", "--all", f"oci-archive:{image}", f"oci:{tmp_path}/copy:x"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    (copied,) = json.loads((tmp_path / "copy/index.json").read_text())["manifests"]
    assert run("oci", dist, COMMIT, *ARCHES).stdout.endswith(f"{copied['digest']}\n")


def test_a_missing_architecture_is_named_and_left_out_only_when_asked_for(dist: Path) -> None:
    make_image(dist, *ARCHES).unlink()
    tarball(dist, "arm64").unlink()
    done = run("oci", dist, COMMIT, *ARCHES)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert re.match(rf".*/{NAME}-linux-arm64\.tar\.gz is missing: `make release ARCH=arm64` makes it\.", done.stderr)
    assert not (dist / f"{NAME}-oci.tar").exists()
    layout = Layout(make_image(dist, "amd64"))
    assert len(layout.document(json.loads(layout.files["index.json"])["manifests"][0])["manifests"]) == 1


@pytest.mark.parametrize("end", [0, 100])
def test_a_tarball_that_is_cut_off_is_refused_by_name_and_no_image_is_left(dist: Path, end: int) -> None:
    make_image(dist, *ARCHES).unlink()
    damaged = tarball(dist, "arm64")
    damaged.write_bytes(damaged.read_bytes()[:end])
    done = run("oci", dist, COMMIT, *ARCHES)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith(
        f"{damaged} is damaged, or {damaged.name}.sha256 is of another one: `make release ARCH="
    )
    assert not list(dist.glob("*-oci.tar*"))


def test_a_tarball_without_its_checksum_is_refused(dist: Path) -> None:
    done = run("oci", dist, COMMIT, *ARCHES)
    assert done.returncode == 1
    assert done.stderr.startswith(f"{tarball(dist, 'amd64')}.sha256 is missing: `make release ARCH=amd64` makes it.")


def test_tarballs_of_different_dates_are_refused(dist: Path) -> None:
    make_image(dist, *ARCHES)
    write_small_tarballs(dist, arches=["arm64"], date=DATE + 1)
    remedies = "by `make release ARCH=amd64` and `make release ARCH=arm64`"
    with pytest.raises(AssertionError, match=f"the tarballs were made of different sources, .*{remedies}"):
        make_image(dist, *ARCHES)


def test_an_image_has_its_name_only_once_it_is_whole(dist: Path) -> None:
    """The file with the name is another one than that which was written to."""
    image = make_image(dist, *ARCHES)
    (dist / "other").hardlink_to(image)
    make_image(dist, *ARCHES)
    assert not image.samefile(dist / "other")
    assert not list(dist.glob("*.partial"))
