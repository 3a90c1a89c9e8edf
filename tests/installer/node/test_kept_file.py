"""What is kept of an exchange: how long, and whose content has the name in the end."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from cni.installer.node import atomic_file
from cni.installer.node.atomic_file import ChangedError, create, remove, replace, settle
from tests import requirements


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(atomic_file, "LOOK_AGAIN", 1.0)
    path = tmp_path / "10-calico.conflist"
    path.write_text("old")
    return path


def kept(path: Path) -> list[Path]:
    """Return what lies beside the file, the oldest first."""
    return sorted(path.parent.glob(".spiderpool-ipam.*"))


def settled(path: Path) -> None:
    while seconds := settle(path.parent):
        time.sleep(seconds)


def test_what_was_replaced_is_kept_for_a_second_under_a_name_that_nobody_loads(path: Path) -> None:
    replace(path, b"new", instead_of=b"old")
    (old,) = kept(path)
    assert (old.read_text(), path.read_text()) == ("old", "new")
    assert old.suffix not in (".conf", ".conflist", ".json")
    started = time.monotonic()
    assert 0 < settle(path.parent) <= 1
    settled(path)
    assert time.monotonic() - started > 0.8
    assert kept(path) == []
    assert settle(path.parent) == 0


def test_what_has_changed_gets_its_name_back(path: Path) -> None:
    replace(path, b"new", instead_of=b"old")
    with kept(path)[0].open("w") as writer:
        writer.write("from calico")
    with pytest.raises(ChangedError):
        settle(path.parent)
    assert path.read_text() == "from calico"
    assert kept(path) == []
    assert settle(path.parent) == 0


def test_what_is_written_later_under_the_name_wins(path: Path) -> None:
    replace(path, b"new", instead_of=b"old")
    kept(path)[0].write_text("from a slow writer")
    time.sleep(0.02)
    path.write_text("later")
    with pytest.raises(ChangedError):
        settle(path.parent)
    assert (path.read_text(), kept(path)) == ("later", [])


def test_of_several_that_are_kept_the_one_that_was_written_last_gets_the_name(path: Path) -> None:
    replace(path, b"new", instead_of=b"old")
    replace(path, b"newer", instead_of=b"new")
    first, second = kept(path)
    assert (first.read_text(), second.read_text()) == ("old", "new")
    second.write_text("second")
    time.sleep(0.02)
    first.write_text("last")
    with pytest.raises(ChangedError):
        settle(path.parent)
    assert (path.read_text(), kept(path)) == ("last", [])


def test_what_was_replaced_twice_still_gets_its_name_back(path: Path) -> None:
    replace(path, b"new", instead_of=b"old")
    replace(path, b"newer", instead_of=b"new")
    kept(path)[0].write_text("from calico")
    with pytest.raises(ChangedError):
        settle(path.parent)
    assert path.read_text() == "from calico"
    assert len(kept(path)) == 1  # ours, which somebody may have opened meanwhile
    settled(path)
    assert kept(path) == []


def test_a_change_that_was_not_looked_at_yet_stops_the_next_exchange(path: Path) -> None:
    replace(path, b"new", instead_of=b"old")
    kept(path)[0].write_text("from calico")
    with pytest.raises(ChangedError):
        replace(path, b"newer", instead_of=b"new")
    assert (path.read_text(), kept(path)) == ("from calico", [])


def test_a_file_that_is_removed_stays_so(path: Path) -> None:
    replace(path, b"new", instead_of=b"old")
    path.unlink()
    settled(path)
    assert list(path.parent.iterdir()) == []


def test_a_clock_that_is_set_back_does_not_keep_it_for_ever(path: Path) -> None:
    replace(path, b"new", instead_of=b"old")
    (old,) = kept(path)
    seen = old.name.split(".")[-4]
    old.rename(old.with_name(old.name.replace(seen, str(time.time_ns() + 3600 * 10**9))))
    assert settle(path.parent) == 0
    assert (path.read_text(), kept(path)) == ("new", [])


def test_the_new_file_that_a_killed_run_has_left_never_gets_the_name(path: Path) -> None:
    replace(path, b"new", instead_of=b"old")
    (old,) = kept(path)
    path.rename(old)
    path.write_text("from calico")
    (path.parent / ".spiderpool-ipam.10-calico.conflist.new").write_text("ha")
    assert settle(path.parent) == 0
    assert (path.read_text(), kept(path)) == ("from calico", [])


def test_files_of_others_are_none_of_ours(path: Path) -> None:
    names = [".spiderpool-ipam.swap", ".spiderpool-ipam.x.kept", ".10.new", "x.new"]
    for name in names:
        (path.parent / name).write_text("x")
    assert settle(path.parent) == 0
    assert {one.name for one in path.parent.iterdir()} == {path.name, *names}


def test_a_folder_that_is_missing_keeps_nothing(path: Path) -> None:
    assert settle(path.parent / "missing") == 0


def test_a_file_that_is_gone_at_the_last_look_has_changed(path: Path) -> None:
    path.unlink()
    with pytest.raises(ChangedError):
        replace(path, b"new", instead_of=b"old")
    assert list(path.parent.iterdir()) == []


def test_a_file_that_somebody_else_has_created_is_not_overwritten(path: Path) -> None:
    with pytest.raises(ChangedError):
        create(path, b"new")
    assert (path.read_text(), kept(path)) == ("old", [])


def test_a_file_that_has_changed_is_not_removed(path: Path) -> None:
    with pytest.raises(ChangedError):
        remove(path, instead_of=b"older")
    assert path.read_text() == "old"
    remove(path, instead_of=b"old")
    remove(path, instead_of=b"old")
    assert not path.exists()


def test_a_file_that_is_mounted_is_named_as_a_mount_point(path: Path) -> None:
    requirements.need_root()
    script = "import sys; from pathlib import Path; from cni.installer.node import atomic_file, os_errors\n"
    script += "try: atomic_file.replace(Path(sys.argv[1]), b'new', instead_of=b'old')\n"
    script += "except OSError as error: print(os_errors.one_line(error))"
    unshare = ["unshare", "--mount", "--propagation=private", "sh", "-euc", 'mount --bind "$1" "$1"; shift; "$@"', "sh"]
    done = subprocess.run(
        [*unshare, str(path), sys.executable, "-c", script, str(path)],
        cwd=requirements.ROOT,
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith(f"{path}: Device or resource busy: it is a mount point"), done
    assert (path.read_text(), kept(path)) == ("old", [])
