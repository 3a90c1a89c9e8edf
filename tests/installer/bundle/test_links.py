"""The names in the folder of plugins: what had them is kept durably, whatever the file system can do."""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from cni.installer.bundle import links
from cni.installer.bundle import plugin_links as bundle
from cni.installer.bundle.plugin_links import BundleError
from tests import requirements
from tests.installer.sample_conflists import CALICO, SWAPPED
from tests.installer.sample_node import Node
from tests.installer.test_failures import run_with_mounts

INSTALL = """
import sys
from pathlib import Path
from tests.installer.sample_node import Node
from tests.installer.test_failures import run_with_mounts
Node(Path(sys.argv[1])).install()
"""
FOREIGN = "#!/bin/sh\necho another\n"
LABEL = "user.label"


@pytest.fixture
def node(tmp_path: Path) -> Node:
    made = Node(tmp_path / "node")
    made.plugin.write_text(FOREIGN)
    made.plugin.chmod(0o750)
    return made


def install_traced(node: Node, *options: str) -> list[str]:
    """Install as a process; return its calls on files."""
    log = node.root / "log"
    strace = [requirements.need_program("strace"), "-qq", "-y", "-o", str(log), *options]
    command = [*strace, sys.executable, "-c", INSTALL, str(node.root)]
    done = subprocess.run(command, cwd=requirements.ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return log.read_text().splitlines()


def position(lines: list[str], pattern: str) -> int:
    (found,) = [number for number, line in enumerate(lines) if re.match(pattern, line)]
    return found


def assert_kept(node: Node, lines: list[str], kept: str) -> None:
    """See that the other plugin and its new name are on disk before ours takes its name, and then ours."""
    home = re.escape(f"{node.bin}/.spiderpool")
    takes = position(lines, rf'rename\w*\(.*"{home}/\.new-spiderpool".*"{re.escape(str(node.plugin))}"')
    content = position(lines, rf"fsync\(\d+<{re.escape(str(node.plugin))}>\)")
    named = position(lines, kept)
    folders = [number for number, line in enumerate(lines) if re.match(rf"fsync\(\d+<{home}>\)", line)]
    assert content < named < takes
    assert any(named < number < takes for number in folders)
    assert re.match(rf"fsync\(\d+<{re.escape(str(node.bin))}>\)", lines[takes + 1])


def test_what_had_the_name_is_on_disk_under_another_before_ours_takes_it(node: Node) -> None:
    lines = install_traced(node, "--trace=fsync,link,linkat,rename")
    assert_kept(node, lines, r"link\w*\(.*/foreign\"")


@pytest.mark.parametrize("error", ["EPERM", "EMLINK", "EOPNOTSUPP", "ENOSYS", "EXDEV"])
def test_without_hard_links_it_is_copied_with_all_that_it_has(error: str, node: Node) -> None:
    os.setxattr(node.plugin, LABEL, b"x")
    before = node.plugin.stat()
    lines = install_traced(node, "--trace=fsync,link,linkat,rename", f"--inject=link,linkat:error={error}")
    assert_kept(node, lines, r"rename\(.*/\.new-foreign\".*/foreign\"")
    copied = position(lines, r"fsync\(\d+<.*/\.new-foreign>\)")
    assert copied < position(lines, r"rename\(.*/\.new-foreign\"")
    node.uninstall()
    after = node.plugin.stat()
    assert (node.plugin.read_text(), os.getxattr(node.plugin, LABEL)) == (FOREIGN, b"x")
    assert (after.st_mode, after.st_mtime_ns) == (before.st_mode, before.st_mtime_ns)
    assert sorted(path.name for path in node.bin.iterdir()) == ["calico", "spiderpool"]


def test_without_hard_links_a_link_is_kept_as_a_link(node: Node) -> None:
    node.plugin.unlink()
    node.plugin.symlink_to("calico")
    install_traced(node, "--trace=link,linkat", "--inject=link,linkat:error=EPERM")
    node.uninstall()
    assert os.readlink(node.plugin) == "calico"  # noqa: PTH115


def test_a_folder_that_has_the_name_is_told(node: Node) -> None:
    node.plugin.unlink()
    node.plugin.mkdir()
    with pytest.raises(BundleError, match="opt/cni/bin/spiderpool is a folder: move it away"):
        node.install()
    assert not (node.bin / ".spiderpool").exists()


@pytest.mark.parametrize("target", ["../disk", "/nowhere", "{root}/disk"])
def test_behind_a_link_nothing_is_installed_and_so_nothing_is_left(target: str, node: Node) -> None:
    (node.bin.parent / "disk").mkdir()
    (node.bin / ".spiderpool").symlink_to(target.format(root=node.bin.parent))
    with pytest.raises(BundleError, match=r"\.spiderpool is a symbolic link: put the folder that it leads to in its"):
        node.install()
    assert (list((node.bin.parent / "disk").iterdir()), node.conflist.read_text()) == ([], CALICO)
    (node.bin / ".spiderpool").unlink()
    node.install()
    node.uninstall()
    assert sorted(path.name for path in node.bin.iterdir()) == ["calico", "spiderpool"]


def test_a_file_system_that_is_mounted_there_is_told(node: Node) -> None:
    (node.bin / ".spiderpool").mkdir()
    mount = "mount -t tmpfs tmpfs opt/cni/bin/.spiderpool"
    done = run_with_mounts(node, mount, "install", "--wait-agent", "0")
    assert done.returncode == 1
    assert "/opt/cni/bin/.spiderpool is on another file system: unmount it" in done.stderr
    assert (node.plugin.read_text(), node.conflist.read_text()) == (FOREIGN, CALICO)


def test_what_was_installed_behind_a_link_is_uninstalled_and_the_rest_is_named(node: Node) -> None:
    """As release 0.1.0 did; an administrator may also have moved the folder to another disk."""
    node.install()
    home = node.bin / ".spiderpool"
    disk = home.rename(node.bin.parent / "disk")
    home.symlink_to(disk)
    assert node.answers()
    assert ".spiderpool is a symbolic link" in bundle.fault(node.bin)
    assert any(f"it was a symbolic link to {disk}, which is left" in line for line in node.uninstall().done)
    assert (node.plugin.read_text(), os.path.lexists(home)) == (FOREIGN, False)
    assert node.conflist.read_text() == CALICO
    assert "current" in {path.name for path in disk.iterdir()}


def test_what_was_kept_on_another_file_system_comes_back(tmp_path: Path) -> None:
    other = Path("/dev/shm") / f"spiderpool-test-{os.getpid()}"
    if not other.parent.is_dir() or other.parent.stat().st_dev == tmp_path.stat().st_dev:
        requirements.missing("/dev/shm is no other file system than that of the tests")
    other.write_text(FOREIGN)
    try:
        assert links.give_back(other, tmp_path / "spiderpool")
    finally:
        other.unlink(missing_ok=True)
    assert (tmp_path / "spiderpool").read_text() == FOREIGN
    assert os.listdir(tmp_path) == ["spiderpool"]  # noqa: PTH208


@pytest.mark.parametrize("name", ["current", "foreign"])
def test_a_folder_in_the_place_of_a_link_or_file_of_ours_stops_neither_command(name: str, node: Node) -> None:
    node.plugin.unlink()
    node.install()
    path = node.bin / ".spiderpool" / name
    path.unlink(missing_ok=True)
    path.mkdir()
    node.install()
    assert node.answers()
    node.plugin.unlink()
    node.plugin.write_text(FOREIGN)
    node.install()
    assert node.answers()
    (node.bin / ".spiderpool/foreign").unlink()
    (node.bin / ".spiderpool/current").unlink()
    (node.bin / ".spiderpool/current").mkdir()
    node.uninstall()
    assert [path.name for path in node.bin.iterdir()] == ["calico"]


def test_with_umask_077_everybody_reads_what_everybody_read_before(tmp_path: Path) -> None:
    modes = []
    for umask in ("022", "077"):
        node = Node(tmp_path / umask)
        (node.root / "var/lib").mkdir(parents=True)
        command = ["sh", "-c", f'umask {umask}; exec "$@"', "sh", sys.executable, "-c", INSTALL, str(node.root)]
        assert subprocess.run(command, cwd=requirements.ROOT).returncode == 0
        assert node.conflist.read_text() == SWAPPED
        made = [node.bin / ".spiderpool", node.folders.state]
        made += [path for folder in made for path in folder.rglob("*") if not path.is_symlink()]
        modes.append({path.relative_to(node.root): oct(stat.S_IMODE(path.stat().st_mode)) for path in made})
    assert modes[0] == modes[1]
    assert len(modes[0]) > 8


def test_a_folder_that_an_earlier_run_made_unreadable_is_opened(node: Node) -> None:
    node.install()
    (node.bin / ".spiderpool").chmod(0o700)
    node.install()
    assert stat.S_IMODE((node.bin / ".spiderpool").stat().st_mode) == 0o755
