"""A node with our watch and a mesh's installer on it, as real processes, and somebody who looks at it all the time."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from tests.installer.meshes import istio_cni, linkerd_cni
from tests.installer.meshes.looks import Look, Looks
from tests.installer.sample_node import Node
from tests.installer.test_watch import Watch
from tests.requirements import ROOT
from tests.waiting import SLACK, wait_for

WITHIN = 5.0  # seconds in which everything is as it is to be, after somebody else has written
QUIET = 6.0  # seconds in which nothing is to be written then
WRITES = 3  # of us and the mesh's installer together, after each write of somebody else


class Mesh(NamedTuple):
    """An installer that chains its plugin."""

    module: str
    options: tuple[str, ...]
    type: str

    @property
    def is_owned(self) -> bool:
        return bool(self.options)


ISTIO = Mesh("istio_cni", (), istio_cni.TYPE)
OWNED = Mesh("istio_cni", ("--owned",), istio_cni.TYPE)
TYPES_ONLY = Mesh("istio_cni", ("--owned", "--types-only"), istio_cni.TYPE)
LINKERD = Mesh("linkerd_cni", (), linkerd_cni.TYPE)
MESHES = {"istio": ISTIO, "owned": OWNED, "types-only": TYPES_ONLY, "linkerd": LINKERD}


class SourceNode(Node):
    """Its operator's program runs from source."""

    def command(self, *arguments: str, frozen: bool = False) -> list[str]:
        return super().command(*arguments, frozen=frozen)


class Scene:
    """Ends all that it has started."""

    def __init__(self, root: Path) -> None:
        self.node = SourceNode(root)
        (self.node.bin / "portmap").touch()
        self.looks = Looks(self.node.conf, self.node.bin)
        self.watch: Watch | None = None
        self._started: list[subprocess.Popen[Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.looks.stop()
        for process in self._started:
            process.kill()
            process.wait()

    def start(self, module: str, *arguments: str) -> subprocess.Popen[Any]:
        """Run a program of this folder."""
        command = [sys.executable, "-m", f"tests.installer.meshes.{module}", *arguments]
        self._started.append(subprocess.Popen(command, cwd=ROOT))
        return self._started[-1]

    def start_mesh(self, mesh: Mesh) -> subprocess.Popen[Any]:
        return self.start(mesh.module, str(self.node.conf), str(self.node.bin), *mesh.options)

    def install(self, as_name: str = "") -> None:
        """Install, and start watch."""
        self.node.install(as_name)
        self.watch = Watch(self.node)
        self._started.append(self.watch.process)
        wait_for(self.watch.ready.exists, "watch", 10)
        time.sleep(0.7)  # the check after arming

    def restart_calico(self) -> None:
        """Have calico-node write its conflist."""
        assert self.start("calico_node", str(self.node.conflist)).wait(10 + SLACK) == 0

    def uninstall(self) -> subprocess.CompletedProcess[str]:
        return self.node.run("uninstall", frozen=False)

    def settle(self, act: Callable[[], object], ready: Callable[[], bool], quiet: float = QUIET, own: int = 0) -> float:
        """Act and wait until all is well; then look that it stays so, and that few writes were needed.

        `own` are the writes that are part of the act. Returns when the act began.
        """
        began = time.monotonic()
        act()
        acted = time.monotonic()
        wait_for(ready, f"all to be well; {self.looks.look()}; {self.watch.said if self.watch else ''}", WITHIN)
        time.sleep(1)  # the last of the writes are seen
        calm = time.monotonic()
        written = self.looks.written_since(began)
        assert len(written) <= own + WRITES, (written, self.looks.since(began))
        time.sleep(quiet)
        assert not self.looks.written_since(calm), self.looks.written_since(calm)
        assert ready(), self.looks.look()
        return acted

    def is_whole(self, mesh: Mesh | None) -> bool:
        """Whether pods get our address and the mesh's plugin now, and watch says so."""
        look = self.looks.look()
        is_ready = self.watch is None or self.watch.ready.exists()
        return is_ready and is_ours(look) and (mesh is None or look.types.count(mesh.type) == 1)

    def configuration(self, name: str) -> Any:
        return json.loads((self.node.conf / name).read_bytes())


def is_ours(look: Look) -> bool:
    return look.ipam == "spiderpool"
