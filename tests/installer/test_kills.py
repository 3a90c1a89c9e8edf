"""SIGKILL before every state-changing system call of install and uninstall; and what must be durable is so in time.

strace kills; the installer under test has one thread and starts one child (the self-test), which is not traced.
"""

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cni.installer import bundle
from cni.installer.conf_folder import SUFFIXES
from tests import requirements
from tests.installer.node import COPY, PLUGIN, Node, make_tree
from tests.installer.test_conflist import CALICO
from tests.installer.test_swap import SWAPPED

CALLS = (
    *("rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "unlink", "unlinkat", "rmdir"),
    *("mkdir", "mkdirat", "write", "pwrite64", "sendfile", "copy_file_range", "fsync", "fdatasync", "ftruncate"),
    *("chmod", "fchmod", "fchmodat", "chown", "fchown", "fchownat", "setxattr", "fsetxattr", "utimensat"),
)
DRIVER = """
import sys
from pathlib import Path
from tests.installer.node import Node
node = Node(Path(sys.argv[1]))
node.tree = Path(sys.argv[2])
node.uninstall() if sys.argv[3] == "uninstall" else node.install(*sys.argv[4:])
"""
FOREIGN = PLUGIN.format(mark="another's")


class Scenario:
    """A node before the run that is killed, and what may be found after it."""

    def __init__(self, way: str, prepare: Callable[[Node], None], *, uninstalls: bool = False) -> None:
        self.as_name = way
        self.uninstalls = uninstalls
        self._prepare = prepare

    def make(self, root: Path) -> Node:
        node = Node(root)
        node.plugin.write_text(FOREIGN)
        node.plugin.chmod(0o755)
        self._prepare(node)
        return node

    def command(self, node: Node) -> list[str]:
        verb = ["uninstall"] if self.uninstalls else ["install", self.as_name]
        return [sys.executable, "-c", DRIVER, str(node.root), str(node.tree), *verb]

    def complete(self, node: Node) -> None:
        """Run it again, to its end, and see that it has come to what was wanted."""
        node.uninstall() if self.uninstalls else node.install(self.as_name)
        left = {path.name: path.read_text() for path in node.conf.iterdir() if path.suffix in SUFFIXES}
        if self.uninstalls:
            assert left == {"10-calico.conflist": CALICO}
            assert node.plugin.read_text() == FOREIGN
            assert sorted(path.name for path in node.bin.iterdir()) == ["calico", "spiderpool"]
            assert [path.name for path in node.conf.iterdir()] == ["10-calico.conflist"]
        else:
            copy = {self.as_name: SWAPPED} if self.as_name else {}
            assert left == {"10-calico.conflist": CALICO if copy else SWAPPED, **copy}
            assert bundle.state(node.bin) == bundle.name_of(node.tree, "1.0.0")
            assert (node.bin / ".spiderpool/foreign").read_text() == FOREIGN
            again = node.install(self.as_name)
            assert (again.bundle.changed, again.why) == (False, "")
            node.uninstall()
            assert node.conflist.read_text() == CALICO  # nothing was forgotten on the way


def nothing(_: Node) -> None:
    pass


def reverted(node: Node) -> None:
    node.install()
    node.write()


def older_versions(node: Node) -> None:
    for mark in ("a", "b"):
        node.tree = make_tree(node.root / mark, mark)
        node.install()
    node.tree = make_tree(node.root / "c", "c")


def installed(as_name: str) -> Callable[[Node], None]:
    def prepare(node: Node) -> None:
        node.install(as_name)

    return prepare


SCENARIOS = {
    "install in place": Scenario("", nothing),
    "install a copy": Scenario(COPY, nothing),
    "swap again what calico wrote": Scenario("", reverted),
    "upgrade": Scenario("", older_versions),
    "from in place to a copy": Scenario(COPY, installed("")),
    "from a copy to in place": Scenario("", installed(COPY)),
    "uninstall in place": Scenario("", installed(""), uninstalls=True),
    "uninstall a copy": Scenario("", installed(COPY), uninstalls=True),
}


def assert_safe(node: Node) -> None:
    """See that a runtime can go on with what a killed run has left."""
    assert node.conflist.read_text() in (CALICO, SWAPPED)
    assert not node.copy.exists() or node.copy.read_text() == SWAPPED
    loadable = sorted(path for path in node.conf.iterdir() if path.suffix in SUFFIXES)
    assert {path.name for path in loadable} <= {"10-calico.conflist", COPY}
    assert node.answers()  # ours or another's, but never a name that leads nowhere
    if node.ipam(loadable[0])["type"] == "spiderpool":
        assert bundle.state(node.bin)


def traced(command: list[str], log: Path, *options: str) -> subprocess.CompletedProcess[str]:
    strace = [requirements.need_program("strace"), "-qq", "-o", str(log), *options]
    return subprocess.run([*strace, *command], cwd=requirements.ROOT, capture_output=True, text=True, timeout=120)


def calls_of(command: list[str], log: Path) -> Counter[str]:
    """Return how often the command makes each state-changing call."""
    done = traced(command, log, f"--trace={','.join(CALLS)}")
    assert done.returncode == 0, done.stderr
    return Counter(re.findall(r"^(\w+)\(", log.read_text(), re.MULTILINE))


@pytest.mark.parametrize("name", SCENARIOS)
def test_killed_anywhere_the_node_is_safe_and_the_next_run_completes(
    name: str, tmp_path: Path, show: Callable[[str], None]
) -> None:
    scenario = SCENARIOS[name]
    counts = calls_of(scenario.command(scenario.make(tmp_path / "count")), tmp_path / "log")
    assert counts["rename"] >= 1
    assert counts["fsync"] >= 1
    for call, count in counts.items():
        for when in range(1, count + 1):
            node = scenario.make(tmp_path / f"{call}-{when}")
            kill = f"--inject={call}:signal=SIGKILL:when={when}"
            done = traced(scenario.command(node), tmp_path / "log", f"--trace={call}", kill)
            assert done.returncode == -9, f"{call} {when} was not hit: {done.stderr}"
            assert_safe(node)
            scenario.complete(node)
    show(f"{name}: killed before each of {counts.total()} calls of {len(counts)} kinds")


def spread(count: int, points: int) -> Iterator[int]:
    """Yield the first, the last, and what lies evenly between."""
    yield from sorted({1 + round(step * (count - 1) / (points - 1)) for step in range(points)})


def test_the_frozen_program_can_be_killed_as_well(tmp_path: Path, show: Callable[[str], None]) -> None:
    """It brings 260 files; so not every call, but some of each kind."""

    def command(node: Node) -> list[str]:
        return node.command("install", "--wait-agent", "0")

    counts = calls_of(command(Node(tmp_path / "count")), tmp_path / "log")
    runs = [(call, when) for call, count in counts.items() for when in spread(count, 5)]
    for call, when in runs:
        node = Node(tmp_path / f"{call}-{when}")
        kill = f"--inject={call}:signal=SIGKILL:when={when}"
        assert traced(command(node), tmp_path / "log", f"--trace={call}", kill).returncode == -9, (call, when)
        assert node.conflist.read_text() in (CALICO, SWAPPED)
        assert node.conflist.read_text() == CALICO or node.answers()
        assert node.run("install", "--wait-agent", "0").returncode == 0
        assert node.conflist.read_text() == SWAPPED
        assert node.answers()
    show(f"frozen install: killed before {len(runs)} of {counts.total()} calls of {len(counts)} kinds")


@pytest.mark.parametrize("as_name", ["", COPY])
def test_the_conflist_is_on_disk_before_it_is_in_force_and_then_its_name(as_name: str, tmp_path: Path) -> None:
    node = Node(tmp_path / "node")
    name = as_name or "10-calico.conflist"
    scenario = Scenario(as_name, nothing)
    log = tmp_path / "log"
    assert traced(scenario.command(node), log, "-y", "--trace=fsync,rename").returncode == 0
    lines = log.read_text().splitlines()
    temporary = f".spiderpool-ipam.{name}.new"

    def only(sign: str) -> int:
        (found,) = [number for number, line in enumerate(lines) if sign in line]
        return found

    renamed = only(f'/{name}")')
    assert f'{temporary}"' in lines[renamed]
    assert only(f"{temporary}>)") < renamed
    assert re.match(rf"fsync\(\d+<{node.conf}>\)", lines[renamed + 1])
    # And the record of what it replaces before all that.
    assert only('/.spiderpool-ipam.swap")') < only(f"{temporary}>)")
    assert only('/.spiderpool/current")') < renamed


def test_a_release_is_on_disk_before_its_folder_has_its_name(tmp_path: Path) -> None:
    node = Node(tmp_path / "node")
    log = tmp_path / "log"
    assert traced(Scenario("", nothing).command(node), log, "-y", "--trace=fsync,rename").returncode == 0
    lines = log.read_text().splitlines()
    (renamed,) = [number for number, line in enumerate(lines) if line.startswith("rename") and "/.new-1.0.0-" in line]
    synced = {match[1] for line in lines[:renamed] if (match := re.match(r"fsync\(\d+<.*/\.new-[^/]*(.*)>\)", line))}
    assert synced == {"", "/_internal", "/_internal/data", "/spiderpool", "/spiderpool-ipam"}
    assert re.match(rf"fsync\(\d+<{node.bin}/.spiderpool>\)", lines[renamed + 1])
