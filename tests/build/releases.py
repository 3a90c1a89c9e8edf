"""Releases for the tests: folders that hold tarballs, and what the recipes of build/ make of them."""

import gzip
import hashlib
import io
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Iterable
from pathlib import Path

from tests import requirements
from tests.requirements import ROOT

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
NAME = f"spiderpool-ipam-{VERSION}"
ARCHES = ("amd64", "arm64")
DATE = 1_800_000_000
COMMIT = "0123456789abcdef0123456789abcdef01234567"
SBOM = '{{"components": [{{"purl": "pkg:pypi/one@1"}}, {{"purl": "pkg:deb/debian/libc6@2?arch={}"}}, {{"name": "x"}}]}}'


def run(recipe: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / f"build/{recipe}.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def make_image(dist: Path, *arches: str) -> Path:
    """Make the container image of tarballs, which get their checksums beside them; return its file."""
    for arch in arches:
        path = tarball(dist, arch)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        path.with_name(f"{path.name}.sha256").write_text(f"{digest}  {path.name}\n")
    done = run("oci", dist, COMMIT, *arches)
    assert done.returncode == 0, done.stderr
    return dist / f"{NAME}-oci.tar"


def attest(dist: Path, key: Path | None = None, *arches: str) -> None:
    """Make the container image and what vouches for a release, of both architectures if none is named."""
    arches = arches or ARCHES
    make_image(dist, *arches)
    for arch in arches:
        (dist / f"{NAME}-linux-{arch}.packages").write_text(f"gcc\t1 of {arch}\n")
    runs = [("attest", dist, COMMIT, " ".join(arches)), *([("sign", key, dist)] if key else [])]
    for recipe, *arguments in runs:
        done = run(str(recipe), *arguments)
        assert done.returncode == 0, done.stderr


def make_key(folder: Path, name: str = "key") -> Path:
    """Make a key as the documents say; the public one is beside it."""
    openssl, key = requirements.need_program("openssl"), folder / f"{name}.pem"
    subprocess.run([openssl, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key], check=True)
    subprocess.run([openssl, "pkey", "-in", key, "-pubout", "-out", key.with_suffix(".pub")], check=True)
    return key


def tarball(dist: Path, arch: str) -> Path:
    return dist / f"{NAME}-linux-{arch}.tar.gz"


def link_tarball(dist: Path, arch: str) -> Path:
    """Put the tarball that was built for an architecture into a folder."""
    built = requirements.need_tarball(arch)
    dist.mkdir(exist_ok=True)
    tarball(dist, arch).symlink_to(built)
    return built


def write_small_tarballs(dist: Path, mark: str = "", arches: Iterable[str] = ARCHES, date: int = DATE) -> None:
    """Write tarballs that stand for a release: few and small files, with the names that matter."""
    dist.mkdir(parents=True, exist_ok=True)
    for arch in arches:
        files = {"sbom.cdx.json": SBOM.format(arch), "SHA256SUMS": f"of {arch}\n", "spiderpool-ipam": mark}
        packed = gzip.GzipFile(tarball(dist, arch), "wb", mtime=0)
        with packed, tarfile.open(fileobj=packed, mode="w") as archive:
            for name, text in files.items():
                member = tarfile.TarInfo(f"spiderpool-ipam/{name}")
                member.size, member.mtime, member.mode = len(text), date, 0o755
                archive.addfile(member, io.BytesIO(text.encode()))
