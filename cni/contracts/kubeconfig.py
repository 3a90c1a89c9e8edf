"""A kubeconfig, and what its exec plugins say, as far as they are read here.

kubernetes/client-go tools/clientcmd/api/v1 and pkg/apis/clientauthentication. Unknown keys are ignored.
"""

from typing import NotRequired

from pydantic import TypeAdapter
from typing_extensions import TypedDict


class Extension(TypedDict):
    """What an exec plugin is to be told of a cluster."""

    name: str
    extension: NotRequired[object]


Cluster = TypedDict(
    "Cluster",
    {
        "server": str,
        "certificate-authority": str,
        "certificate-authority-data": str,
        "insecure-skip-tls-verify": bool,
        "tls-server-name": str,
        "proxy-url": str,
        "extensions": list[Extension] | None,
    },
    total=False,
)


class ExecVariable(TypedDict):
    """A variable of an exec plugin's environment."""

    name: str
    value: str


class Exec(TypedDict):
    """A program that says who the user is."""

    apiVersion: str
    command: str
    args: NotRequired[list[str] | None]
    env: NotRequired[list[ExecVariable] | None]
    installHint: NotRequired[str]
    interactiveMode: NotRequired[str]
    provideClusterInfo: NotRequired[bool]


User = TypedDict(
    "User",
    {
        "client-certificate": str,
        "client-certificate-data": str,
        "client-key": str,
        "client-key-data": str,
        "token": str,
        "tokenFile": str,
        "username": str,
        "password": str,
        "as": str,
        "as-uid": str,
        "as-groups": list[str] | None,
        "as-user-extra": dict[str, list[str]] | None,
        "exec": Exec | None,
        "auth-provider": object,
    },
    total=False,
)


class Context(TypedDict):
    """Which cluster, as which user."""

    cluster: str
    user: NotRequired[str]


class NamedCluster(TypedDict):
    """A cluster by its name."""

    name: str
    cluster: Cluster | None


class NamedUser(TypedDict):
    """A user by its name."""

    name: str
    user: User | None


class NamedContext(TypedDict):
    """A context by its name."""

    name: str
    context: Context | None


Kubeconfig = TypedDict(
    "Kubeconfig",
    {
        "current-context": str | None,
        "clusters": list[NamedCluster] | None,
        "users": list[NamedUser] | None,
        "contexts": list[NamedContext] | None,
    },
    total=False,
)


class ExecStatus(TypedDict, total=False):
    """Who the user is."""

    expirationTimestamp: str
    token: str
    clientCertificateData: str
    clientKeyData: str


class ExecCredential(TypedDict):
    """What an exec plugin prints."""

    apiVersion: str
    kind: str
    status: ExecStatus


KUBECONFIG = TypeAdapter(Kubeconfig)
EXEC_CREDENTIAL = TypeAdapter(ExecCredential)
