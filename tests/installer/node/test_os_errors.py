"""What an operator is told of an error of the file system: path, reason, and what to do."""

import errno

import pytest

from cni.installer.node.os_errors import one_line


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ENOSPC, "make room there"),
        (errno.EDQUOT, "make room there"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "run as root"),
        (errno.EPERM, "lsattr"),
        (errno.EBUSY, "mount point"),
        (errno.ELOOP, "circle"),
    ],
)
def test_each_reason_that_an_operator_can_mend_comes_with_what_to_do(number: int, hint: str) -> None:
    line = one_line(OSError(number, "the reason", "/etc/cni/net.d/10-calico.conflist"))
    assert line.startswith("/etc/cni/net.d/10-calico.conflist: the reason: ")
    assert hint in line


def test_of_a_rename_the_target_is_named() -> None:
    assert one_line(OSError(errno.EIO, "the reason", "/a", None, "/b")) == "/b: the reason"


@pytest.mark.parametrize(("error", "line"), [(OSError("by hand"), "by hand"), (OSError(errno.EIO, "x"), "x")])
def test_without_a_path_or_a_number_it_is_what_the_error_says(error: OSError, line: str) -> None:
    assert one_line(error) == line
