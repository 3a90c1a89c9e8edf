"""The paths of the node on the command line: whose folder a relative one is taken from, and what is not there."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import requirements
from tests.installer.sample_conflists import CALICO
from tests.installer.sample_node import Node
from tests.plugin.pending_releases import write
from tests.waiting import SLACK, wait_for

DRY = ["install", "--dry-run", "--json"]


def run(folder: Path, *arguments: str, root: Path | None = None) -> "subprocess.CompletedProcess[str]":
    """Run the program from this folder."""
    command = [sys.executable, "-m", "cni.cli", *arguments, *(["--host-root", str(root)] if root else [])]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=120)


def changed(done: "subprocess.CompletedProcess[str]") -> str:
    """Return which file a dry run would change."""
    assert done.returncode == 0, done.stderr
    diff: str = json.loads(done.stdout)["diff"]
    return diff.splitlines()[0].removeprefix("--- ")


@pytest.fixture
def here(node: Node) -> Path:
    """A caller's folder with a folder of configurations in it."""
    folder = node.root / "here"
    (folder / "n/net.d").mkdir(parents=True)
    (folder / "n/net.d/10-calico.conflist").write_text(CALICO)
    return folder


@pytest.mark.parametrize("name", ["n/net.d", "./n/net.d", "../here/n/net.d", "n/net.d/"])
def test_a_relative_folder_is_the_callers(here: Path, name: str) -> None:
    for option in ([f"--cni-conf-dir={name}"], ["--cni-conf-dir", name]):
        report = json.loads(run(here, *DRY, *option, "--cni-bin-dir", "../opt/cni/bin").stdout)
        assert (report["confDir"], report["binDir"]) == (f"{here}/n/net.d", f"{here.parent}/opt/cni/bin")
    assert changed(run(here / "n/net.d", *DRY, "--cni-conf-dir", ".")) == f"{here}/n/net.d/10-calico.conflist"


def test_a_link_in_a_relative_name_stays_in_it(here: Path) -> None:
    (here / "current").symlink_to("n")
    report = json.loads(run(here, *DRY, "--cni-conf-dir", "current/net.d").stdout)
    assert report["confDir"] == f"{here}/current/net.d"


def test_a_bare_name_is_a_file_of_the_folder_and_a_path_is_the_callers(here: Path) -> None:
    folder, name = here / "n/net.d", "10-calico.conflist"
    (folder / "20-calico.conflist").write_text(CALICO)
    (here / name).write_text(CALICO)
    for conf, expected in ((name, folder / name), (f"./{name}", here / name), (f"n/net.d/{name}", folder / name)):
        assert changed(run(here, *DRY, "--cni-conf-dir", "n/net.d", "--conf", conf)) == str(expected)


RELATIVE = [
    (DRY, "--cni-conf-dir", "etc/cni/net.d"),
    (DRY, "--cni-bin-dir", "opt/cni/bin"),
    (DRY, "--conf", "./10-calico.conflist"),
    (["status"], "--cni-conf-dir", "."),
    (["uninstall"], "--cni-conf-dir", "etc/cni/net.d"),
    (["uninstall"], "--cni-bin-dir", "opt/cni/bin"),
    (["watch"], "--cni-conf-dir", "etc/cni/net.d"),
    (["pending"], "--drop", "run/x.sock"),
]


@pytest.mark.parametrize(("command", "option", "value"), RELATIVE)
@pytest.mark.parametrize("is_first", [True, False], ids=["root first", "root last"])
def test_below_a_root_a_relative_path_is_refused(
    node: Node, command: list[str], option: str, value: str, is_first: bool
) -> None:
    root = ["--host-root", str(node.root)]
    arguments = [*root, option, value] if is_first else [option, value, *root]
    done = run(node.root, *command, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"'{option}': '{value}' is relative, but --host-root is given" in done.stderr


def test_below_a_root_a_bare_name_and_an_absolute_path_are_the_nodes(node: Node) -> None:
    for conf in ("10-calico.conflist", "/etc/cni/net.d/10-calico.conflist", "//etc/cni/net.d/10-calico.conflist"):
        options = ["--conf", conf, "--cni-conf-dir", "//etc/cni/net.d"]
        assert changed(run(node.root, *DRY, *options, root=node.root)) == "/etc/cni/net.d/10-calico.conflist"


def test_a_relative_root_is_the_callers(node: Node) -> None:
    done = run(node.root.parent, *DRY, "--host-root", node.root.name)
    assert changed(done) == "/etc/cni/net.d/10-calico.conflist"


def test_the_readiness_file_is_the_callers_also_below_a_root(node: Node) -> None:
    (node.root / "ready").touch()
    assert run(node.root, "status", "--readiness-file", "ready", root=node.root).returncode == 0
    assert run(node.bin, "status", "--readiness-file", "ready", root=node.root).returncode == 1


def test_the_socket_of_releases_to_drop_may_be_relative(tmp_path: Path) -> None:
    """In a mount namespace of its own, because without --host-root the releases of this machine are meant."""
    requirements.need_root()
    unshare = requirements.need_program("unshare")
    write(tmp_path / "state", tmp_path / "run/x.sock", "u1")
    script = 'mkdir -p x/spiderpool-ipam && mv state x/spiderpool-ipam/pending && mount --bind x /var/lib && "$@"'
    command = [unshare, "--mount", "sh", "-c", script, "sh", sys.executable, "-m", "cni.cli", "pending"]
    done = subprocess.run([*command, "--drop", "run/x.sock"], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"dropped 1 release of the agent on {tmp_path}/run/x.sock\nno release is pending\n"


MISSING = [
    ("--cni-conf-dir", "/ect/cni/net.d", "neither this folder nor /ect/cni is there: check the name"),
    ("--cni-bin-dir", "/otp/cni/bin", "neither this folder nor /otp/cni is there: check the name"),
    ("--cni-conf-dir", "/etc/cni/net.d/10-calico.conflist", "it is no folder"),
    ("--cni-bin-dir", "/opt/cni/bin/calico", "it is no folder"),
]


@pytest.mark.parametrize(("option", "value", "words"), MISSING)
def test_a_folder_that_cannot_be_meant_is_told_at_once(node: Node, option: str, value: str, words: str) -> None:
    started = time.monotonic()
    done = node.run("install", option, value, "--wait-agent", "10m")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"Error: {option} {value}: {words}\n")
    assert time.monotonic() - started < 5 + SLACK
    assert sorted(path.name for path in node.bin.iterdir()) == ["calico"]


def test_a_folder_that_may_come_is_waited_for_by_name(node: Node) -> None:
    command = node.command("install", "--cni-conf-dir", "/etc/cni/net.b", "--wait-agent", "60s")
    text = "/etc/cni/net.b is not there yet, but /etc/cni is: check the name if it does not come"
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        assert process.stderr.readline() == f"waiting up to 60 s for Calico's conflist: {text}\n"
        process.terminate()
    done = node.run("install", "--cni-conf-dir", "/etc/cni/net.b", "--wait-agent", "1s")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, f"Error: {text}")


def test_a_folder_that_comes_while_it_is_waited_for_is_installed_to(node: Node) -> None:
    node.conf.rename(node.root / "kept")
    command = node.command("install", "--cni-conf-dir", "/etc/cni/net.d", "--wait-agent", "60s")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        process.stderr.readline()
        (node.root / "kept").rename(node.conf)
        wait_for(node.plugin.exists, "the plugin, which is installed once the conflist is there")
        process.terminate()
