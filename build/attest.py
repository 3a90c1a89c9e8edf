"""Write what vouches for a release, beside its tarballs and its container image in DIST. build/sign.py signs it.

- ….sbom.cdx.json and ….SHA256SUMS for each architecture: what the tarball has of these names
- spiderpool-ipam-VERSION.provenance.json: which commit and packages the release was made of, as an in-toto statement
  with a SLSA provenance (https://slsa.dev/spec/v1.0/provenance)
- SHA256SUMS: the checksums of all these files

The same release gives the same files. Signatures of an older one are removed.

Usage: attest.py DIST COMMIT ARCHES
"""

import hashlib
import json
import sys
import tarfile
import tomllib
from pathlib import Path
from typing import Any

NAME = "spiderpool-ipam"
PROJECT = Path(__file__).parents[1] / "pyproject.toml"
# docs/design/supply-chain.md says what these two mean.
BUILD_TYPE, BUILDER = "urn:spiderpool-ipam:make-release:1", "urn:spiderpool-ipam:maintainer"


def digest_of(path: Path) -> str:
    """Return a file's checksum."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def describe(path: Path) -> dict[str, Any]:
    """Return the descriptor of a file."""
    return {"name": path.name, "digest": {"sha256": digest_of(path)}}


def take_out(tarball: Path, name: str, target: Path) -> None:
    """Write a file of a tarball."""
    with tarfile.open(tarball) as archive:
        file = archive.extractfile(f"{NAME}/{name}")
        if not file:
            raise ValueError(f"{name} in {tarball} is no file")
        target.write_bytes(file.read())


def index_digest(image: Path) -> str:
    """Return the digest by which a registry has the container image."""
    with tarfile.open(image) as archive:
        file = archive.extractfile("index.json")
        if not file:
            raise ValueError(f"index.json in {image} is no file")
        return str(json.load(file)["manifests"][0]["digest"]).removeprefix("sha256:")


def packages(sboms: list[Path]) -> list[str]:
    """Return the package URLs of what the bundles contain."""
    components = [part for sbom in sboms for part in json.loads(sbom.read_text())["components"]]
    return sorted({part["purl"] for part in components if "purl" in part})


def statement(
    version: str, commit: str, arches: list[str], made: list[Path], lists: list[Path], index: str
) -> dict[str, Any]:
    """Return the in-toto statement about a release. It has no times, so that the same release has the same one.

    The lists are of the packages that the tarballs were built among.
    """
    subjects = [describe(path) for path in made] + [{"name": f"{NAME}:{version}", "digest": {"sha256": index}}]
    source = {"name": "source", "digest": {"gitCommit": commit}}
    sboms = [path for path in made if path.name.endswith(".sbom.cdx.json")]
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subjects,
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"source": source, "version": version, "architectures": arches},
                "resolvedDependencies": [source, *map(describe, lists), *({"uri": purl} for purl in packages(sboms))],
            },
            "runDetails": {"builder": {"id": BUILDER}},
        },
    }


def main(dist: Path, commit: str, arches: list[str]) -> None:
    """Write the files."""
    version = tomllib.loads(PROJECT.read_text())["project"]["version"]
    release, image = dist / f"{NAME}-{version}", dist / f"{NAME}-{version}-oci.tar"
    tarballs, lists, sboms, sums = (
        [Path(f"{release}-linux-{arch}.{ending}") for arch in arches]
        for ending in ("tar.gz", "packages", "sbom.cdx.json", "SHA256SUMS")
    )
    for tarball, sbom, one in zip(tarballs, sboms, sums, strict=True):
        take_out(tarball, "sbom.cdx.json", sbom)
        take_out(tarball, "SHA256SUMS", one)
    made, provenance = sorted([*tarballs, *sboms, *sums, image]), Path(f"{release}.provenance.json")
    document = statement(version, commit, arches, made, lists, index_digest(image))
    provenance.write_text(json.dumps(document, indent=1) + "\n")
    lines = "".join(f"{digest_of(path)}  {path.name}\n" for path in sorted([*made, *lists, provenance]))
    (dist / "SHA256SUMS").write_text(lines)
    for path in (dist / "SHA256SUMS.sig", Path(f"{release}.intoto.jsonl")):
        path.unlink(missing_ok=True)  # an older one is not of these files


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3].split())
