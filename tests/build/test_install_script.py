"""install.sh of the frozen tree, run on a folder that stands for a node."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import requirements
from tests.installer.sample_conflists import SWAPPED
from tests.installer.sample_node import COPY, Node
from tests.requirements import ROOT
from tests.waiting import SLACK

UNIT = "etc/systemd/system/spiderpool-ipam-watch.service"
# `make test` tries Debian's own; with the others, the same takes three times as long.
SHELLS = (
    pytest.param(["dash"], id="dash"),
    pytest.param(["busybox", "sh"], id="busybox", marks=pytest.mark.slow),
    pytest.param(["bash", "--posix"], id="bash", marks=pytest.mark.slow),
)
SCRIPTS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "build").glob("*.sh"))
# What doctor says before an installation, which has a test of its own.
FINDINGS = re.compile(r"(?ms)^spiderpool-ipam doctor --pre --node-only says of this node:\n.*?^\d[^\n]*\n")
# The programs that the script calls. (`command -v` and `printf` are the shell's own.)
PROGRAMS = ("cat", "find", "mkdir", "mv", "readlink", "rm", "sed", "uname", "wc")


def run(
    node: Node, *options: str, tree: Path | None = None, shell: list[str] | None = None, path: str | None = None
) -> "Done":
    script = (tree or requirements.need_frozen("install.sh").parent) / "install.sh"
    command = [*(shell or ["sh"]), str(script), *options, "--host-root", str(node.root)]
    command[0] = requirements.need_program(command[0])
    environ = {"PATH": "/usr/bin:/bin" if path is None else path}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60 + SLACK, cwd="/")
    return Done(done.args, done.returncode, done.stdout, FINDINGS.sub("", done.stderr))


Done = subprocess.CompletedProcess[str]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Make a copy of the release that may be damaged."""
    tree = requirements.need_frozen("install.sh").parent
    return shutil.copytree(tree, tmp_path / "a folder/spiderpool-ipam", symlinks=True)


def programs(folder: Path, **instead: str) -> str:
    """Make a folder for PATH with the programs that the script calls, some of them replaced by scripts."""
    folder.mkdir()
    for name in PROGRAMS:
        (folder / name).symlink_to(requirements.need_program(name))
    for name, script in instead.items():
        (folder / name).unlink(missing_ok=True)
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return str(folder)


@pytest.mark.parametrize("shell", SHELLS)
def test_it_installs_with_the_options_given_in_every_shell(shell: list[str], node: Node) -> None:
    options = ["--wait-agent=0", "--as", COPY, "--set", 'default_ipv4_ippool=["a b", "c$d"]', "--json"]
    done = run(node, *options, shell=shell)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith('{"binDir": "/opt/cni/bin"')
    assert node.ipam(node.copy) == {"type": "spiderpool", "default_ipv4_ippool": ["a b", "c$d"]}
    assert node.answers()


@pytest.mark.parametrize("shell", SHELLS)
def test_it_tells_what_does_not_hold_before_the_installation_and_goes_on(shell: list[str], node: Node) -> None:
    (node.root / "var/run/spidernet").mkdir(parents=True)
    (node.root / "opt/x y").mkdir()
    script = requirements.need_frozen("install.sh")
    options = ["--wait-agent=0", "--json", "--cni-bin-dir", "/opt/x y", f"--host-root={node.root}"]
    done = subprocess.run([*shell, script, *options], capture_output=True, text=True, timeout=60 + SLACK, cwd="/")
    assert (done.returncode, json.loads(done.stdout)["binDir"]) == (0, "/opt/x y")
    (said,) = FINDINGS.findall(done.stderr)
    assert "node-agent" in said
    assert "/opt/x y/portmap: the chain names the plugin portmap, and there is no such file" in said
    assert FINDINGS.sub("", done.stderr) == ""


def test_its_exit_status_is_that_of_the_program(node: Node) -> None:
    assert run(node, "--no-such-option").returncode == 2
    assert run(node, "--plugin-type=flannel", "--wait-agent=0").returncode == 1
    assert not node.plugin.exists()


def test_an_option_without_its_value_is_wrong_usage() -> None:
    script = requirements.need_frozen("install.sh")
    done = subprocess.run(["sh", script, "--as"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "install.sh: --as needs a value; see --help\n")


@pytest.mark.parametrize("machine", ["aarch64", "x86_64", "riscv64"])
def test_another_architecture_is_refused_before_anything_is_done(
    machine: str, node: Node, tree: Path, tmp_path: Path
) -> None:
    mends = {"aarch64": "-linux-arm64.tar.gz", "x86_64": "-linux-amd64.tar.gz"}
    own = {"ld-linux-x86-64.so.2": ("x86_64", "amd64"), "ld-linux-aarch64.so.1": ("aarch64", "arm64")}
    (loader,) = (tree / "_internal").glob("ld-linux-*")
    its_machine, arch = own[loader.name]
    path = programs(tmp_path / "programs", uname=f"echo {machine}")
    done = run(node, "--wait-agent=0", tree=tree, path=path)
    if machine == its_machine:
        assert "sha256sum is missing" in done.stderr
    else:
        assert f"these files are for {arch}, and this machine is {machine}: " in done.stderr
        assert mends.get(machine, "releases are for x86_64 (amd64) and aarch64 (arm64)") in done.stderr
    assert (done.returncode, done.stderr.count("\n"), node.plugin.exists()) == (1, 1, False)


def append(file: Path) -> None:
    with file.open("ab") as stream:
        stream.write(b"x")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda tree: append(tree / "_internal/spiderpool-ipam.bin"), "_internal/spiderpool-ipam.bin: FAILED"),
        (lambda tree: (tree / "spiderpool").unlink(), "spiderpool: FAILED open or read"),
        (lambda tree: next(tree.glob("_internal/plugin/libpython*")).unlink(), "_internal/plugin/libpython"),
        (lambda tree: (tree / "SHA256SUMS").unlink(), "SHA256SUMS is missing"),
        (lambda tree: (tree / "SHA256SUMS").write_text(""), "SHA256SUMS: no "),
        (lambda tree: (tree / "_internal/old.pyc").touch(), "holds files that are not of this release"),
        (lambda tree: (tree / "SHA256SUMS").write_bytes((tree / "SHA256SUMS").read_bytes()[:-150]), "unpack"),
    ],
    ids=["damaged", "missing", "a link missing", "no-sums", "empty-sums", "left-over", "cut-sums"],
)
@pytest.mark.parametrize("shell", SHELLS[:2])
def test_a_damaged_release_is_not_installed(
    damage: Callable[[Path], object], words: str, shell: list[str], node: Node, tree: Path
) -> None:
    damage(tree)
    done = run(node, "--wait-agent=0", tree=tree, shell=shell)
    assert words.replace("FAILED open or read", "FAILED") in done.stderr
    assert (done.returncode, done.stderr.count("\n"), node.plugin.exists()) == (1, 1, False)


def test_the_sums_cover_every_file_of_the_release(tree: Path) -> None:
    named = {line.split("  ", 1)[1] for line in (tree / "SHA256SUMS").read_text().splitlines()}
    there = {str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file()}
    assert there - named == {"SHA256SUMS"}
    assert named <= there


def test_a_dry_run_leaves_the_node_as_it_is(node: Node) -> None:
    before = sorted(node.root.rglob("*"))
    done = run(node, "--dry-run", "--systemd")
    assert (done.returncode, done.stderr) == (0, "")
    assert '"type": "spiderpool"' in done.stdout
    assert sorted(node.root.rglob("*")) == before


@pytest.mark.parametrize("shell", SHELLS)
def test_the_unit_runs_what_was_installed_and_can_be_removed(shell: list[str], node: Node) -> None:
    name = '/usr/ci "x" 100%'
    (node.root / name[1:]).mkdir(parents=True)
    done = run(node, "--wait-agent=0", "--systemd", "--cni-bin-dir", name, shell=shell)
    assert done.returncode == 0, done.stderr
    # It does not do that itself for a folder.
    assert "systemctl enable --now spiderpool-ipam-watch.service" in done.stderr
    lines = unit_of(node)
    program = name.replace("%", "%%") + "/.spiderpool/current/spiderpool-ipam"
    quoted = program.replace('"', r"\"")
    folder = name.replace("%", "%%").replace('"', r"\"")
    assert f'ExecStart="{quoted}" watch "--cni-bin-dir={folder}"' in lines
    assert f"ConditionPathExists={program}" in lines
    assert (node.root / name[1:] / ".spiderpool/current/spiderpool-ipam").is_file()
    assert 'ReadWritePaths="-/etc/cni/" "-/usr/" "-/var/lib/spiderpool-ipam/"' in lines

    done = run(node, "--uninstall", f"--cni-bin-dir={name}", shell=shell)
    assert (done.returncode, (node.root / UNIT).exists()) == (0, False)
    assert node.ipam() == {"type": "calico-ipam"}


def unit_of(node: Node) -> list[str]:
    return (node.root / UNIT).read_text().splitlines()


@pytest.mark.parametrize("shell", SHELLS)
def test_the_unit_may_write_to_what_links_lead_to(shell: list[str], node: Node) -> None:
    """net.d and the folder of plugins lead elsewhere; the conflist leads on, and there is a link to a neighbour."""
    for path, target, link in (
        (node.conflist, "a/calico", "/a/calico"),
        (node.conf, "run/my $netï/net.d", "/run/my $netï/net.d"),
        (node.bin, "data/1234/bin", "/data/current/bin"),
    ):
        (node.root / target).parent.mkdir(parents=True)
        path.rename(node.root / target)
        path.symlink_to(link)
    (node.root / "data/current").symlink_to("1234")
    done = run(node, "--wait-agent=0", "--systemd", shell=shell)
    assert done.returncode == 0, done.stderr
    folders = ["/etc/cni", "/run/my $netï", "/opt/cni", "/data/1234", "/data", "/a", "/var/lib/spiderpool-ipam"]
    assert "ReadWritePaths=" + " ".join(f'"-{folder}/"' for folder in folders) in unit_of(node)
    assert "ExecStartPre=-+/bin/mkdir -p -- " + " ".join(f'"{folder}"' for folder in folders).replace(
        "$", "$$"
    ) in unit_of(node)


def test_an_upgrade_writes_the_unit_anew_where_there_is_one(node: Node) -> None:
    assert run(node, "--wait-agent=0").returncode == 0
    assert not (node.root / UNIT).exists()
    (node.root / UNIT).parent.mkdir(parents=True)
    (node.root / UNIT).write_text("[Service]\nExecStart=of an older release\n")
    assert run(node, "--wait-agent=0").returncode == 0
    assert 'ReadWritePaths="-/etc/cni/" "-/opt/cni/" "-/var/lib/spiderpool-ipam/"' in unit_of(node)


def test_the_unit_stays_until_the_node_is_given_back(node: Node) -> None:
    assert run(node, "--wait-agent=0", "--systemd").returncode == 0
    assert run(node, "--uninstall", "--no-such-option").returncode == 2
    assert (node.root / UNIT).exists()
    node.conflist.write_text("{")
    assert run(node, "--uninstall").returncode == 1
    assert (node.root / UNIT).exists()
    node.write(SWAPPED)
    node.cache_result("x", {"plugins": [{"type": "calico", "ipam": {"type": "spiderpool"}}]})
    assert run(node, "--uninstall").returncode == 3
    assert not (node.root / UNIT).exists()


@pytest.fixture
def linked(node: Node, tmp_path: Path) -> Path:
    """Make the node's folder of units a link to a folder that is not the node's here; return that folder."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (node.root / "etc/systemd").mkdir(parents=True)
    (node.root / "etc/systemd/system").symlink_to(elsewhere)
    return elsewhere


def test_a_link_to_what_is_not_the_nodes_is_refused_before_anything_is_done(node: Node, linked: Path) -> None:
    done = run(node, "--wait-agent=0", "--systemd")
    assert done.returncode == 1
    assert f"etc/systemd/system is a symbolic link to {linked}" in done.stderr
    assert not node.plugin.exists()
    assert not list(linked.iterdir())


def test_such_a_link_matters_only_where_a_unit_is_written_or_removed(node: Node, linked: Path) -> None:
    for options in (["--dry-run", "--systemd"], ["--wait-agent=0"], ["--uninstall"]):
        done = run(node, *options)
        assert (done.returncode, done.stderr) == (0, "")
    assert node.ipam() == {"type": "calico-ipam"}


def test_a_unit_behind_such_a_link_is_neither_written_nor_removed(node: Node, linked: Path) -> None:
    assert run(node, "--wait-agent=0").returncode == 0
    unit = linked / Path(UNIT).name
    unit.write_text("this machine's own")
    for options in (["--wait-agent=0"], ["--uninstall"]):
        done = run(node, *options)
        assert (done.returncode, "is a symbolic link to" in done.stderr) == (1, True)
    assert unit.read_text() == "this machine's own"
    assert node.ipam() == {"type": "spiderpool"}


def test_with_json_stdout_holds_one_object(node: Node) -> None:
    for options in (["--wait-agent=0", "--systemd"], ["--uninstall"]):
        assert isinstance(json.loads(run(node, *options, "--json").stdout), dict)


def test_it_finds_its_release_through_a_link(node: Node, tree: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/spiderpool-install").symlink_to("../link")
    (tmp_path / "link").symlink_to(tree / "install.sh")
    script = str(tmp_path / "bin/spiderpool-install")
    done = subprocess.run(["sh", script, "--wait-agent=0", "--host-root", node.root], capture_output=True, text=True)
    assert (done.returncode, FINDINGS.sub("", done.stderr)) == (0, "")
    assert node.answers()


def test_a_copy_of_the_script_alone_is_not_taken_for_another_architecture(node: Node, tmp_path: Path) -> None:
    shutil.copy(requirements.need_frozen("install.sh"), tmp_path / "install.sh")
    done = run(node, tree=tmp_path)
    assert (done.returncode, done.stderr) == (
        1,
        f"install.sh: {tmp_path} has no release in it: run install.sh in the folder that the tarball was unpacked to\n",
    )


@pytest.mark.parametrize("path", ["", "/no/such"])
@pytest.mark.parametrize("shell", SHELLS[::2])
def test_a_path_without_programs_is_named_as_that(path: str, shell: list[str], node: Node) -> None:
    done = run(node, "--wait-agent=0", shell=shell, path=path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert f"cat is not found in PATH, which is '{path}'" in done.stderr


def test_the_installed_copy_takes_itself_away(node: Node) -> None:
    assert run(node, "--wait-agent=0", "--systemd").returncode == 0
    current = node.bin / ".spiderpool/current"
    done = run(node, "--uninstall", tree=current)
    assert (done.returncode, done.stderr) == (0, f"removed {node.root / UNIT}\n")
    assert node.ipam() == {"type": "calico-ipam"}
    assert [path.name for path in node.bin.iterdir()] == ["calico"]
    assert not (node.root / UNIT).exists()


def test_systemd_has_nothing_to_say_against_the_unit(node: Node) -> None:
    analyze = requirements.need_program("systemd-analyze")
    assert run(node, "--wait-agent=0", "--systemd").returncode == 0
    done = subprocess.run([analyze, "verify", node.root / UNIT], capture_output=True, text=True)
    # The program lies below the folder that stands for the node's root.
    said = [line for line in done.stderr.splitlines() if "spiderpool" in line and "is not executable" not in line]
    assert not said


@pytest.mark.parametrize(
    "script", [*SCRIPTS, ".ci/run", ".ci/install_go", "tests/build/booted.sh", "tests/portability/place.sh"]
)
def test_shellcheck_finds_nothing(script: str) -> None:
    shellcheck = requirements.need_program("shellcheck")
    command = [shellcheck, "--shell=bash"] if script == ".ci/install_go" else [shellcheck]
    done = subprocess.run([*command, "--severity=warning", ROOT / script], capture_output=True, text=True)
    assert not done.stdout
