import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from cni.installer.node import atomic_file
from tests import requirements


def test_mode_owner_and_attributes_are_the_old_files(tmp_path: Path) -> None:
    path = tmp_path / "10-calico.conflist"
    path.write_text("old")
    path.chmod(0o644)
    os.setxattr(path, "user.label", b"x")
    if not os.geteuid():
        os.chown(path, 12, 34)
    before = path.stat()
    atomic_file.replace(path, b"new")
    after = path.stat()
    assert path.read_bytes() == b"new"
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert os.getxattr(path, "user.label") == b"x"
    assert after.st_ino != before.st_ino
    assert os.listdir(tmp_path) == [path.name]  # noqa: PTH208


def test_a_new_file_is_0600_whatever_the_umask(tmp_path: Path) -> None:
    umask = os.umask(0o777)
    try:
        atomic_file.replace(tmp_path / "05", b"new")
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "05").stat().st_mode) == 0o600


def test_of_a_symbolic_link_the_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to("target")
    atomic_file.replace(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"new"


def test_what_a_killed_run_left_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / ".spiderpool-ipam.10.new").write_text("half")
    atomic_file.replace(tmp_path / "10", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["10"]


def test_what_somebody_wrote_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "10"
    path.write_text("newer")
    with pytest.raises(atomic_file.ChangedError):
        atomic_file.replace(path, b"ours", instead_of=b"older")
    assert path.read_text() == "newer"
    assert os.listdir(tmp_path) == ["10"]  # noqa: PTH208


def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "10"
    path.write_text("old")
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))"
    ignore = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)"
    script = f"{limit}; {ignore}; from cni.installer.node import atomic_file; from pathlib import Path\n"
    script += f"atomic_file.replace(Path({str(path)!r}), b'n' * 100)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert f"File too large: '{path}'" in done.stderr
    assert (path.read_text(), [entry.name for entry in tmp_path.iterdir()]) == ("old", ["10"])


def test_the_file_is_on_disk_before_its_name_and_the_name_before_it_returns(tmp_path: Path) -> None:
    strace = requirements.need_program("strace")
    path = tmp_path / "10"
    path.write_text("old")
    script = "from cni.installer.node import atomic_file; from pathlib import Path\n"
    script += f"atomic_file.replace(Path({str(path)!r}), b'n')"
    calls = "trace=openat,fsync,rename,renameat,renameat2"
    done = subprocess.run(
        [strace, "-e", calls, "-y", sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    order = re.findall(rf"(fsync|rename\w*)\([^\n]*?({re.escape(str(tmp_path))}[^>\",]*)", done.stderr)
    temporary = str(tmp_path / ".spiderpool-ipam.10.new")
    assert [(call.rstrip("at2"), name) for call, name in order] == [
        ("fsync", temporary),
        ("rename", temporary),
        ("fsync", str(tmp_path)),
    ]


@pytest.mark.parametrize("missing", ["nowhere/10", "10/x"])
def test_a_folder_that_is_none_is_an_error(missing: str, tmp_path: Path) -> None:
    (tmp_path / "10").touch()
    with pytest.raises(OSError, match=r"No such file|Not a directory"):
        atomic_file.replace(tmp_path / missing, b"new")
