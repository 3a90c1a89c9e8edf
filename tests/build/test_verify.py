"""`install.sh --verify KEY` installs what was signed, and refuses all else by name, with the node left as it is.

Most of these releases are small: the script is the real one, and the program writes down that it was called.
"""

import platform
import random
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import requirements
from tests.build.releases import NAME, attest, link_tarball, make_key, tarball
from tests.build.test_install_script import SHELLS, Done, programs, run
from tests.installer.sample_node import Node, make_tree, write_sums
from tests.requirements import ROOT

LOADERS = [("amd64", "ld-linux-x86-64.so.2"), ("arm64", "ld-linux-aarch64.so.1")]
(ARCH, LOADER), OTHER = LOADERS if platform.machine() == "x86_64" else reversed(LOADERS)
TREE = "spiderpool-ipam"
PROGRAM = '#!/bin/sh\necho "$1" >>"{mark}"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder with a small release as it is published, unpacked, the key, and another key."""
    folder = tmp_path / "a folder"
    tree = make_tree(folder / TREE, str(folder / "calls"), PROGRAM)
    (tree / "share").mkdir()
    for name, place in {"install.sh": ".", "links.sh": "share", "unit.sh": "share"}.items():
        shutil.copy(ROOT / "build" / name, tree / place)
    (tree / "_internal" / LOADER).touch()
    (tree / "sbom.cdx.json").write_text('{"components": []}')
    write_sums(tree)
    pack(folder)
    make_key(folder, "other")
    attest(folder, make_key(folder), ARCH)
    return folder


def pack(folder: Path) -> None:
    command = ["tar", "--mtime=@1800000000", "-czf", str(tarball(folder, ARCH)), TREE]  # a release has one date
    subprocess.run(command, cwd=folder, check=True, timeout=60)


def unpack(folder: Path) -> None:
    subprocess.run(["tar", "xzf", tarball(folder, ARCH)], cwd=folder, check=True, timeout=60)


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
    assert (contents(node), (folder / "calls").exists()) == (before, False)


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_what_was_signed_is_installed(shell: list[str], folder: Path, node: Node) -> None:
    done = verify(folder, node, shell=shell)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(f"signed with {folder}/key.pub: {NAME}-linux-{ARCH}\n")
    assert (folder / "calls").read_text().split() == ["doctor", "install"]


def change_one_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[random.randrange(len(content))] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (f"{TREE}/spiderpool", ["spiderpool: FAILED"]),
        (f"{TREE}/spiderpool-ipam", ["spiderpool-ipam: FAILED"]),
        (f"{TREE}/_internal/data", ["_internal/data: FAILED"]),
        (f"{TREE}/SHA256SUMS", [f"{TREE} is not of the release whose list is", "unpack that tarball there"]),
        ("SHA256SUMS", ["a folder/SHA256SUMS was changed, or was not signed with the key", "do not install it"]),
        ("SHA256SUMS.sig", ["a folder/SHA256SUMS was changed, or was not signed with the key", "do not install it"]),
    ],
)
def test_one_byte_changed_anywhere_is_refused(name: str, words: list[str], folder: Path, node: Node) -> None:
    change_one_byte(folder / name)
    assert_refused(folder, node, *words)


def test_one_byte_changed_in_the_tarball_is_refused_before_it_is_unpacked_and_after(folder: Path, node: Node) -> None:
    change_one_byte(folder / TREE / "_internal/data")
    pack(folder)
    shutil.rmtree(folder / TREE)
    done = verify_by_hand(folder)
    assert (done.returncode, done.stdout) == (1, f"Verified OK\n{NAME}-linux-{ARCH}.tar.gz: FAILED\n")
    unpack(folder)
    assert_refused(folder, node, "_internal/data: FAILED: unpack the tarball again")


def verify_by_hand(folder: Path) -> Done:
    """Do what the page says, in a shell that goes on when a command fails."""
    (commands,) = re.findall(r"^openssl dgst .*?(?=^```$)", (ROOT / "docs/install.md").read_text(), re.M | re.S)
    commands = commands.replace("spiderpool-ipam.pub", "key.pub").replace("linux-amd64", f"linux-{ARCH}")
    return subprocess.run(["sh", "-c", commands], cwd=folder, capture_output=True, text=True, timeout=60)


def test_by_hand_nothing_is_called_right_that_another_key_has_signed(folder: Path) -> None:
    done = verify_by_hand(folder)
    assert (done.returncode, done.stdout) == (0, f"Verified OK\n{NAME}-linux-{ARCH}.tar.gz: OK\n")
    sign(folder, "other.pem")
    done = verify_by_hand(folder)
    assert (done.returncode, "OK" in done.stdout) == (1, False)


def test_another_key_is_refused(folder: Path, node: Node) -> None:
    assert_refused(folder, node, "SHA256SUMS was changed, or was not signed with the key", "other.pub", key="other.pub")


def test_what_another_key_has_signed_is_refused(folder: Path, node: Node) -> None:
    sign(folder, "other.pem")
    assert_refused(folder, node, "SHA256SUMS was changed, or was not signed with the key")


def sign(folder: Path, key: str = "key.pem") -> None:
    command = ["openssl", "dgst", "-sha256", "-sign", key, "-out", "SHA256SUMS.sig", "SHA256SUMS"]
    subprocess.run(command, cwd=folder, check=True, timeout=60)


def test_the_other_architecture_is_refused(folder: Path, node: Node) -> None:
    """It is told by the loader in it, before anything is read that has a signature."""
    other, loader = OTHER
    (folder / TREE / "_internal" / LOADER).rename(folder / TREE / "_internal" / loader)
    write_sums(folder / TREE)
    attest(folder, folder / "key.pem", ARCH)
    assert_refused(folder, node, f"these files are for {other}, and this machine is", f"-linux-{ARCH}.tar.gz")
    (folder / TREE / "_internal" / loader).unlink()
    assert_refused(folder, node, "_internal holds no program loader", "unpack the tarball again")


def test_files_that_pass_for_another_architecture_are_refused(folder: Path, node: Node) -> None:
    """The list says what they are for, whatever is in them."""
    text = (folder / "SHA256SUMS").read_text()
    (folder / "SHA256SUMS").write_text(text.replace(f"linux-{ARCH}.SHA", "linux-riscv64.SHA"))
    sign(folder)
    assert_refused(folder, node, "these files are for riscv64, and this machine is")


def test_the_list_of_another_release_is_refused(folder: Path, node: Node) -> None:
    (folder / "SHA256SUMS").write_text(f"{'0' * 64}  spiderpool-ipam-9.9.9-linux-{ARCH}.SHA256SUMS\n")
    sign(folder)
    assert_refused(folder, node, f"{TREE} is not of the release whose list is", "of the same version")


@pytest.mark.parametrize("prefix", ["../", "other-", "spiderpool-ipam-", ""])
def test_only_the_name_of_a_release_counts_in_a_list(prefix: str, folder: Path, node: Node) -> None:
    text = (folder / "SHA256SUMS").read_text()
    name = f"{NAME}-linux-{ARCH}.SHA256SUMS"
    (folder / "SHA256SUMS").write_text(text.replace(name, f"{prefix}x-linux-{ARCH}.SHA256SUMS"))
    sign(folder)
    assert_refused(folder, node, "is not of the release whose list is")


def test_a_link_in_the_place_of_a_folder_makes_no_room_for_other_files(folder: Path, node: Node) -> None:
    """There are as many files as the list has lines, each of the list is found, and the loader would find another."""
    tree = folder / TREE
    (tree / "share").rename(folder / "share")
    (tree / "share").symlink_to("../share")
    (tree / "_internal/glibc-hwcaps").mkdir()
    (tree / "_internal/glibc-hwcaps/libdl.so.2").touch()
    files = [path for path in tree.rglob("*") if path.is_symlink() or not path.is_dir()]
    assert len(files) == len((tree / "SHA256SUMS").read_text().splitlines()) + 1
    assert_refused(folder, node, "share is a link in the place of a folder", "unpack the tarball into an empty folder")


@pytest.mark.parametrize("name", ["share/links.sh", "share/unit.sh", "spiderpool-ipam"])
def test_nothing_of_the_release_runs_before_it_is_verified(name: str, folder: Path, node: Node) -> None:
    (folder / TREE / name).write_text(f"#!/bin/sh\ntouch '{folder}/calls'\n")
    assert_refused(folder, node, f"{name}: FAILED")


def encrypt(folder: Path) -> None:
    """Put a private key with a passphrase in the place of the public key. Nobody may be asked for it."""
    command = ["openssl", "pkey", "-in", "key.pem", "-aes128", "-passout", "pass:secret", "-out", "key.pub"]
    subprocess.run(command, cwd=folder, check=True, timeout=60)


@pytest.mark.parametrize(
    ("lose", "words"),
    [
        (lambda folder: (folder / "key.pub").unlink(), ["there is no key ", "key.pub"]),
        (lambda folder: (folder / "SHA256SUMS").unlink(), ["a folder/SHA256SUMS is missing"]),
        (lambda folder: (folder / "SHA256SUMS.sig").unlink(), ["SHA256SUMS.sig is missing"]),
        (lambda folder: shutil.copy(folder / "key.pem", folder / "key.pub"), ["key.pub holds no public key"]),
        (encrypt, ["key.pub holds no public key"]),
        (lambda folder: (folder / "key.pub").write_bytes(b""), ["key.pub holds no public key"]),
    ],
    ids=["no key", "no list", "no signature", "a private key", "an encrypted private key", "an empty key"],
)
def test_what_is_missing_is_named(lose: Callable[[Path], object], words: list[str], folder: Path, node: Node) -> None:
    lose(folder)
    assert_refused(folder, node, *words)


def test_a_node_without_openssl_is_told_so(folder: Path, node: Node, tmp_path: Path) -> None:
    path = programs(tmp_path / "programs", sha256sum="exit 1")
    assert_refused(folder, node, "openssl is missing, so no signature can be verified", path=path)


@pytest.mark.parametrize("options", [["--verify="], ["--verify", ""], ["--verify"], ["--uninstall", "--verify=x"]])
def test_wrong_usage_verifies_nothing_and_does_nothing(options: list[str]) -> None:
    done = subprocess.run(["sh", ROOT / "build/install.sh", *options], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (2, 1, "")
    assert done.stderr.startswith("install.sh: --verify ")


@pytest.mark.slow
def test_the_release_itself_is_verified_and_installed(tmp_path: Path, node: Node) -> None:
    requirements.need_frozen("install.sh")
    link_tarball(tmp_path / "dist", ARCH)
    attest(tmp_path / "dist", make_key(tmp_path / "dist"), ARCH)
    unpack(tmp_path / "dist")
    before = contents(node)
    assert verify(tmp_path / "dist", node, "--dry-run").returncode == 0
    assert contents(node) == before
    done = verify(tmp_path / "dist", node)
    assert (done.returncode, node.answers()) == (0, True), done.stderr
