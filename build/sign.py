"""Sign the release in DIST with KEY: write SHA256SUMS.sig and ….intoto.jsonl, which is the provenance, signed (DSSE).

It signs the SHA256SUMS and the provenance that are there, if all files are as SHA256SUMS says. Without DIST, it only
tries the key. openssl makes the signatures, with a key on the curve P-256, as cosign's are: an openssl of any age can
verify them, and most nodes have one. Few have minisign, and the command of openssl 1.1 cannot verify minisign's Ed25519
signatures. openssl asks for the key's passphrase once, whatever is signed.

Usage: sign.py KEY [DIST]
"""

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

PAYLOAD_TYPE = "application/vnd.in-toto+json"
LINE = re.compile(r"([0-9a-f]{64})  (spiderpool-ipam-[\w.+-]+)\n")  # as in SHA256SUMS
ENCRYPTED = re.compile(rb"BEGIN ENCRYPTED PRIVATE KEY|Proc-Type: 4,ENCRYPTED")


def openssl(*arguments: str | Path, message: bytes | None = None, keep: int | None = None) -> tuple[int, bytes]:
    """Run openssl; return its status and what it printed. What it asks goes to the terminal."""
    done = subprocess.run(  # noqa: S603
        ["openssl", *arguments],  # noqa: S607
        input=message,
        check=False,
        capture_output=True,
        pass_fds=[keep] if keep is not None else [],
    )
    return done.returncode, done.stdout


def unlock(path: Path) -> bytes:
    """Return the private key in a file, without its passphrase, or end with what is wrong with it."""
    if not shutil.which("openssl"):
        sys.exit("openssl is missing, which makes the signatures: apt-get install openssl")
    try:
        text = path.read_bytes()
    except OSError as error:
        sys.exit(f"the key {path} cannot be read: {error.strerror}")
    status, key = openssl("pkey", "-in", path)
    if status and b"PUBLIC KEY" in text:
        sys.exit(f"{path} is a public key, which only verifies: sign with the private key that it belongs to")
    if status and ENCRYPTED.search(text):
        sys.exit(f"{path} is still locked: that was not its passphrase")
    if status:
        sys.exit(f"{path} holds no private key that openssl can read: CONTRIBUTING.md says how to make one")
    about = openssl("pkey", "-noout", "-text_pub", message=key)[1].decode()
    if "ASN1 OID: prime256v1" not in about:
        kind = about.partition("\n")[0].strip(" :")
        sys.exit(
            f"{path} is a key of another kind ({kind}): what verifies a release expects one on the curve P-256."
            " CONTRIBUTING.md says how to make one"
        )
    return key


def sign(message: bytes, key: bytes) -> bytes:
    """Return the signature of a message."""
    with os.fdopen(os.memfd_create("key"), "wb", buffering=0) as file:  # without its passphrase, it must be on no disk
        file.write(key)
        number = file.fileno()
        status, signature = openssl("dgst", "-sha256", "-sign", f"/dev/fd/{number}", message=message, keep=number)
    if status:
        sys.exit("openssl has read the key and yet does not sign with it")
    return signature


def envelope(payload: bytes, key: bytes) -> dict[str, Any]:
    """Return a payload with its signature (https://github.com/secure-systems-lab/dsse/blob/master/protocol.md)."""
    signed = b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)
    return {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"sig": base64.b64encode(sign(signed, key)).decode()}],
    }


def digest_of(path: Path) -> str:
    """Return a file's checksum, or nothing if there is no such file."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def read_release(dist: Path) -> tuple[bytes, Path]:
    """Return the list of checksums and the path of the provenance, or end if a file is not as the list says."""
    if not (dist / "SHA256SUMS").is_file():
        sys.exit(f"{dist} has no SHA256SUMS, so there is nothing to sign: `make release` makes all of it")
    sums = (dist / "SHA256SUMS").read_bytes()
    text = sums.decode(errors="replace")
    digests = {name: digest for digest, name in LINE.findall(text)}
    provenances = [name for name in digests if name.endswith(".provenance.json")]
    if LINE.sub("", text) or len(provenances) != 1:
        sys.exit(f"nothing is signed, because {dist}/SHA256SUMS is not as `make release` has written it: get it again")
    wrong = [name for name, digest in digests.items() if digest_of(dist / name) != digest]
    if wrong:
        sys.exit(f"nothing is signed, because SHA256SUMS does not tell of these files in {dist}: {', '.join(wrong)}")
    return sums, dist / provenances[0]


def main(path: Path, dist: Path | None) -> None:
    """Try the key, then write both signatures."""
    key = unlock(path)
    sign(b"", key)
    if dist:
        sums, provenance = read_release(dist)
        signature, signed = sign(sums, key), json.dumps(envelope(provenance.read_bytes(), key)) + "\n"
        (dist / "SHA256SUMS.sig").write_bytes(signature)
        (dist / provenance.name.replace(".provenance.json", ".intoto.jsonl")).write_text(signed)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
