"""SIGKILL before every state-changing system call of install and uninstall; and what must be durable is so in time.

strace kills; the installer under test has one thread and starts one child (the self-test), which is not traced.
"""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cni.installer.bundle import plugin_links as bundle
from cni.installer.conflist.folder import SUFFIXES
from tests import requirements
from tests.installer.sample_conflists import CALICO, GO, GO_IPAM, NEWER, SWAPPED
from tests.installer.sample_node import COPY, PLUGIN, Node, make_tree

CALLS = (
    *("rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "unlink", "unlinkat", "rmdir"),
    *("mkdir", "mkdirat", "write", "pwrite64", "sendfile", "copy_file_range", "fsync", "fdatasync", "ftruncate"),
    *("chmod", "fchmod", "fchmodat", "chown", "fchown", "fchownat", "setxattr", "fsetxattr", "utimensat"),
)
DRIVER = """
import json, sys
from pathlib import Path
from cni.installer import uninstall
from cni.installer.node import atomic_file
from tests.installer.sample_node import Node
uninstall.SETTLE = 0
atomic_file.LOOK_AGAIN = 0.01
node = Node(Path(sys.argv[1]))
node.tree = Path(sys.argv[2])
node.uninstall() if sys.argv[3] == "uninstall" else node.install(**json.loads(sys.argv[3]))
"""
FOREIGN = PLUGIN.format(mark="another's")
LABEL = "user.label"
NEWER_SWAPPED = SWAPPED.replace('"mtu": 0', '"mtu": 1450')


class Scenario:
    """A node before the run that is killed, and what may be found after it."""

    def __init__(
        self, prepare: Callable[[Node], None], texts: tuple[str, str] = (CALICO, SWAPPED), **asked: Any
    ) -> None:
        self.before, self.after = texts  # the conflist without us, and with
        self.asked = asked
        self._prepare = prepare

    def make(self, root: Path) -> Node:
        node = Node(root)
        os.setxattr(node.conflist, LABEL, b"x")
        node.plugin.write_text(FOREIGN)
        node.plugin.chmod(0o755)
        self._prepare(node)
        return node

    def _versions(self, node: Node) -> set[str]:
        """Return the release wanted and, of an upgrade, the one before."""
        trees = [node.tree, *([node.root / "b"] if (node.root / "b").exists() else [])]
        return {bundle.name_of(tree, "1.0.0") for tree in trees}

    def command(self, node: Node) -> list[str]:
        return [sys.executable, "-c", DRIVER, str(node.root), str(node.tree), json.dumps(self.asked)]

    def complete(self, node: Node) -> None:
        """Run it again, to its end, and see that it has come to what was wanted."""
        node.install(**self.asked)
        copy = self.asked.get("as_name", "")
        held = {copy: self.after} if copy else {}
        assert left(node) == {"10-calico.conflist": self.before if copy else self.after, **held}
        assert bundle.current_bundle(node.bin) == bundle.name_of(node.tree, "1.0.0")
        assert (node.bin / ".spiderpool/foreign").read_text() == FOREIGN
        assert set(bundle.bundles(node.bin)) >= self._versions(node)
        again = node.install(**self.asked)
        assert (again.bundle_changed, again.message) == (False, "")
        assert os.getxattr(node.conflist, LABEL) == b"x"
        node.uninstall()
        assert node.conflist.read_text() == self.before  # nothing was forgotten on the way


class Uninstalling(Scenario):
    """The same, of uninstall."""

    def command(self, node: Node) -> list[str]:
        return [*super().command(node)[:-1], "uninstall"]

    def complete(self, node: Node) -> None:
        node.uninstall()
        assert left(node) == {"10-calico.conflist": self.before}
        assert node.plugin.read_text() == FOREIGN
        assert sorted(path.name for path in node.bin.iterdir()) == ["calico", "spiderpool"]
        assert [path.name for path in node.conf.iterdir()] == ["10-calico.conflist"]
        assert os.getxattr(node.conflist, LABEL) == b"x"
        assert not node.folders.state.exists()


class Staying(Uninstalling):
    """The same, where the plugin has to stay."""

    def complete(self, node: Node) -> None:
        assert node.uninstall().plugin_stays
        assert left(node) == {"10-calico.conflist": self.before}
        assert bundle.current_bundle(node.bin)
        (node.root / "var/lib/cni/results/one").unlink()
        node.uninstall()
        assert [path.name for path in node.bin.iterdir()] == ["calico"]


def left(node: Node) -> dict[str, str]:
    """Return what runtimes load."""
    return {path.name: path.read_text() for path in node.conf.iterdir() if path.suffix in SUFFIXES}


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


def with_a_pod(node: Node) -> None:
    node.plugin.unlink()
    node.install()
    node.cache_result("one", json.loads(SWAPPED))


def with_a_changed_source(node: Node) -> None:
    node.install(COPY)
    node.write(NEWER)


def with_the_go_plugins_settings(node: Node) -> None:
    node.write(GO)


def with_other_settings(node: Node) -> None:
    node.write(GO)
    node.install(settings={"log_level": "error"})


def go_with(level: str) -> str:
    ours = f'{{"type": "spiderpool", "default_ipv4_ippool": ["blue"], "log_level": "{level}"}}'
    return GO.replace(GO_IPAM, ours)


GO_SWAPPED = (GO, go_with("debug"))
DEBUG = {"log_level": "debug"}
SCENARIOS = {
    "install in place": Scenario(nothing),
    "install a copy": Scenario(nothing, as_name=COPY),
    "swap again what calico wrote": Scenario(reverted),
    "upgrade": Scenario(older_versions),
    "from in place to a copy": Scenario(installed(""), as_name=COPY),
    "from a copy to in place": Scenario(installed(COPY)),
    "copy a source that has changed": Scenario(with_a_changed_source, (NEWER, NEWER_SWAPPED), as_name=COPY),
    "install where the Go plugin was": Scenario(with_the_go_plugins_settings, GO_SWAPPED, settings=DEBUG),
    "change the settings there": Scenario(with_other_settings, GO_SWAPPED, settings=DEBUG),
    "uninstall in place": Uninstalling(installed("")),
    "uninstall a copy": Uninstalling(installed(COPY)),
    "uninstall where the Go plugin was": Uninstalling(with_other_settings, GO_SWAPPED),
    "uninstall while a pod is there": Staying(with_a_pod),
}
QUICK = {"uninstall while a pod is there"}  # the others have more calls to kill at


def assert_safe(node: Node, scenario: Scenario) -> None:
    """See that a runtime can go on with what a killed run has left."""
    files = left(node)
    assert files["10-calico.conflist"] in (scenario.before, scenario.after, go_with("error"))
    assert files.get(COPY, SWAPPED) in (SWAPPED, scenario.after)
    assert set(files) <= {"10-calico.conflist", COPY}
    assert node.answers()  # ours or another's, but never a name that leads nowhere
    if scenario.before == CALICO and node.ipam(node.conf / min(files))["type"] == "spiderpool":
        assert bundle.current_bundle(node.bin)


def traced(command: list[str], log: Path, *options: str) -> subprocess.CompletedProcess[str]:
    strace = [requirements.need_program("strace"), "-qq", "-o", str(log), *options]
    return subprocess.run([*strace, *command], cwd=requirements.ROOT, capture_output=True, text=True, timeout=120)


def calls_of(command: list[str], log: Path) -> Counter[str]:
    """Return how often the command makes each state-changing call."""
    done = traced(command, log, f"--trace={','.join(CALLS)}")
    assert done.returncode == 0, done.stderr
    return Counter(re.findall(r"^(\w+)\(", log.read_text(), re.MULTILINE))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name not in QUICK)) for name in SCENARIOS]
)
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
            assert_safe(node, scenario)
            scenario.complete(node)
    show(f"{name}: killed before each of {counts.total()} calls of {len(counts)} kinds")


def spread(count: int, points: int) -> Iterator[int]:
    """Yield the first, the last, and what lies evenly between."""
    yield from sorted({1 + round(step * (count - 1) / (points - 1)) for step in range(points)})


@pytest.mark.slow
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
    scenario = Scenario(nothing, as_name=as_name)
    log = tmp_path / "log"
    assert traced(scenario.command(node), log, "-y", "--trace=fsync,rename,renameat2").returncode == 0
    lines = log.read_text().splitlines()
    temporary = f".spiderpool-ipam.{name}.new"

    def every(sign: str) -> list[int]:
        return [number for number, line in enumerate(lines) if sign in line]

    def only(sign: str) -> int:
        (found,) = every(sign)
        return found

    renamed = only(f'/{name}", RENAME_{"NOREPLACE" if as_name else "EXCHANGE"})')
    assert f"/.spiderpool-ipam.{name}." in lines[renamed]
    assert only(f"{temporary}>)") < renamed
    assert re.match(rf"fsync\(\d+<{node.conf}>\)", lines[renamed + 1])
    # The record of what it replaces before all that, and that it is done after it.
    before, after = every('/.spiderpool-ipam.swap")')
    assert before < only(f"{temporary}>)") < renamed < after
    assert only('/.spiderpool/current")') < renamed


def test_a_release_is_on_disk_before_its_folder_has_its_name(tmp_path: Path) -> None:
    node = Node(tmp_path / "node")
    log = tmp_path / "log"
    assert traced(Scenario(nothing).command(node), log, "-y", "--trace=fsync,rename").returncode == 0
    lines = log.read_text().splitlines()
    (renamed,) = [number for number, line in enumerate(lines) if line.startswith("rename") and "/.new-1.0.0-" in line]
    synced = {match[1] for line in lines[:renamed] if (match := re.match(r"fsync\(\d+<.*/\.new-[^/]*(.*)>\)", line))}
    assert synced == {"", "/_internal", "/_internal/data", "/SHA256SUMS", "/spiderpool", "/spiderpool-ipam"}
    assert re.match(rf"fsync\(\d+<{node.bin}/.spiderpool>\)", lines[renamed + 1])
