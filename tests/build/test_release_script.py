"""build/release.sh makes a release twice and compares: of a small project, whose `make release` writes stand-ins."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.build.releases import ARCHES, NAME, make_key
from tests.requirements import ROOT

# MARK is what the stand-ins hold: something that is the same in each checkout, or is not.
MAKEFILE = """\
release:
	@mkdir -p .venv/bin && ln -sf {python} .venv/bin/python
	@git -C {project} -c user.name=x -c user.email=x@example.org commit --quiet --allow-empty --message=meanwhile
	@echo "$(ARCH) of $$(git status --porcelain --ignored | grep -vc venv) files" >>"$(LOG)"
	@PYTHONPATH={root} {python} -c 'import sys, pathlib; from tests.build.releases import write_small_tarballs; \\
		write_small_tarballs(pathlib.Path("dist"), sys.argv[1])' "{mark}"
	@for arch in amd64 arm64; do touch dist/{name}-linux-$$arch.tar.gz.sha256; done
image:
	@{python} build/oci.py dist $(ARCHES)
"""


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    project = tmp_path / "project"
    (project / "build").mkdir(parents=True)
    for name in ("build/release.sh", "build/oci.py", "build/attest.py", "pyproject.toml", ".gitignore"):
        shutil.copy(ROOT / name, project / name)
    git(project, "init", "--quiet")
    write_makefile(project, mark="the same")
    return project


def write_makefile(project: Path, mark: str) -> None:
    text = MAKEFILE.format(python=sys.executable, root=ROOT, name=NAME, mark=mark, project=project)
    (project / "Makefile").write_text(text)
    git(project, "add", ".")
    git(project, "commit", "--quiet", "--message=x")


def release(project: Path, *key: str | Path) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": "/usr/bin:/bin", "LOG": str(project.parent / "log"), "TMPDIR": str(project.parent)}
    command = [project / "build/release.sh", *key]
    return subprocess.run(command, env=environ, cwd="/", capture_output=True, text=True, timeout=120)


def test_what_is_the_same_twice_is_signed_and_left_to_be_published(project: Path, tmp_path: Path) -> None:
    key, first = make_key(tmp_path), git(project, "rev-parse", "HEAD")
    done = release(project, key)
    assert (done.returncode, done.stderr) == (0, "")
    names = {line.split("  ")[1] for line in (project / "dist/SHA256SUMS").read_text().splitlines()}
    assert {f"{NAME}-oci.tar", *(f"{NAME}-linux-{arch}.tar.gz" for arch in ARCHES)} < names
    assert {path.name for path in (project / "dist").glob("SHA256SUMS*")} == {"SHA256SUMS", "SHA256SUMS.sig"}
    public: list[str | Path] = [
        "openssl",
        "dgst",
        "-sha256",
        "-verify",
        key.with_suffix(".pub"),
        "-signature",
        "SHA256SUMS.sig",
    ]
    for command in ([*public, "SHA256SUMS"], ["sha256sum", "--check", "SHA256SUMS"]):
        assert subprocess.run(command, cwd=project / "dist", capture_output=True, timeout=60).returncode == 0
    provenance = json.loads((project / f"dist/{NAME}.provenance.json").read_text())
    source = provenance["predicate"]["buildDefinition"]["externalParameters"]["source"]
    assert source["digest"]["gitCommit"] == first  # and not what was committed meanwhile
    assert (tmp_path / "log").read_text().splitlines() == [
        "amd64 of 0 files", "arm64 of 1 files", "amd64 of 0 files", "arm64 of 1 files",
    ]  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == ["key.pem", "key.pub", "log", "project"]


def test_without_a_key_nothing_is_signed(project: Path) -> None:
    assert release(project).returncode == 0
    assert not list((project / "dist").glob("*.sig"))


def test_two_builds_that_differ_are_no_release_and_the_files_are_named(project: Path, tmp_path: Path) -> None:
    write_makefile(project, mark="$$PWD")
    done = release(project)
    assert done.returncode == 1
    assert "no release: two builds have different bytes:" in done.stderr
    assert f"{NAME}-linux-arm64.tar.gz" in done.stderr
    assert f"{NAME}-linux-arm64.sbom.cdx.json" not in done.stderr
    assert not (project / "dist").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "project"]


def test_it_is_made_of_a_commit_and_with_a_key_that_exists(project: Path) -> None:
    done = release(project, "no-such-key")
    assert (done.returncode, done.stderr) == (1, "no release: there is no key no-such-key\n")
    (project / "pyproject.toml").write_text("")
    done = release(project)
    assert done.returncode == 1
    assert "there are changes that are not committed" in done.stderr
