"""The Debians that releases are built in: what they are made of, who waits for them, what is said if there is none."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.build.recipes import load
from tests.requirements import ROOT
from tests.waiting import SLACK


@pytest.fixture
def roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the recipe, with a cache of its own and a bootstrap that only makes a folder."""
    module = load("debian_root")
    monkeypatch.setattr(module, "ROOTS", tmp_path)
    monkeypatch.setattr(module, "sites", lambda: ["http://one", "http://two"])
    monkeypatch.setattr(module, "KEYRING", ROOT / "LICENSE")
    monkeypatch.setattr(module, "bootstrap", lambda partial, *_: partial.mkdir() or "")
    return module


@pytest.mark.parametrize("page", ["README.md", "README.zh-CN.md", "CONTRIBUTING.md"])
def test_the_pages_ask_a_machine_for_what_the_root_has(page: str) -> None:
    assert f"{' '.join(load('debian_root').PACKAGES)}`" in (ROOT / page).read_text()


@pytest.mark.parametrize("architecture", ["x86_64", "riscv64"])
def test_an_unknown_architecture_is_told_which_there_are(architecture: str, tmp_path: Path) -> None:
    command: list[str | Path] = [sys.executable, ROOT / "build/debian_root.py", architecture, tmp_path, "true"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"there is no release for {architecture}: ARCH is amd64 or arm64\n"


def test_a_root_of_other_packages_is_not_used_and_is_removed(roots: ModuleType, tmp_path: Path) -> None:
    first = roots.make("bookworm", "arm64", ["gcc"])
    other_architecture, plain = roots.make("bookworm", "amd64", ["gcc"]), roots.make("bookworm")
    (tmp_path / f"{first.name}.venvs/one").mkdir(parents=True)
    assert roots.make("bookworm", "arm64", ["gcc"]) == first
    second = roots.make("bookworm", "arm64", ["gcc", "make"])
    assert {path for path in tmp_path.iterdir() if path.is_dir()} == {second, other_architecture, plain}


def test_a_root_in_which_something_is_built_stays(roots: ModuleType) -> None:
    first = roots.make("bookworm", "arm64", ["gcc"])
    with roots.locked(first):
        second = roots.make("bookworm", "arm64", ["gcc", "make"])
    assert first.exists() and second.exists()


def test_who_waits_for_another_build_is_told_and_not_for_ever(
    roots: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(roots, "PATIENCE", 0.1)
    with roots.locked(tmp_path / "root"), pytest.raises(roots.NotMadeError, match=r"another build has been in .*/root"):
        roots.locked(tmp_path / "root")
    assert capsys.readouterr().err == f"waiting for another build in {tmp_path}/root, 0 minutes at most\n"


def test_it_goes_on_when_the_other_build_has_ended(roots: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "root.lock").touch()
    with subprocess.Popen(["flock", tmp_path / "root.lock", "sh", "-c", "echo; sleep 1"], stdout=-1) as other:
        assert other.stdout and other.stdout.readline()
        roots.locked(tmp_path / "root").close()
        assert other.wait(SLACK) == 0


def test_what_each_mirror_said_is_told(roots: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roots, "bootstrap", lambda *arguments: f"no {arguments[4].removeprefix('http://')}")
    with pytest.raises(roots.NotMadeError, match=r"^http://one: no one; http://two: no two$"):
        roots.make("bookworm")


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_debootstrap_has_to_check_debians_signatures(architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, steps = load("debian_root"), list[list[str]]()
    monkeypatch.setattr(module, "complaint_of", lambda command, *_: steps.append(command))
    module.bootstrap(Path("/none"), "bookworm", architecture, (), "http://one", None)
    assert "--force-check-gpg" in steps[0]


def test_without_the_keys_of_debian_it_says_what_to_install(roots: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roots, "KEYRING", Path("/none.gpg"))
    with pytest.raises(roots.NotMadeError, match=r"^/none.gpg is missing: apt-get install debian-archive-keyring$"):
        roots.make("bookworm")
