"""TLS to an API server as kubectl has it. Side effect: reads the certificates that the system trusts.

Those are looked for as Go does, in the places of all Linux systems, and in files of any name: OpenSSL looks in the
place of the system that it was built on, and in a folder for names that c_rehash has made.
"""

import os
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any

from cni import input_file
from cni.contracts.kubeconfig import ExecStatus
from cni.doctor import caller
from cni.doctor.collect.kubeconfig import Access, AccessError

# As Go's crypto/x509: the first file that can be read, and all folders.
_FILES = (
    "/etc/ssl/certs/ca-certificates.crt:/etc/pki/tls/certs/ca-bundle.crt:/etc/ssl/ca-bundle.pem:/etc/pki/tls/cacert.pem"
    ":/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem:/etc/ssl/cert.pem"
)
_FOLDERS = "/etc/ssl/certs:/etc/pki/tls/certs"


class _Context(ssl.SSLContext):
    """A context that may know the server's name better than the URL: httpx cannot be told it behind a proxy."""

    server_name = ""

    def wrap_socket(self, *arguments: Any, **named: Any) -> ssl.SSLSocket:
        """Begin TLS."""
        return super().wrap_socket(*arguments, **self._with_name(named))

    def wrap_bio(self, *arguments: Any, **named: Any) -> ssl.SSLObject:
        """Begin TLS within the TLS to a proxy."""
        return super().wrap_bio(*arguments, **self._with_name(named))

    def _with_name(self, named: dict[str, Any]) -> dict[str, Any]:
        return named | ({"server_hostname": self.server_name} if self.server_name else {})


def tls_context(access: Access, said: ExecStatus | None) -> ssl.SSLContext:
    """Return what TLS is to check and to show. AccessError."""
    certificate = (said or {}).get("clientCertificateData") or access.certificate
    key = (said or {}).get("clientKeyData") or access.key
    context = _Context(ssl.PROTOCOL_TLS_CLIENT)
    context.server_name = access.tls_server_name
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # Go needs no root: an authority between is trusted as such
    try:
        if access.is_insecure:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        elif access.ca:
            context.load_verify_locations(cadata=access.ca)
        else:
            _trust_what_the_system_trusts(context)
        if certificate and key:
            _load(context, f"{certificate}\n{key}\n".encode())
    except (ssl.SSLError, ValueError) as error:
        raise AccessError(f"a certificate or key of the kubeconfig: {error}") from None
    return context


def _trust_what_the_system_trusts(context: ssl.SSLContext) -> None:
    callers = caller.environment()
    file = callers.get("SSL_CERT_FILE")
    for path in map(Path, [file] if file else _FILES.split(":")):
        with suppress(OSError):
            _trust(context, input_file.read(path))
            break
    for folder in map(Path, (callers.get("SSL_CERT_DIR") or _FOLDERS).split(":")):
        with suppress(OSError):
            for path in folder.iterdir():
                with suppress(OSError):
                    if not _is_another_name(path):
                        _trust(context, input_file.read(path))


def _is_another_name(path: Path) -> bool:
    """Return whether this is a link to another file of the folder, as c_rehash makes them."""
    return path.is_symlink() and "/" not in str(path.readlink())


def _trust(context: ssl.SSLContext, pem: bytes) -> None:
    with suppress(ssl.SSLError, ValueError):  # there is no certificate in it
        context.load_verify_locations(cadata=pem.decode("ascii", "ignore"))


def _load(context: ssl.SSLContext, pem: bytes) -> None:
    """Load a certificate and its key out of memory: ssl takes files only, and a key has no business on a disk."""
    descriptor = os.memfd_create("client")
    try:
        os.write(descriptor, pem)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
