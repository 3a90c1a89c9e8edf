"""What a file system does not have is gone without; what it refuses is an error. strace answers in its place."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import requirements

SCRIPT = """
import sys
from pathlib import Path
from cni.installer.node import atomic_file
atomic_file.replace(Path(sys.argv[1]), b"new")
"""
LABEL = "security.selinux"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "10"
    path.write_text("old")
    path.chmod(0o644)
    os.setxattr(path, "user.label", b"x")
    return path


@pytest.fixture
def replaced_with(path: Path) -> Callable[[str, str], str]:
    """Replace the file where a system call fails; return what is said on stderr."""

    def run(call: str, error: str) -> str:
        command = [requirements.need_program("strace"), "-qq", "-o", f"{path}.log", f"--trace={call}"]
        inject = [f"--inject={call}:error={error}", sys.executable, "-c", SCRIPT, str(path)]
        done = subprocess.run([*command, *inject], cwd=requirements.ROOT, capture_output=True, text=True)
        assert "INJECTED" in Path(f"{path}.log").read_text()
        return done.stderr

    return run


@pytest.mark.parametrize("error", ["EOPNOTSUPP", "ENOSYS", "EINVAL"])
@pytest.mark.parametrize("call", ["listxattr", "getxattr", "fsetxattr", "fchown", "fchmod", "fsync"])
def test_metadata_that_the_file_system_does_not_have_are_gone_without(
    call: str, error: str, path: Path, replaced_with: Callable[[str, str], str]
) -> None:
    assert replaced_with(call, error) == ""
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == (0o600 if call == "fchmod" else 0o644)
    if "xattr" not in call:
        assert os.getxattr(path, "user.label") == b"x"


def test_an_attribute_that_was_removed_meanwhile_is_none(path: Path, replaced_with: Callable[[str, str], str]) -> None:
    assert replaced_with("getxattr", "ENODATA") == ""
    assert path.read_text() == "new"


@pytest.mark.parametrize("call", ["listxattr", "getxattr", "fsetxattr", "fchown", "fchmod", "fsync"])
def test_metadata_that_cannot_be_given_to_the_new_file_leave_the_old_one(
    call: str, path: Path, replaced_with: Callable[[str, str], str]
) -> None:
    assert f"Input/output error: '{path}'" in replaced_with(call, "EIO")
    assert path.read_text() == "old"
    assert not list(path.parent.glob(".*"))


@pytest.mark.parametrize(
    ("label", "error", "is_replaced"),
    [(LABEL, "EPERM", True), (LABEL, "EACCES", False), ("user.label", "EPERM", False), ("user.label", "EACCES", False)],
)
def test_a_label_of_a_security_module_that_is_off_is_gone_without_one_that_is_on_may_refuse(
    label: str, error: str, is_replaced: bool, path: Path, replaced_with: Callable[[str, str], str]
) -> None:
    if label == LABEL:
        requirements.need_root()
        os.removexattr(path, "user.label")
        try:
            os.setxattr(path, LABEL, b"system_u:object_r:etc_t:s0")
        except OSError as refused:
            requirements.missing(f"{path.parent} takes no security label: {refused.strerror}")
    said = replaced_with("fsetxattr", error)
    assert (path.read_text(), "PermissionError" in said) == (("new", False) if is_replaced else ("old", True))


def test_a_file_system_without_attributes_of_users_is_no_obstacle(tmp_path: Path) -> None:
    """A real one: ramfs has no extended attributes at all."""
    requirements.need_root()
    check = 'echo old >m/10; chmod 640 m/10; "$@"; cat m/10; stat -c %a m/10; ls -A m'
    script = f'cd "{tmp_path}"; mkdir m; mount -t ramfs ramfs m; {check}'
    run = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(requirements.ROOT)!r})\n{SCRIPT}", "m/10"]
    done = subprocess.run(
        ["unshare", "--mount", "--propagation=private", "sh", "-euc", script, "sh", *run],
        capture_output=True,
        text=True,
    )
    assert (done.stderr, done.stdout.split()) == ("", ["new640", "10"])
