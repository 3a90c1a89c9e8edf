"""Which API server to ask, and as whom: as kubectl finds it out. Side effect: reads files.

The order is --kubeconfig, the files of KUBECONFIG, ~/.kube/config, and a pod's service account. In several files, the
first to name a cluster, a user, a context or the current context wins.
"""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cni import input_file
from cni.contracts.kubeconfig import KUBECONFIG, Cluster, Exec, Kubeconfig, User
from cni.doctor.collect import proxies
from cni.installer.errors import InstallerError, first_fault
from cni.installer.node.os_errors import one_line

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class AccessError(InstallerError):
    """Why the API cannot be asked."""


@dataclass(frozen=True)
class Access:
    """An API server, and who asks it. What is not said is ""."""

    server: str
    ca: str = ""  # PEM; "" for the certificates that the system trusts
    is_insecure: bool = False
    tls_server_name: str = ""
    proxy: str = ""
    certificate: str = ""  # the client's, and its key, as PEM
    key: str = ""
    token: str = ""
    token_file: Path | None = None  # read for each request, because it is renewed
    username: str = ""
    password: str = ""
    impersonation: tuple[tuple[str, str], ...] = ()  # headers that name the user who is asked for in place of the own
    exec: Exec | None = None
    folder: Path = Path()  # from where exec's relative command is looked for
    cluster: Mapping[str, Any] | None = None  # what exec is told of the cluster

    @property
    def name(self) -> str:
        """The server and the proxy that leads to it, without what may be secret in their URLs."""
        server = _without_secrets(self.server)
        return f"{server} by the proxy {_without_secrets(self.proxy)}" if self.proxy else server


def _without_secrets(url: str) -> str:
    """Return a URL without user, password and query. The password may have characters that it should not have."""
    return re.sub(r"^(\w+://)?(?:.*@)?([^?#]*).*", r"\1\2", url, flags=re.DOTALL)


def find(explicit: Path | None, context: str, environment: Mapping[str, str]) -> Access:
    """Return how to ask the API. AccessError."""
    access = _find(explicit, context, environment)
    # A proxy-url holds for every server, also where the variables would not.
    return replace(access, proxy=access.proxy or proxies.choose(access.server, environment))


def _find(explicit: Path | None, context: str, environment: Mapping[str, str]) -> Access:
    if explicit:
        paths = [explicit]
    elif named := environment.get("KUBECONFIG", ""):
        paths = [path for path in map(Path, filter(None, named.split(":"))) if path.exists()]
    else:
        default = Path(environment.get("HOME", "/"), ".kube/config")
        paths = [default] if default.exists() else []
    if paths:
        return _from_files(paths, context)
    if context:
        raise AccessError(f"there is no kubeconfig with a context {context!r}")
    return _from_service_account(environment)


def _from_files(paths: list[Path], context: str) -> Access:
    clusters: dict[str, tuple[Cluster, Path]] = {}
    users: dict[str, tuple[User, Path]] = {}
    contexts: dict[str, tuple[str, str]] = {}
    current = context
    for path in paths:
        config = _read(path)
        folder = path.absolute().parent
        for cluster in config.get("clusters") or []:
            clusters.setdefault(cluster["name"], (cluster["cluster"] or {}, folder))
        for user in config.get("users") or []:
            users.setdefault(user["name"], (user["user"] or {}, folder))
        for one in config.get("contexts") or []:
            if one["context"]:
                contexts.setdefault(one["name"], (one["context"]["cluster"], one["context"].get("user", "")))
        current = current or config.get("current-context") or ""
    names = ", ".join(map(str, paths))
    if current not in contexts:
        raise AccessError(f"{names}: there is no context {current!r}" if current else f"{names}: no current context")
    cluster_name, user_name = contexts[current]
    if cluster_name not in clusters:
        raise AccessError(f"{names}: there is no cluster {cluster_name!r}")
    return _with_user(_to_cluster(*clusters[cluster_name]), *users.get(user_name, ({}, Path())))


def _read(path: Path) -> Kubeconfig:
    import yaml
    from pydantic import ValidationError

    try:
        return KUBECONFIG.validate_python(yaml.safe_load(input_file.read(path)) or {})
    except OSError as error:
        raise AccessError(one_line(error)) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)  # the error's own text quotes the file, and so perhaps a token
        raise AccessError(f"{path}: not YAML{f' at line {mark.line + 1}' if mark else ''}") from None
    except ValidationError as error:
        raise AccessError(f"{path}: {first_fault(error)}") from None
    except Exception:  # of `!!bool x` it is a KeyError, of `!!timestamp x` an AttributeError
        raise AccessError(f"{path}: not YAML") from None


def _to_cluster(cluster: Cluster, folder: Path) -> Access:
    if not cluster.get("server"):
        raise AccessError("the kubeconfig's cluster has no server")
    ca = _pem(cluster.get("certificate-authority-data"), cluster.get("certificate-authority"), folder)
    told: dict[str, Any] = {key: cluster[key] for key in _TOLD if key in cluster}  # type: ignore[literal-required]
    if ca:
        told["certificate-authority-data"] = base64.b64encode(ca.encode()).decode()
    for extension in cluster.get("extensions") or []:
        if extension["name"] == "client.authentication.k8s.io/exec":
            told["config"] = extension.get("extension")
    return Access(
        server=cluster["server"].rstrip("/"),
        ca=ca,
        is_insecure=cluster.get("insecure-skip-tls-verify", False),
        tls_server_name=cluster.get("tls-server-name", ""),
        proxy=cluster.get("proxy-url", ""),
        cluster=told,
    )


_TOLD = ("server", "tls-server-name", "insecure-skip-tls-verify", "proxy-url")


def _with_user(access: Access, user: User, folder: Path) -> Access:
    if user.get("auth-provider"):
        raise AccessError("the kubeconfig's user has an auth-provider, which Kubernetes has dropped: use exec")
    file = user.get("tokenFile")
    return replace(
        access,
        certificate=_pem(user.get("client-certificate-data"), user.get("client-certificate"), folder),
        key=_pem(user.get("client-key-data"), user.get("client-key"), folder),
        token=user.get("token", ""),
        token_file=folder / file if file else None,
        username=user.get("username", ""),
        password=user.get("password", ""),
        impersonation=tuple(_impersonation(user)),
        exec=user.get("exec"),
        folder=folder,
    )


def _impersonation(user: User) -> Iterator[tuple[str, str]]:
    """Yield the headers that say as whom the user asks: kubernetes.io, "User impersonation". AccessError."""
    found = [("Impersonate-Uid", uid)] if (uid := user.get("as-uid")) else []
    found += [("Impersonate-Group", group) for group in user.get("as-groups") or []]
    for key, values in (user.get("as-user-extra") or {}).items():
        found += [(f"Impersonate-Extra-{quote(key, safe='')}", value) for value in values]
    if name := user.get("as"):
        yield from (("Impersonate-User", name), *found)
    elif found:
        raise AccessError("the kubeconfig's user has as-uid, as-groups or as-user-extra without `as`")


def _pem(data: str | None, file: str | None, folder: Path) -> str:
    """Return PEM that is given as base64 or in a file; data wins, as in client-go. AccessError."""
    try:
        if data:
            return base64.b64decode(data, validate=True).decode()
        return input_file.read(folder / file).decode() if file else ""
    except OSError as error:
        raise AccessError(one_line(error)) from None
    except (binascii.Error, UnicodeDecodeError):
        raise AccessError(f"{file or 'certificate data'} of the kubeconfig: not PEM in base64") from None


def _from_service_account(environment: Mapping[str, str]) -> Access:
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT", "443")
    if not host or not (SERVICE_ACCOUNT / "token").exists():
        raise AccessError("there is no kubeconfig: give one with --kubeconfig, or check the node only: --node-only")
    server = f"https://{f'[{host}]' if ':' in host else host}:{port}"
    return Access(server, ca=_pem(None, "ca.crt", SERVICE_ACCOUNT), token_file=SERVICE_ACCOUNT / "token")
