"""build/sign.py signs what lies in a folder, with a key that fits, and says what is wrong with another one."""

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cni import ready
from tests import requirements
from tests.build.releases import NAME, attest, make_key, run, write_small_tarballs
from tests.requirements import ROOT
from tests.waiting import SLACK

BLOCKS = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
SIGNATURES = {"SHA256SUMS.sig", f"{NAME}.intoto.jsonl"}


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    write_small_tarballs(tmp_path / "dist")
    attest(tmp_path / "dist")
    return tmp_path / "dist"


def signatures(dist: Path) -> set[str]:
    return SIGNATURES & {path.name for path in dist.iterdir()}


def verify(key: Path, signature: bytes, message: bytes, folder: Path) -> bool:
    """Have openssl verify a signature."""
    (folder / "signature").write_bytes(signature)
    public, signed = key.with_suffix(".pub"), folder / "signature"
    command: list[str | Path] = ["openssl", "dgst", "-sha256", "-verify", public, "-signature", signed]
    return subprocess.run(command, input=message, capture_output=True, timeout=60).returncode == 0


def test_openssl_verifies_the_signatures_with_this_key_and_no_other(dist: Path, tmp_path: Path) -> None:
    key, other = make_key(tmp_path), make_key(tmp_path, "other")
    assert run("sign", key, dist).returncode == 0
    text, signature = (dist / "SHA256SUMS").read_bytes(), (dist / "SHA256SUMS.sig").read_bytes()
    assert verify(key, signature, text, tmp_path)
    assert not verify(other, signature, text, tmp_path)
    assert not verify(key, signature, text.replace(b"0", b"1", 1), tmp_path)

    envelope = json.loads((dist / f"{NAME}.intoto.jsonl").read_text())
    payload = base64.b64decode(envelope["payload"])
    assert payload == (dist / f"{NAME}.provenance.json").read_bytes()
    # SPEC DSSE: "PAE(type, body) = "DSSEv1" + SP + LEN(type) + SP + type + SP + LEN(body) + SP + body"
    kind = envelope["payloadType"]
    signed = f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload
    assert kind == "application/vnd.in-toto+json"
    assert verify(key, base64.b64decode(envelope["signatures"][0]["sig"]), signed, tmp_path)


@pytest.mark.parametrize("name", [f"{NAME}.provenance.json", f"{NAME}-linux-arm64.packages"])
def test_what_the_list_does_not_tell_of_is_not_signed(name: str, dist: Path, tmp_path: Path) -> None:
    (dist / name).write_text("{}")
    done = run("sign", make_key(tmp_path), dist)
    assert done.returncode == 1
    assert done.stderr == f"nothing is signed, because SHA256SUMS does not tell of these files in {dist}: {name}\n"
    assert not signatures(dist)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.removesuffix("\n"),
        lambda text: f"{text}a line that is none\n",
        lambda text: f"{text}{'0' * 64}  ../elsewhere\n",
        lambda text: "".join(line for line in text.splitlines(keepends=True) if "provenance" not in line),
        lambda text: "",
    ],
    ids=["CRLF", "cut off", "no checksum", "elsewhere", "no provenance", "empty"],
)
def test_a_list_that_no_release_has_is_not_signed(change: Callable[[str], str], dist: Path, tmp_path: Path) -> None:
    """Nobody could verify a release with it, even if it were signed."""
    (dist / "SHA256SUMS").write_text(change((dist / "SHA256SUMS").read_text()), newline="")
    said = refused(make_key(tmp_path), dist)
    assert said.startswith(f"nothing is signed, because {dist}/SHA256SUMS is not as `make release` has written it")


# It stands for an openssl that fails to make the second signature.
FAILING = """\
#!/bin/sh
echo "$1" >>"$0.log"
[ "$(grep -c dgst "$0.log")" -lt 3 ] || exit 1
exec {openssl} "$@"
"""


def test_there_are_both_signatures_or_none(dist: Path, tmp_path: Path) -> None:
    openssl, fake = requirements.need_program("openssl"), tmp_path / "bin/openssl"
    fake.parent.mkdir()
    fake.write_text(FAILING.format(openssl=openssl))
    fake.chmod(0o755)
    command: list[str | Path] = [sys.executable, ROOT / "build/sign.py", make_key(tmp_path), dist]
    environ = {"PATH": f"{fake.parent}:/usr/bin:/bin"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, "openssl has read the key and yet does not sign with it\n")
    assert (tmp_path / "bin/openssl.log").read_text().count("dgst") == 3  # of nothing, the list and the provenance
    assert not signatures(dist)


def test_a_folder_without_a_release_is_named(tmp_path: Path) -> None:
    done = run("sign", make_key(tmp_path), tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith(f"{tmp_path} has no SHA256SUMS, so there is nothing to sign")


def test_a_key_alone_is_only_tried(dist: Path, tmp_path: Path) -> None:
    assert run("sign", make_key(tmp_path)).returncode == 0
    assert not signatures(dist)


def refused(key: Path, dist: Path) -> str:
    """Return what is said of a key, which has signed nothing."""
    done = run("sign", key, dist)
    assert (done.returncode, done.stdout, done.stderr.count("\n"), signatures(dist)) == (1, "", 1, set()), done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        (["RSA", "-pkeyopt", "rsa_keygen_bits:2048"], "Public-Key: (2048 bit)"),
        (["ED25519"], "ED25519 Public-Key"),
        (["EC", "-pkeyopt", "ec_paramgen_curve:secp384r1"], "Public-Key: (384 bit)"),
    ],
)
def test_a_key_of_another_kind_is_refused_with_the_reason(
    options: list[str], kind: str, dist: Path, tmp_path: Path
) -> None:
    key = tmp_path / "key.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", *options, "-out", key], check=True, capture_output=True)
    said = refused(key, dist)
    assert f"{key} is a key of another kind (" in said and f"{kind}): what verifies a release expects" in said


def test_a_public_key_a_missing_one_and_no_key_are_told_apart(dist: Path, tmp_path: Path) -> None:
    key = make_key(tmp_path)
    assert "is a public key, which only verifies" in refused(key.with_suffix(".pub"), dist)
    assert refused(tmp_path / "none", dist) == f"the key {tmp_path}/none cannot be read: No such file or directory\n"
    assert refused(tmp_path, dist) == f"the key {tmp_path} cannot be read: Is a directory\n"
    key.write_text("no key")
    assert refused(key, dist).startswith(f"{key} holds no private key that openssl can read")


def test_without_openssl_it_says_what_to_install(tmp_path: Path) -> None:
    command: list[str | Path] = [sys.executable, ROOT / "build/sign.py", make_key(tmp_path)]
    done = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr == "openssl is missing, which makes the signatures: apt-get install openssl\n"


def type_passphrase(script: str, folder: Path, passphrase: str) -> tuple[int, int]:
    """Run a script at a terminal, and answer what openssl asks; return its status and how often it asked."""
    ours, theirs = os.openpty()
    setsid = requirements.need_program("setsid")
    command = [setsid, "--ctty", "--wait", "bash", "-euo", "pipefail", "-c", script]
    asked, shown = 0, ""
    with subprocess.Popen(command, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        while ready.to_read(ours, 60 + SLACK):
            try:
                shown += os.read(ours, 65536).decode()
            except OSError:  # all that had the terminal have ended
                break
            if re.search(r"(pass phrase|Password)[^\n]*:$", shown):
                os.write(ours, f"{passphrase}\n".encode())
                asked, shown = asked + 1, ""
        else:
            process.kill()
    os.close(ours)
    return process.returncode, asked


def test_the_commands_of_the_page_make_a_key_and_sign_anew_and_ask_once(dist: Path, tmp_path: Path) -> None:
    make, sign = BLOCKS.findall((ROOT / "CONTRIBUTING.md").read_text().partition("## Make a release")[2])
    assert "openssl ecparam" in make and "build/sign.py" in sign
    (tmp_path / "build").symlink_to(ROOT / "build")
    assert type_passphrase(make, tmp_path, "a secret") == (
        0,
        3,
    )  # typed twice for the key, and once to see its public one
    assert type_passphrase(sign, tmp_path, "another") == (1, 1)
    assert not signatures(dist)
    assert type_passphrase(sign, tmp_path, "a secret") == (0, 1)
    public = (tmp_path / "key.pub").rename(tmp_path / "public.pub")
    assert verify(public, (dist / "SHA256SUMS.sig").read_bytes(), (dist / "SHA256SUMS").read_bytes(), tmp_path)
