"""Make the container image of a release out of its tarballs: DIST/spiderpool-ipam-VERSION-oci.tar. Print its digest.

The file is a tar of an OCI image layout (https://github.com/opencontainers/image-spec/blob/main/image-layout.md), with
one index that names an image for each architecture. What a tarball unpacks to is the whole root folder of its image.
So the tarball itself is the only layer, byte for byte, and the layer's digest is the checksum that the release has.
What is left to make are a few small JSON documents. buildah could make them, too, but it would pack the files anew, in
bytes that change with its version, and it needs a storage and rights of its own.

Usage: oci.py DIST COMMIT ARCH...; the labels name the commit, if it is not empty.
"""

import gzip
import hashlib
import io
import json
import sys
import tarfile
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

NAME = "spiderpool-ipam"
DESCRIPTION = "The CNI IPAM plugin for Calico with SpiderPool, and its installer"
PROJECT = Path(__file__).parents[1] / "pyproject.toml"
MEDIA_TYPE = "application/vnd.oci.image"

Document = dict[str, Any]


class Layout:
    """The files of a layout, by their names in it."""

    def __init__(self) -> None:
        self.files: dict[str, bytes | Path] = {"oci-layout": encode({"imageLayoutVersion": "1.0.0"})}

    def add(self, kind: str, content: bytes | Path) -> Document:
        """Add a blob, and return the descriptor by which documents name it."""
        with open_content(content) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.seek(0, io.SEEK_END)
        self.files[f"blobs/sha256/{digest}"] = content
        return {"mediaType": f"{MEDIA_TYPE}.{kind}", "digest": f"sha256:{digest}", "size": size}

    def write(self, path: Path, date: int) -> None:
        """Write the tar. All that is in it has the same date."""
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
            for name in sorted(self.files):
                header = tarfile.TarInfo(name)
                with open_content(self.files[name]) as file:
                    header.mtime, header.size = date, file.seek(0, io.SEEK_END)
                    file.seek(0)
                    archive.addfile(header, file)


def encode(document: Document) -> bytes:
    """Return a document's text."""
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def open_content(content: bytes | Path) -> Any:
    """Open what is in memory or in a file."""
    return io.BytesIO(content) if isinstance(content, bytes) else content.open("rb")


def check(tarball: Path, arch: str) -> None:
    """End if a tarball is missing, or is not the whole one whose checksum lies beside it."""
    remedy, sums = f"`make release ARCH={arch}` makes it", tarball.with_name(f"{tarball.name}.sha256")
    for path in (tarball, sums):
        if not path.exists():
            advice = "For an image of some architectures only, name them: make image ARCHES=amd64"
            sys.exit(f"{path} is missing: {remedy}. {advice}")
    with tarball.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if sums.read_text().split()[:1] != [digest]:
        sys.exit(f"{tarball} is damaged, or {sums.name} is of another one: {remedy} anew")


def date_of(tarballs: Mapping[str, Path]) -> int:
    """Return the date that all files of all tarballs have, or end if they differ."""
    found = set()
    for tarball in tarballs.values():
        with tarfile.open(tarball) as archive:
            found |= {int(member.mtime) for member in archive}
    if len(found) != 1:
        remedies = " and ".join(f"`make release ARCH={arch}`" for arch in tarballs)
        sys.exit(
            "the tarballs were made of different sources, because their files have different dates: make all of them"
            f" anew, of one commit, by {remedies}"
        )
    return found.pop()


def labels(version: str, date: int, commit: str) -> dict[str, str]:
    """Return the labels of an image, which are the annotations of its manifest and of the index as well."""
    about = {
        "created": datetime.fromtimestamp(date, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "description": DESCRIPTION,
        "revision": commit,
        "title": NAME,
        "version": version,
    }
    return {f"org.opencontainers.image.{key}": value for key, value in about.items() if value}


def add_image(layout: Layout, tarball: Path, arch: str, about: dict[str, str]) -> Document:
    """Add the image of one architecture, and return its descriptor."""
    with gzip.open(tarball) as unpacked:
        layer_id = hashlib.file_digest(unpacked, "sha256").hexdigest()
    platform = {"architecture": arch, "os": "linux"}
    created = about["org.opencontainers.image.created"]
    config = {
        **platform,
        "created": created,
        "config": {"Entrypoint": [f"/{NAME}/{NAME}"], "Labels": about},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_id}"]},
        "history": [{"created": created, "created_by": tarball.name}],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{MEDIA_TYPE}.manifest.v1+json",
        "config": layout.add("config.v1+json", encode(config)),
        "layers": [layout.add("layer.v1.tar+gzip", tarball)],
        "annotations": about,
    }
    return {**layout.add("manifest.v1+json", encode(manifest)), "platform": platform}


def index_of(manifests: list[Document], annotations: dict[str, str]) -> Document:
    """Return an index of manifests."""
    media_type = f"{MEDIA_TYPE}.index.v1+json"
    return {"schemaVersion": 2, "mediaType": media_type, "manifests": manifests, "annotations": annotations}


def main(dist: Path, commit: str, arches: list[str]) -> None:
    """Write the layout, and print the digest of the index, by which a registry has the image, too."""
    version = tomllib.loads(PROJECT.read_text())["project"]["version"]
    tarballs = {arch: dist / f"{NAME}-{version}-linux-{arch}.tar.gz" for arch in sorted(arches)}
    for arch, tarball in tarballs.items():
        check(tarball, arch)
    date = date_of(tarballs)
    layout, about = Layout(), labels(version, date, commit)
    images = [add_image(layout, tarball, arch, about) for arch, tarball in tarballs.items()]
    index = layout.add("index.v1+json", encode(index_of(images, about)))
    # podman and containerd give the image this name when they import the file: the one that the manifests have.
    names = {
        "org.opencontainers.image.ref.name": version,
        "io.containerd.image.name": f"docker.io/library/{NAME}:{version}",
    }
    layout.files["index.json"] = encode(index_of([{**index, "annotations": names}], {}))
    target = dist / f"{NAME}-{version}-oci.tar"
    partial = target.with_name(f"{target.name}.partial")
    layout.write(partial, date)
    partial.replace(target)
    print(f"{target} {', '.join(tarballs)}\n{index['digest']}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
