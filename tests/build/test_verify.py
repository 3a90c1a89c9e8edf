"""`install.sh --verify KEY` installs what was signed, and refuses all else by name, with the node left as it is."""

import platform
import random
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import requirements
from tests.build.releases import NAME, attest, link_tarball, make_key, tarball
from tests.build.test_install_script import SHELLS, Done, programs, run
from tests.installer.sample_node import Node

ARCH = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
TREE = "spiderpool-ipam"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a signed release, with the key, and another key, in a folder."""
    dist = tmp_path_factory.mktemp("published")
    link_tarball(dist, ARCH)
    make_key(dist, "other")
    attest(dist, make_key(dist), ARCH)
    return dist


@pytest.fixture
def folder(published: Path, tmp_path: Path) -> Path:
    """Download the release and unpack it, as an operator does."""
    folder = shutil.copytree(published, tmp_path / "a folder", ignore=shutil.ignore_patterns("*oci.tar"))
    unpack(folder)
    return folder


def unpack(folder: Path) -> None:
    subprocess.run(["tar", "xzf", tarball(folder, ARCH), "-C", folder], check=True, timeout=60)


def verify(
    folder: Path,
    node: Node,
    *options: str,
    key: str = "key.pub",
    shell: list[str] | None = None,
    path: str | None = None,
) -> Done:
    command = ["--wait-agent=0", "--verify", str(folder / key), *options]
    return run(node, *command, tree=folder / TREE, shell=shell, path=path)


def contents(node: Node) -> dict[Path, bytes]:
    return {path: path.read_bytes() if path.is_file() else b"" for path in node.root.rglob("*")}


def assert_refused(folder: Path, node: Node, *words: str, key: str = "key.pub", path: str | None = None) -> None:
    before = contents(node)
    done = verify(folder, node, key=key, path=path)
    said = done.stderr.splitlines()[-1]
    assert (done.returncode, [word for word in words if word not in said], done.stdout) == (1, [], ""), done.stderr
    assert contents(node) == before


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_what_was_signed_is_installed(shell: list[str], folder: Path, node: Node) -> None:
    done = verify(folder, node, shell=shell)
    assert (done.returncode, done.stderr) == (0, f"signed with {folder}/key.pub: {NAME}-linux-{ARCH}\n")
    assert node.answers()


def test_a_dry_run_verifies_as_well(folder: Path, node: Node) -> None:
    before = contents(node)
    assert verify(folder, node, "--dry-run").stderr.startswith("signed with ")
    assert contents(node) == before


def change_one_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[random.randrange(len(content))] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (f"{TREE}/spiderpool", ["spiderpool: FAILED"]),
        (f"{TREE}/spiderpool-ipam", ["spiderpool-ipam: FAILED"]),
        (f"{TREE}/_internal/spiderpool-ipam.bin", ["_internal/spiderpool-ipam.bin: FAILED"]),
        (f"{TREE}/SHA256SUMS", [f"{TREE}/SHA256SUMS is not of the release that", "key.pub has signed"]),
        ("SHA256SUMS", ["a folder/SHA256SUMS cannot be verified with the key"]),
        ("SHA256SUMS.sig", ["a folder/SHA256SUMS cannot be verified with the key"]),
    ],
)
def test_one_byte_changed_anywhere_is_refused(name: str, words: list[str], folder: Path, node: Node) -> None:
    change_one_byte(folder / name)
    assert_refused(folder, node, *words)


def test_one_byte_changed_in_the_tarball_is_refused(folder: Path, node: Node) -> None:
    """By its checksum, before it is unpacked; and if it can be unpacked, by what is then in it."""
    names = [f"{TREE}/{name}" for name in ("spiderpool", "share/unit.sh", "licenses/SPDX/MIT.txt")]
    shutil.rmtree(folder / TREE)
    original = tarball(folder, ARCH)
    with tarfile.open(original) as archive, tarfile.open(folder / "changed.tar.gz", "w:gz", compresslevel=1) as other:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() else None
            content = bytearray(file.read() if file else b"")
            if member.name in names:
                content[0] ^= 1
            (folder / "content").write_bytes(content)
            with (folder / "content").open("rb") as changed:
                other.addfile(member, changed if file else None)
    (folder / "changed.tar.gz").replace(original)
    done = subprocess.run(["sha256sum", "--check", "--ignore-missing", "SHA256SUMS"], cwd=folder, capture_output=True)
    assert (done.returncode, f"{original.name}: FAILED" in done.stdout.decode()) == (1, True)
    unpack(folder)
    assert_refused(folder, node, ": FAILED: unpack the tarball again")


def test_another_key_is_refused(folder: Path, node: Node) -> None:
    assert_refused(folder, node, "SHA256SUMS cannot be verified with the key", "other.pub", key="other.pub")


def test_what_another_key_has_signed_is_refused(folder: Path, node: Node) -> None:
    (folder / "pub").write_bytes((folder / "key.pub").read_bytes())
    attest(folder, folder / "other.pem", ARCH)
    assert_refused(folder, node, "SHA256SUMS cannot be verified with the key", key="pub")


def test_the_other_architecture_is_refused(folder: Path, node: Node, tmp_path: Path) -> None:
    other = "aarch64" if ARCH == "amd64" else "x86_64"
    path = programs(tmp_path / "programs", uname=f"echo {other}")
    assert_refused(folder, node, f"this machine is {other}, and the files are for another architecture", path=path)


def test_files_that_pass_for_another_architecture_are_refused(folder: Path, node: Node) -> None:
    """The list says what they are for, whatever is in them."""
    text = (folder / "SHA256SUMS").read_text()
    (folder / "SHA256SUMS").write_text(text.replace(f"linux-{ARCH}.SHA", "linux-riscv64.SHA"))
    sign(folder)
    assert_refused(folder, node, f"these files are {NAME}-linux-riscv64, and this machine is")


def sign(folder: Path) -> None:
    command = ["openssl", "dgst", "-sha256", "-sign", "key.pem", "-out", "SHA256SUMS.sig", "SHA256SUMS"]
    subprocess.run(command, cwd=folder, check=True)


def test_the_list_of_another_release_is_refused(folder: Path, node: Node) -> None:
    (folder / "SHA256SUMS").write_text(f"{'0' * 64}  spiderpool-ipam-9.9.9-linux-{ARCH}.SHA256SUMS\n")
    sign(folder)
    assert_refused(folder, node, f"{TREE}/SHA256SUMS is not of the release that")


@pytest.mark.parametrize("name", ["share/links.sh", "share/unit.sh", "spiderpool-ipam"])
def test_nothing_of_the_release_runs_before_it_is_verified(name: str, folder: Path, node: Node) -> None:
    file = folder / TREE / name
    file.write_text(f"#!/bin/sh\ntouch '{folder}/ran'\n")
    assert_refused(folder, node, f"{name}: FAILED")
    assert not (folder / "ran").exists()


@pytest.mark.parametrize(
    ("lose", "words"),
    [
        (lambda folder: (folder / "key.pub").unlink(), ["there is no key ", "key.pub"]),
        (lambda folder: (folder / "SHA256SUMS").unlink(), ["a folder/SHA256SUMS is missing"]),
        (lambda folder: (folder / "SHA256SUMS.sig").unlink(), ["SHA256SUMS.sig is missing"]),
        (lambda folder: shutil.copy(folder / "key.pem", folder / "key.pub"), ["cannot be verified with the key"]),
    ],
    ids=["no key", "no list", "no signature", "a private key"],
)
def test_what_is_missing_is_named(lose: Callable[[Path], object], words: list[str], folder: Path, node: Node) -> None:
    lose(folder)
    assert_refused(folder, node, *words)


def test_a_node_without_openssl_is_told_so(folder: Path, node: Node, tmp_path: Path) -> None:
    path = programs(tmp_path / "programs", sha256sum="exit 1")
    assert_refused(folder, node, "openssl is missing, so no signature can be verified", path=path)


@pytest.mark.parametrize("options", [["--verify="], ["--verify", ""], ["--verify"], ["--uninstall", "--verify=x"]])
def test_wrong_usage_verifies_nothing_and_does_nothing(options: list[str]) -> None:
    script = requirements.need_frozen("install.sh")
    done = subprocess.run(["sh", script, *options], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (2, 1, "")
    assert done.stderr.startswith("install.sh: --verify ")
