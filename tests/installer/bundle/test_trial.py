"""How a bundle is tried both ways, on the frozen one."""

import shutil
import subprocess
from pathlib import Path

import pytest

from cni.installer.bundle import trial
from tests import requirements

SCRIPT = "#!/bin/sh\ncat >/dev/null\n[ -e {mark} ] || {with_image}\necho '{{}}'\n"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A copy of the frozen bundle."""
    requirements.need_frozen(trial.IMAGE)
    return Path(shutil.copytree(requirements.TREE, tmp_path / "0.1.0-12345678", symlinks=True))


def how_it_starts(bundle: Path) -> str:
    return subprocess.run([bundle / "spiderpool", "--how-it-starts"], capture_output=True, text=True).stdout


def stand_in(folder: Path, with_image: str) -> Path:
    """Make a bundle whose plugin does this where its image is not set aside."""
    bundle = folder / "bundle"
    (bundle / "_internal").mkdir(parents=True)
    (bundle / trial.IMAGE).touch()
    script = SCRIPT.format(mark=f"{bundle}.no-image", with_image=with_image)
    (bundle / "spiderpool").write_text(script)
    (bundle / "spiderpool").chmod(0o755)
    return bundle


def test_a_bundle_that_works_starts_from_its_image(bundle: Path) -> None:
    assert trial.choose(bundle, wanted=True) == ""
    assert (how_it_starts(bundle), trial.is_set_aside(bundle)) == ("from its image\n", "")
    assert [path.name for path in bundle.parent.iterdir()] == [bundle.name]


def test_an_add_of_the_trial_succeeds_both_ways(bundle: Path) -> None:
    """Otherwise it would show little."""
    assert trial._add(bundle / "spiderpool")[0] == 0


def test_who_wants_no_image_has_none_and_may_have_it_again(bundle: Path) -> None:
    assert trial.choose(bundle, wanted=False) == trial.ASKED_FOR
    assert how_it_starts(bundle) == "without its image: it was set aside\n"
    assert trial.is_set_aside(bundle) == trial.ASKED_FOR
    assert trial.choose(bundle, wanted=True) == ""
    assert how_it_starts(bundle) == "from its image\n"


@pytest.mark.parametrize(
    ("with_image", "words"),
    [
        ("kill -SEGV $$", "is ended by signal 11 (no output)"),
        ("exit 1", "exits with 1 (no output)"),
        ("echo other", "exits with 0 (other {})"),
    ],
)
def test_an_image_that_does_not_work_here_is_set_aside_with_the_reason(
    tmp_path: Path, with_image: str, words: str
) -> None:
    bundle = stand_in(tmp_path, with_image)
    why = trial.choose(bundle, wanted=True)
    assert f"an ADD from it {words}, and one without it exits with 0 ({{}})" in why
    assert trial.is_set_aside(bundle) == why


def test_a_bundle_without_an_image_is_not_tried(tmp_path: Path) -> None:
    bundle = stand_in(tmp_path, "exit 1")
    (bundle / trial.IMAGE).unlink()
    assert trial.choose(bundle, wanted=True) == ""
    assert trial.is_set_aside(bundle) == ""


def test_an_add_that_never_ends_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "_SECONDS", 0.3)
    bundle = stand_in(tmp_path, "exec sleep 60")
    assert "an ADD from it does not end" in trial.choose(bundle, wanted=True)
