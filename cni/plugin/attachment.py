"""What a call is about: one interface of one container, and how agents and pending releases name it. Pure."""

from cni import defaults
from cni.plugin.http1 import quoted

_FILE_NAME_LENGTH = 200  # characters; the kernel's NAME_MAX is 255, suffix included


class Attachment:
    """One interface of one container, with what the runtime said about its pod. What is unknown is an empty text."""

    __slots__ = ("container_id", "ifname", "netns", "pod_name", "pod_namespace", "pod_uid", "requested_ip")

    def __init__(self, container_id: str, ifname: str, netns: str, cni_args: dict[str, str]) -> None:
        self.container_id = container_id
        self.ifname = ifname
        self.netns = netns
        self.pod_namespace = cni_args.get("K8S_POD_NAMESPACE", "")
        self.pod_name = cni_args.get("K8S_POD_NAME", "")
        self.pod_uid = cni_args.get("K8S_POD_UID", "")
        self.requested_ip = cni_args.get("IP", "")

    def identity(self, network: str) -> dict[str, str]:
        """Return the members of a request's body that name the attachment to any agent.

        A real agent goes by the pod's name; the embedded one needs the network as well.
        """
        return {
            "containerID": self.container_id,
            "ifName": self.ifname,
            "podNamespace": self.pod_namespace,
            "podName": self.pod_name,
            "podUID": self.pod_uid,
            "network": network,
        }

    def pending_path(self, network: str) -> str:
        """Return the path of the file in which the attachment's pending release is kept (pending.py).

        All containers of a pod share one file, as they share one allocation of the embedded agent: an ADD learns by one
        look whether a release of the pod's earlier containers is pending. Two long names may be cut to the same one;
        then they share a file too, and each line in it says whose it is.
        """
        name = f"{network}~{self.pod_uid or self.container_id}~{self.ifname}"
        return f"{defaults.PENDING_FOLDER}/{quoted(name)[:_FILE_NAME_LENGTH]}.release"
