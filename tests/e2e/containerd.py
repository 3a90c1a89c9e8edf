"""Debian's containerd in a machine of the test's own, used over CRI as the kubelet uses it."""

import hashlib
import io
import json
import platform
import sys
import tarfile
from functools import cache
from pathlib import Path
from typing import Any

from tests import requirements
from tests.e2e.machine import Machine
from tests.waiting import wait_for

_PAUSE = "localhost/pause:e2e"
_SNAPSHOTTERS = ("aufs", "btrfs", "devmapper", "overlayfs", "zfs")
# restrict_oom_score_adj: CRI gives a pause container -998, which this machine may forbid.
# native: the folder may be on an overlay file system, on which overlayfs does not work.
_CONFIGURATION = """
version = 2
disabled_plugins = [{disabled}]
[plugins."io.containerd.internal.v1.opt"]
path = "/var/lib/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
restrict_oom_score_adj = true
disable_apparmor = true
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{bin}"
conf_dir = "{conf}"
"""


@cache
def _cri() -> tuple[Any, Any]:
    """Return the messages and the services of cri.proto, compiled. (grpc looks for the file along sys.path.)"""
    requirements.need_package("grpc_tools")
    sys.path.insert(0, str(Path(__file__).parent))
    try:
        return requirements.need_package("grpc").protos_and_services("cri.proto")  # type: ignore[no-any-return]
    finally:
        sys.path.pop(0)


class Containerd:
    """One containerd. Its folders are the default ones in the machine, but for those of conflists and plugins."""

    calls_del_again = True
    adds_at_once = 5

    def __init__(self, machine: Machine, folder: Path, bin_folder: Path, conf_folder: Path) -> None:
        for program in ("containerd", "ctr", "runc"):
            requirements.need_program(program)
        self._grpc = requirements.need_package("grpc")
        self._cri, self._services = _cri()
        self._machine, self._log = machine, folder / "containerd.log"
        self._socket = machine.run_folder / "containerd/containerd.sock"
        self._configuration = folder / "containerd.toml"
        disabled = ", ".join(f'"io.containerd.snapshotter.v1.{name}"' for name in _SNAPSHOTTERS)
        self._configuration.write_text(
            _CONFIGURATION.format(disabled=disabled, pause=_PAUSE, bin=bin_folder, conf=conf_folder)
        )
        self._begun: list[Any] = []
        self.start()
        archive = folder / "pause.tar"
        archive.write_bytes(_pause_image())
        done = machine.run("ctr", "--namespace=k8s.io", "images", "import", "--snapshotter=native", archive)
        assert done.returncode == 0, done.stdout + done.stderr
        image = self._cri.ImageStatusRequest(image=self._cri.ImageSpec(image=_PAUSE))
        wait_for(lambda: bool(self._images.ImageStatus(image).image.id), "the pause image")

    def start(self) -> None:
        """Start it, and return when it is ready for pods."""
        self._process = self._machine.start("containerd", "--config", self._configuration, log=self._log)
        self._channel = self._grpc.insecure_channel(f"unix:{self._socket}", [("grpc.max_reconnect_backoff_ms", 200)])
        self._grpc.channel_ready_future(self._channel).result(timeout=30)
        self._runtime = self._services.RuntimeServiceStub(self._channel)
        self._images = self._services.ImageServiceStub(self._channel)
        wait_for(self._ready, "containerd to be ready")

    def _ready(self) -> bool:
        try:
            return all(one.status for one in self._runtime.Status(self._cri.StatusRequest()).status.conditions)
        except self._grpc.RpcError:
            return False  # CRI starts to answer a moment after the socket is there

    def kill(self) -> None:
        """Kill it by SIGKILL; its shims, and the plugins that it has started, keep running."""
        self._machine.kill("containerd")
        self._process.wait()
        self._channel.close()

    def close(self) -> None:
        """Kill it; what it has started ends with the machine."""
        self.kill()

    def ipam_type(self) -> str:
        """Return the ipam.type of the conflist that it has loaded. (The loopback's conflist comes before it.)"""
        loaded = json.loads(self._runtime.Status(self._cri.StatusRequest(verbose=True)).info["cniconfig"])
        return str(loaded["Networks"][-1]["Config"]["Plugins"][0]["Network"]["ipam"]["type"])

    def run_pod(self, name: str) -> str:
        """Make a sandbox; return its ID."""
        return str(self._runtime.RunPodSandbox(self._pod(name), timeout=60).pod_sandbox_id)

    def begin_pod(self, name: str) -> None:
        """Begin to make a sandbox, and do not wait for it."""
        # A future that nobody holds would be cancelled.
        self._begun.append(self._runtime.RunPodSandbox.future(self._pod(name)))

    def _pod(self, name: str) -> Any:
        metadata = self._cri.PodSandboxMetadata(name=name, uid=f"uid-{name}", namespace="default")
        linux = self._cri.LinuxPodSandboxConfig(cgroup_parent=f"/{self._machine.cgroup}")
        return self._cri.RunPodSandboxRequest(config=self._cri.PodSandboxConfig(metadata=metadata, linux=linux))

    def addresses(self, pod: str) -> set[str]:
        """Return a sandbox's addresses."""
        network = self._runtime.PodSandboxStatus(self._cri.PodSandboxStatusRequest(pod_sandbox_id=pod)).status.network
        return {network.ip, *(more.ip for more in network.additional_ips)}

    def stop_pod(self, pod: str) -> str:
        """Stop a sandbox; return why that failed, or nothing."""
        return self._done(self._runtime.StopPodSandbox, self._cri.StopPodSandboxRequest(pod_sandbox_id=pod))

    def remove_pod(self, pod: str) -> str:
        """Remove a sandbox; return why that failed, or nothing."""
        return self._done(self._runtime.RemovePodSandbox, self._cri.RemovePodSandboxRequest(pod_sandbox_id=pod))

    def _done(self, call: Any, request: Any) -> str:
        try:
            call(request, timeout=60)
        except self._grpc.RpcError as error:
            return str(error.details())
        return ""

    def clean_up(self) -> None:
        """Stop and remove every sandbox that it knows, as the kubelet does with those that no pod has."""
        for pod in self._runtime.ListPodSandbox(self._cri.ListPodSandboxRequest()).items:
            assert (self.stop_pod(pod.id), self.remove_pod(pod.id)) == ("", "")


def _pause_image() -> bytes:
    """Make an image archive with one program that sleeps, because no registry can be reached."""
    layer = _tar({"sleep": Path(requirements.need_program("busybox")).read_bytes()})
    image = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()],
        "os": "linux",
        "config": {"Entrypoint": ["/sleep", "infinity"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "image.json", "RepoTags": [_PAUSE], "Layers": ["layer.tar"]}]
    documents = {"manifest.json": json.dumps(manifest).encode(), "image.json": json.dumps(image).encode()}
    return _tar({**documents, "layer.tar": layer})


def _tar(files: dict[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
    return archive.getvalue()
