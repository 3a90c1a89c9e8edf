"""Write what vouches for a release, beside its tarballs and its container image in DIST, and sign it with KEY.

- ….sbom.cdx.json and ….SHA256SUMS for each architecture: what the tarball has of these names
- spiderpool-ipam-VERSION.provenance.json: which commit and packages the release was made of, as an in-toto statement
  with a SLSA provenance (https://slsa.dev/spec/v1.0/provenance)
- SHA256SUMS: the checksums of all these files
- with KEY: SHA256SUMS.sig, and spiderpool-ipam-VERSION.intoto.jsonl, which is the statement with its signature

The same release gives the same files, but for the signatures. openssl makes them, with a key on the curve P-256, as
cosign's are. An openssl of any age can verify them, and most nodes have one. Few have minisign, and the command of
openssl 1.1 cannot verify minisign's Ed25519 signatures.

Usage: attest.py DIST COMMIT ARCHES [KEY]
"""

import base64
import hashlib
import json
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path
from typing import Any

NAME = "spiderpool-ipam"
PROJECT = Path(__file__).parents[1] / "pyproject.toml"
# docs/design/supply-chain.md says what these two mean.
BUILD_TYPE, BUILDER = "urn:spiderpool-ipam:make-release:1", "urn:spiderpool-ipam:maintainer"
PAYLOAD_TYPE = "application/vnd.in-toto+json"


def digest_of(path: Path) -> str:
    """Return a file's checksum."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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


def statement(version: str, commit: str, files: list[Path], sboms: list[Path], image: Path) -> dict[str, Any]:
    """Return the in-toto statement about a release. It has no times, so that the same release has the same one."""
    subjects = {path.name: digest_of(path) for path in files} | {f"{NAME}:{version}": index_digest(image)}
    source = {"name": "source", "digest": {"gitCommit": commit}}
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in subjects.items()],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"source": source, "version": version},
                "resolvedDependencies": [source, *({"uri": purl} for purl in packages(sboms))],
            },
            "runDetails": {"builder": {"id": BUILDER}},
        },
    }


def sign(message: bytes, key: str) -> bytes:
    """Return the signature of a message, or end with what openssl says. It asks for a key's passphrase by itself."""
    command = ["openssl", "dgst", "-sha256", "-sign", key]
    done = subprocess.run(command, input=message, stdout=subprocess.PIPE, check=False)  # noqa: S603
    if done.returncode:
        sys.exit(f"{key} does not sign: `openssl ecparam -name prime256v1 -genkey -noout` makes a key that does")
    return done.stdout


def envelope(payload: bytes, key: str) -> dict[str, Any]:
    """Return a payload with its signature (https://github.com/secure-systems-lab/dsse/blob/master/protocol.md)."""
    signed = b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)
    return {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"sig": base64.b64encode(sign(signed, key)).decode()}],
    }


def main(dist: Path, commit: str, arches: list[str], key: str) -> None:
    """Write the files."""
    version = tomllib.loads(PROJECT.read_text())["project"]["version"]
    release, image = dist / f"{NAME}-{version}", dist / f"{NAME}-{version}-oci.tar"
    tarballs, sboms, sums = (
        [Path(f"{release}-linux-{arch}.{ending}") for arch in arches]
        for ending in ("tar.gz", "sbom.cdx.json", "SHA256SUMS")
    )
    for tarball, sbom, one in zip(tarballs, sboms, sums, strict=True):
        take_out(tarball, "sbom.cdx.json", sbom)
        take_out(tarball, "SHA256SUMS", one)
    built_among = [path for arch in arches if (path := Path(f"{release}-linux-{arch}.packages")).exists()]
    provenance, listed = Path(f"{release}.provenance.json"), [*tarballs, *sboms, *sums, *built_among, image]
    document = statement(version, commit, sorted(listed), sboms, image)
    provenance.write_text(json.dumps(document, indent=1) + "\n")
    lines = "".join(f"{digest_of(path)}  {path.name}\n" for path in sorted([*listed, provenance]))
    (dist / "SHA256SUMS").write_text(lines)
    signature, signed = dist / "SHA256SUMS.sig", Path(f"{release}.intoto.jsonl")
    for path in (signature, signed):
        path.unlink(missing_ok=True)  # an older one is not of these files
    if key:
        signature.write_bytes(sign(lines.encode(), key))
        signed.write_text(json.dumps(envelope(provenance.read_bytes(), key)) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3].split(), "".join(sys.argv[4:]))
