"""How a bundle is tried both ways, on the frozen one."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from cni.installer.bundle import plugin_links, trial
from tests import requirements
from tests.build.test_rights import NEEDED
from tests.image.bundles import copy_to, how_it_starts
from tests.installer.sample_node import PLUGIN, make_tree, write_sums
from tests.own_state import can_have_own_state, with_own_state
from tests.waiting import SLACK, wait_for

# A plugin that counts its calls in the folder that it is called in, and takes one of two ways.
SCRIPT = """#!/bin/sh
cat >/dev/null
echo >>calls
number=$(wc -l <calls)
if [ -e "${{0%/*}}.no-image" ]; then {plain}; else {imaged}; fi
echo '{{}}'
"""
# A trial whose agent never answers, and which ends by SIGINT as the program does. It tells when the agent is asked.
UNANSWERED = """
import os, signal, socket, sys, time
from pathlib import Path
from cni.installer.bundle import trial
signal.signal(signal.SIGINT, lambda *_: os._exit(1))
def wait(*_):
    Path(sys.argv[2]).touch()
    time.sleep(60)
socket.socket.sendall = wait
trial.settle(Path(sys.argv[1]), wanted=True, is_in_force=False)
"""


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A copy of the frozen bundle."""
    requirements.need_frozen(trial.IMAGE)
    return copy_to(tmp_path / "home/0.1.0-12345678").parent


def stand_in(folder: Path, imaged: str, plain: str = ":") -> Path:
    """Make a bundle whose plugin does this where its image is not set aside, and `plain` where it is."""
    bundle = folder / "home/bundle"
    (bundle / "_internal").mkdir(parents=True)
    (bundle / trial.IMAGE).touch()
    (bundle / "spiderpool").write_text(SCRIPT.format(imaged=imaged, plain=plain))
    (bundle / "spiderpool").chmod(0o755)
    return bundle


def test_a_bundle_that_works_starts_from_its_image(bundle: Path) -> None:
    assert trial.choose(bundle, wanted=True) == ""
    assert (how_it_starts(bundle / "spiderpool"), trial.is_set_aside(bundle)) == ("from its image", "")
    assert [path.name for path in bundle.parent.iterdir()] == [bundle.name]


def test_the_two_adds_of_the_trial_start_in_different_ways_and_succeed(bundle: Path) -> None:
    """Otherwise it would show little."""
    with tempfile.TemporaryDirectory(dir=bundle.parent) as name:
        folder = Path(name)
        (folder / "plain.no-image").touch()
        plugins = [trial._linked(bundle, folder / name) for name in ("plain", "imaged")]
        assert list(map(how_it_starts, plugins)) == ["without its image: it was set aside", "from its image"]
        assert [trial._run(plugin, folder, probes=True).status for plugin in plugins] == [0, 0]
        assert len((folder / "log").read_text().splitlines()) == 2


def test_who_wants_no_image_has_none_and_may_have_it_again(bundle: Path) -> None:
    assert trial.choose(bundle, wanted=False) == trial.ASKED_FOR
    assert how_it_starts(bundle / "spiderpool") == "without its image: it was set aside"
    assert trial.is_set_aside(bundle) == trial.ASKED_FOR
    assert trial.choose(bundle, wanted=True) == ""
    assert how_it_starts(bundle / "spiderpool") == "from its image"


@pytest.mark.parametrize(
    ("imaged", "words"),
    [
        ("kill -SEGV $$", "is ended by signal 11 (no output)"),
        ("exit 1", "exits with 1 (no output)"),
        ("echo other", "exits with 0 (other {})"),
    ],
)
def test_an_image_that_does_not_work_here_is_set_aside_with_the_reason(tmp_path: Path, imaged: str, words: str) -> None:
    if "SEGV" in imaged:
        requirements.need_no_emulator("it says on stderr that a signal has ended a program")
    bundle = stand_in(tmp_path, imaged)
    why = trial.choose(bundle, wanted=True)
    assert f"an ADD from it {words}, and one without it exits with 0 ({{}})" in why
    assert trial.is_set_aside(bundle) == why


def release(folder: Path) -> Path:
    """Make a release whose plugin does not even answer VERSION from its image, once there is a file `broken`."""
    fails = f'\n[ -e "$(dirname "$(readlink -f "$0")").no-image" ] || [ ! -e {folder}/broken ] || exit 1\n'
    tree = make_tree(folder / "release", "a", PLUGIN.replace("\n", fails, 1))
    (tree / trial.IMAGE).touch()
    write_sums(tree)
    (folder / "bin").mkdir()
    return tree


@pytest.mark.parametrize("wanted", [True, False])
def test_a_release_whose_image_does_not_answer_version_here_is_installed_without_it(
    tmp_path: Path, wanted: bool
) -> None:
    tree, bin_folder = release(tmp_path), tmp_path / "bin"
    (tmp_path / "broken").touch()
    installed = plugin_links.install(tree, bin_folder, "1.0.0", image=wanted)
    assert plugin_links.fault(bin_folder) == ""
    why = trial.is_set_aside(bin_folder / ".spiderpool" / installed.name)
    assert why.startswith("on this node, an ADD from it exits with 1 (no output)" if wanted else trial.ASKED_FOR)


def test_an_image_that_has_ceased_to_work_is_set_aside_by_the_next_installation_which_watch_makes(
    tmp_path: Path,
) -> None:
    tree, bin_folder = release(tmp_path), tmp_path / "bin"
    bundle = bin_folder / ".spiderpool" / plugin_links.install(tree, bin_folder, "1.0.0").name
    assert trial.is_set_aside(bundle) == ""
    (tmp_path / "broken").touch()
    plugin_links.reconcile(bin_folder, tree, "1.0.0")
    assert plugin_links.fault(bin_folder) == ""
    assert trial.is_set_aside(bundle).startswith("on this node, an ADD from it exits with 1 (no output)")


def test_a_bundle_without_an_image_is_not_tried(tmp_path: Path) -> None:
    bundle = stand_in(tmp_path, "exit 1")
    (bundle / trial.IMAGE).unlink()
    assert trial.choose(bundle, wanted=True) == ""
    assert trial.is_set_aside(bundle) == ""


def test_an_add_that_never_ends_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "_SECONDS", 1)
    bundle = stand_in(tmp_path, "exec sleep 60")
    assert "an ADD from it does not end" in trial.choose(bundle, wanted=True)


@pytest.mark.parametrize(
    ("imaged", "plain"),
    [
        (":", "[ $number -gt 1 ] || exit 1"),
        (":", "[ $number -gt 1 ] || exec sleep 60"),
        ("[ $number -gt 3 ] || exit 1", ":"),
        ("[ $number -lt 3 ] || [ $number -gt 4 ] || exit 1", "[ $number -gt 1 ] || exit 1"),
        (":", "exit 1"),
    ],
    ids=["fails without it", "does not end without it", "fails from it", "fails from it, and cannot probe", "always"],
)
def test_what_goes_wrong_once_or_only_without_the_image_does_not_cost_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, imaged: str, plain: str
) -> None:
    monkeypatch.setattr(trial, "_SECONDS", 3)
    assert trial.choose(stand_in(tmp_path, imaged, plain), wanted=True) == ""


def test_two_equal_failures_show_nothing_so_it_is_tried_again_by_the_next_installation(tmp_path: Path) -> None:
    bundle = stand_in(tmp_path, "exit 1", "exit 1")
    assert trial.choose(bundle, wanted=True).startswith(trial.UNTRIED)
    works = SCRIPT.format(imaged=":", plain=":")
    (bundle / "spiderpool").write_text(works)
    trial.settle(bundle, wanted=True, is_in_force=True)
    assert trial.is_set_aside(bundle) == ""


def test_with_the_rights_of_manifests_and_unit_the_trial_still_tells_a_broken_image(bundle: Path) -> None:
    """No process with these can enter a network namespace, so an ADD with probing fails both ways."""
    requirements.need_root()
    broken = stand_in(bundle.parents[1] / "broken", "exit 3", f'exec "{bundle}/spiderpool"')
    source = (broken / "spiderpool").read_text().replace("cat >/dev/null\n", "")
    (broken / "spiderpool").write_text(source)
    bounding = ",".join(["-all", *(f"+{name.lower()}" for name in NEEDED)])
    setpriv = [requirements.need_program("setpriv"), "--no-new-privs", "--inh-caps=-all", f"--bounding-set={bounding}"]
    code = "import sys, pathlib; from cni.installer.bundle import trial"
    code += "; print(*[trial.fault(pathlib.Path(one)) for one in sys.argv[1:]], sep='|')"
    command: list[str | Path] = [*setpriv, sys.executable, "-c", code, bundle, broken]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    whole, other = done.stdout.split("|")
    assert whole == "", done
    assert other.startswith("on this node, an ADD from it exits with 3 (no output), and one without it exits with 0 ({")


def test_the_path_of_the_folder_may_be_long_and_have_spaces(tmp_path: Path) -> None:
    requirements.need_frozen(trial.IMAGE)
    bundle = copy_to(tmp_path / f"a {'x' * 110}/{'y' * 110}/0.1.0-12345678").parent
    assert trial.choose(bundle, wanted=True) == ""


def test_a_trial_that_cannot_be_made_is_told_and_stops_nothing(tmp_path: Path) -> None:
    bundle = stand_in(tmp_path, ":")
    (bundle / "spiderpool").chmod(0o644)
    assert trial.choose(bundle, wanted=True).startswith(trial.UNTRIED)


def end_alone(process: "subprocess.Popen[bytes]") -> None:
    process.kill()


def interrupt_all(process: "subprocess.Popen[bytes]") -> None:
    os.killpg(process.pid, signal.SIGINT)


@pytest.mark.parametrize("end", [end_alone, interrupt_all])
def test_a_trial_that_is_ended_leaves_nothing_on_the_node_and_the_next_one_is_made(
    bundle: Path, tmp_path: Path, end: Callable[["subprocess.Popen[bytes]"], None]
) -> None:
    if not can_have_own_state(bundle / "spiderpool"):
        requirements.missing("the machine does not allow mounts to this user")
    state = tmp_path / "state"
    state.mkdir()
    command = with_own_state(state, sys.executable, "-c", UNANSWERED, bundle, tmp_path / "asked")
    environ = {**os.environ, "TMPDIR": str(tmp_path / "tmp")}
    (tmp_path / "tmp").mkdir()
    with subprocess.Popen(command, env=environ, start_new_session=True) as process:
        wait_for((tmp_path / "asked").exists, "the plugin to ask the agent")
        end(process)
        process.wait(10 + SLACK)
        wait_for(lambda: is_gone(process.pid), "the plugin to end")
    assert [list(state.iterdir()), list((tmp_path / "tmp").iterdir())] == [[], []]
    assert trial.is_set_aside(bundle) == ""
    trial.settle(bundle, wanted=True, is_in_force=False)
    assert [path.name for path in bundle.parent.iterdir()] == [bundle.name]


def is_gone(group: int) -> bool:
    """Tell whether a process group has no process any more."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def test_an_image_that_was_asked_for_again_is_tried_until_a_trial_has_ended(tmp_path: Path) -> None:
    """The bundle in force goes on without it meanwhile, and so after a trial that was killed."""
    bundle = stand_in(tmp_path, "kill -KILL $PPID")
    trial.choose(bundle, wanted=False)
    code = "import sys, pathlib; from cni.installer.bundle import trial"
    code += "; trial.settle(pathlib.Path(sys.argv[1]), wanted=True, is_in_force=True)"
    done = subprocess.run([sys.executable, "-c", code, bundle], capture_output=True, timeout=60)
    assert (done.returncode, trial.is_set_aside(bundle)) == (-signal.SIGKILL, trial.ASKED_FOR)
    (bundle / "spiderpool").write_text(SCRIPT.format(imaged=":", plain=":"))
    trial.settle(bundle, wanted=True, is_in_force=True)
    assert (trial.is_set_aside(bundle), [path.name for path in bundle.parent.iterdir()]) == ("", ["bundle"])
