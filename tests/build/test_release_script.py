"""`make release` makes a release twice and compares: of a small project, where a stand-in builds the tarballs."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import requirements
from tests.build.releases import ARCHES, NAME, make_key
from tests.requirements import ROOT
from tests.waiting import SLACK, wait_for

# It stands for build/debian_root.py. `mark` is what the files hold: something that is the same everywhere, or is not.
# Meanwhile somebody commits, and changes the recipes.
BUILD = """\
import os, pathlib, subprocess, sys, time

sys.path.insert(0, {root!r})
from tests.build.releases import NAME, write_small_tarballs

arch, folder, project = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path({project!r})
assert sys.argv[3:] == ["env", "REQUIRE_IMAGE=1", "make", "build"]
assert "SOURCE_DATE_EPOCH" not in os.environ
git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org"]
status = subprocess.check_output([*git, "status", "--porcelain", "--ignored"], text=True)
with open({log!r}, "a") as log:
    log.write(f"{{arch}} of {{len(status.splitlines())}} files\\n")
subprocess.run([*git, "-C", project, "commit", "--quiet", "--allow-empty", "--message=meanwhile"], check=True)
for recipe in ("sign", "attest"):
    (project / f"build/{{recipe}}.py").write_text("raise SystemExit('a changed recipe was run')")
{extra}
write_small_tarballs(folder / "dist", {mark}, [arch])
(folder / "packages").write_text(f"gcc\\t1 of {{arch}}\\n")
tarball = f"{{NAME}}-linux-{{arch}}.tar.gz"
with open(folder / f"dist/{{tarball}}.sha256", "w") as sums:
    subprocess.run(["sha256sum", tarball], cwd=folder / "dist", stdout=sums, check=True)
"""
RECIPES = ("build/release.sh", "build/oci.py", "build/attest.py", "build/sign.py")


def git(folder: Path, *arguments: str) -> str:
    program = requirements.need_program("git")
    command = [program, "-c", "user.name=x", "-c", "user.email=x@example.org", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    project = tmp_path / "project"
    (project / "build").mkdir(parents=True)
    for name in (*RECIPES, "Makefile", "pyproject.toml", ".gitignore"):
        shutil.copy(ROOT / name, project / name)
    (project / "cni").mkdir()
    (project / "cni/__init__.py").touch()
    git(project, "init", "--quiet")
    write_build(project)
    return project


def write_build(project: Path, mark: str = "'the same'", extra: str = "") -> None:
    log = str(project.parent / "log")
    text = BUILD.format(root=str(ROOT), project=str(project), log=log, mark=mark, extra=extra)
    (project / "build/debian_root.py").write_text(text)
    git(project, "add", ".")
    git(project, "commit", "--quiet", "--message=x")


def command_of(project: Path, *options: str) -> tuple[list[str], dict[str, str]]:
    """Return the command that makes a release, and its environment."""
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    environ = {"PATH": path, "TMPDIR": str(project.parent)}
    return ["make", "--no-print-directory", "--directory", str(project), "release", *options], environ


def release(project: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command, environ = command_of(project, *options)
    return subprocess.run(command, env=environ, cwd="/", capture_output=True, text=True, timeout=120)


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def built(project: Path) -> list[str]:
    log = project.parent / "log"
    return log.read_text().splitlines() if log.exists() else []


def test_what_was_made_the_same_twice_is_signed_and_left_to_be_published(project: Path, tmp_path: Path) -> None:
    """Whatever lay in dist/ before, and whatever happens to the checkout meanwhile."""
    key, first = make_key(tmp_path), git(project, "rev-parse", "HEAD")
    (project / "dist").mkdir()
    for stale in (
        f"{NAME}-linux-amd64.packages",
        f"{NAME}.provenance.json",
        "spiderpool-ipam-0.0.1-linux-amd64.tar.gz",
    ):
        (project / "dist" / stale).write_text("stale")
    done = release(project, f"KEY={key}", "SOURCE_DATE_EPOCH=1")
    assert (done.returncode, done.stderr) == (0, "")
    names = {line.split("  ")[1] for line in (project / "dist/SHA256SUMS").read_text().splitlines()}
    made = {f"{NAME}-linux-{arch}.{ending}" for arch in ARCHES for ending in ("tar.gz", "packages")}
    assert {f"{NAME}-oci.tar", f"{NAME}.provenance.json", *made} < names
    beside = {f"{NAME}.intoto.jsonl", *(f"{NAME}-linux-{arch}.tar.gz.sha256" for arch in ARCHES)}
    assert {*left(project / "dist")} == {*names, *beside, "SHA256SUMS", "SHA256SUMS.sig"}
    public = ["openssl", "dgst", "-sha256", "-verify", str(key.with_suffix(".pub")), "-signature", "SHA256SUMS.sig"]
    for command in ([*public, "SHA256SUMS"], ["sha256sum", "--check", "SHA256SUMS"]):
        assert subprocess.run(command, cwd=project / "dist", capture_output=True, timeout=60).returncode == 0
    provenance = json.loads((project / f"dist/{NAME}.provenance.json").read_text())
    source = provenance["predicate"]["buildDefinition"]["externalParameters"]["source"]
    assert source["digest"]["gitCommit"] == first  # and not what was committed meanwhile
    assert built(project) == ["amd64 of 0 files", "arm64 of 1 files", "amd64 of 0 files", "arm64 of 1 files"]
    assert left(tmp_path) == ["key.pem", "key.pub", "log", "project"]


def test_without_a_key_nothing_is_signed(project: Path) -> None:
    assert release(project).returncode == 0
    assert not list((project / "dist").glob("*.sig"))


def test_two_builds_that_differ_are_no_release_and_the_files_are_named(project: Path, tmp_path: Path) -> None:
    write_build(project, mark="os.getcwd()")
    done = release(project)
    assert done.returncode == 2
    assert "no release: two builds have different bytes:" in done.stderr
    assert f"{NAME}-linux-arm64.tar.gz" in done.stderr
    assert f"{NAME}-linux-arm64.sbom.cdx.json" not in done.stderr
    assert not (project / "dist").exists()
    assert left(tmp_path) == ["log", "project"]


def test_a_key_that_does_not_sign_is_found_before_anything_is_built(project: Path) -> None:
    done = release(project, "KEY=no-such-key")
    assert done.returncode == 2
    assert "the key no-such-key cannot be read: No such file" in done.stderr
    assert not built(project)


def test_a_key_that_no_longer_signs_leaves_all_but_the_signatures_and_tells_how_to_make_them(
    project: Path, tmp_path: Path
) -> None:
    key = make_key(tmp_path)
    write_build(project, extra=f"pathlib.Path({str(key)!r}).unlink(missing_ok=True)")
    done = release(project, f"KEY={key}")
    assert done.returncode == 2
    advice = f"the files in dist/ are complete but unsigned; to sign them: python3 build/sign.py {key} dist"
    assert advice in done.stderr.splitlines()
    sums = ["sha256sum", "--check", "--quiet", "SHA256SUMS"]
    assert subprocess.run(sums, cwd=project / "dist", timeout=60).returncode == 0
    assert not list((project / "dist").glob("*.sig"))


def test_an_old_python_is_named_before_anything_is_built(project: Path, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old/python3").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "old/python3").chmod(0o755)
    command, environ = command_of(project)
    environ["PATH"] = f"{tmp_path}/old:{environ['PATH']}"
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)
    assert "no release: it needs python3 3.11 or later" in done.stderr
    assert not built(project)


def test_it_is_made_of_a_commit_with_its_history(project: Path, tmp_path: Path) -> None:
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{project}", str(shallow))
    assert "no release: this clone is shallow" in release(shallow).stderr
    (project / "pyproject.toml").write_text("")
    assert "no release: there are changes that are not committed" in release(project).stderr
    (project / ".git").rename(tmp_path / "elsewhere")
    said = release(project).stderr
    assert "fatal: not a git repository" in said
    assert "no release: it is made of a commit, and git tells of none here" in said
    assert not built(project)


def test_on_a_full_disk_nothing_is_left_that_passes_for_a_release(project: Path) -> None:
    requirements.need_root()
    (project / "dist").mkdir()
    command, environ = command_of(project)
    script = (
        f"mount -t tmpfs -o size=16k tmpfs {project}/dist; touch {project}/dist/SHA256SUMS; $0 $@; ls -A {project}/dist"
    )
    full = [requirements.need_program("unshare"), "--mount", "sh", "-c", script, *command]
    done = subprocess.run(full, env=environ, capture_output=True, text=True, timeout=120)
    assert "No space left on device" in done.stderr
    assert f"{NAME}-linux-amd64.SHA256SUMS\n" in done.stdout
    assert not {"SHA256SUMS", ".partial"} & {*done.stdout.splitlines()}


def test_the_date_is_a_number_where_git_shows_signatures(project: Path) -> None:
    """As it does for those who sign their commits, if git is told so."""
    signature = "gpgsig -----BEGIN SSH SIGNATURE-----\n U1NIU0lH\n -----END SSH SIGNATURE-----"
    headers, _, subject = git(project, "cat-file", "commit", "HEAD").partition("\n\n")
    (project.parent / "commit").write_text(f"{headers}\n{signature}\n\n{subject}\n")
    git(project, "reset", "--hard", git(project, "hash-object", "-w", "-t", "commit", str(project.parent / "commit")))
    git(project, "config", "log.showSignature", "true")
    assert git(project, "log", "-1", "--format=%ct").startswith("No signature")
    shutil.copy(ROOT / "build/source_date.sh", project / "build")
    done = subprocess.run(["bash", project / "build/source_date.sh"], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip().isdecimal()


def test_one_tarball_is_not_signed_and_that_is_said(project: Path) -> None:
    done = release(project, "ARCH=amd64", "KEY=x")
    assert done.returncode == 2
    assert "KEY= signs a whole release" in done.stderr
    assert not built(project)


def test_one_tarball_is_built_anew_even_if_no_file_has_changed(project: Path) -> None:
    """A commit changes the date in it, and make goes by the dates of files."""
    write_build(project, extra="assert not (folder / 'dist/.built').exists()")
    (project / "dist/amd64/dist").mkdir(parents=True)
    (project / "dist/amd64/dist/.built").touch()
    assert release(project, "ARCH=amd64").returncode == 0


def test_if_one_tarball_cannot_be_made_an_older_one_does_not_stay(project: Path) -> None:
    assert release(project, "ARCH=arm64").returncode == 0
    assert left(project / "dist") == [
        "arm64", *(f"{NAME}-linux-arm64.{ending}" for ending in ("packages", "tar.gz", "tar.gz.sha256")),
    ]  # fmt: skip
    write_build(project, extra="sys.exit(1)")
    assert release(project, "ARCH=arm64").returncode == 2
    assert left(project / "dist") == ["arm64"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_it_runs_ends_with_it_and_no_checkout_stays(project: Path, tmp_path: Path, number: int) -> None:
    """Even if the signal reaches the script alone, and what it runs ignores such signals."""
    ignore = "import signal; [signal.signal(n, signal.SIG_IGN) for n in (1, 2, 15)]"
    write_build(
        project, extra=f"{ignore}; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    )
    _, environ = command_of(project)
    with subprocess.Popen([project / "build/release.sh"], env=environ, stderr=subprocess.DEVNULL) as script:
        wait_for(lambda: (tmp_path / "pid").exists() and bool((tmp_path / "pid").read_text()), "the build")
        script.send_signal(number)
        assert script.wait(30 + SLACK) == 128 + number
    status = Path(f"/proc/{(tmp_path / 'pid').read_text()}/stat")
    wait_for(lambda: not status.exists() or status.read_text().rpartition(") ")[2][0] == "Z", "the build's end")
    assert left(tmp_path) == ["log", "pid", "project"]
