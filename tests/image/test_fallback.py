"""Whatever fails before the jump into the image, the plugin starts without it, and gives the same answer."""

import ctypes
import errno
import re
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import requirements
from tests.image.bundles import Bundles, how_it_starts
from tests.image.calls import Calls, shell

# The launcher looks at the three standard streams first.
STEPS = [
    ("open", "ENOENT", 1),
    ("open", "EACCES", 1),
    ("open", "EMFILE", 1),
    ("open", "ENOSYS", 1),
    ("fstat", "EPERM", 4),
    ("fstat", "EIO", 4),
    ("pread64", "EIO", 1),
    ("pread64", "ENOSYS", 1),
    ("arch_prctl", "EPERM", 1),
    ("arch_prctl", "ENOSYS", 1),
]
# What a filter of a container may refuse for good, in the plugin and in all that it starts: x86-64's numbers.
FILTERED = {"open": 2, "set_robust_list": 273, "set_tid_address": 218, "readv": 19}
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
# What has no result that matters: the start goes on from the image.
HARMLESS = [
    ("close", "EIO", 1),
    ("set_robust_list", "ENOSYS", 1),
    ("preadv2", "ENOSYS", 1),
    ("preadv2", "EOPNOTSUPP", 1),
    ("set_tid_address", "ENOSYS", 1),
    ("rt_sigaction", "EPERM", 1),
]


def injecting(trace: Path, call: str, what: str, when: int) -> list[str]:
    """Return the command line that has a program's n-th call of a kind end with `what`, and writes a trace."""
    strace = requirements.need_program("strace")
    return [
        *(strace, "-qq", "-o", str(trace), "-e", f"trace=execve,{call}"),
        *("-e", f"inject={call}:{what}:when={when}"),
    ]


def execs_in(trace: Path) -> int:
    """Return how many programs were executed; with the image it is the launcher alone."""
    text = trace.read_text()
    assert text.count("(INJECTED)") == 1, text[-2000:]
    return len(re.findall(r"^execve\(.* = 0$", text, re.MULTILINE))


def test_an_image_that_cannot_be_opened_is_not_said_to_be_missing(bundles: Bundles) -> None:
    assert how_it_starts(bundles.whole, *shell("ulimit -n 3")) == "without its image: it cannot be opened"
    assert how_it_starts(bundles.plain) == "without its image: it is not there"


@pytest.mark.parametrize(("call", "error", "when"), STEPS)
def test_a_call_that_fails(bundles: Bundles, calls: Calls, call: str, error: str, when: int) -> None:
    trace = calls.folder / "trace"
    answer = calls.call(bundles.whole, *injecting(trace, call, f"error={error}", when))
    assert execs_in(trace) == 2
    assert answer == calls.call(bundles.plain)


@pytest.mark.parametrize(("call", "error", "when"), HARMLESS)
def test_a_call_whose_failure_changes_nothing(bundles: Bundles, calls: Calls, call: str, error: str, when: int) -> None:
    trace = calls.folder / "trace"
    answer = calls.call(bundles.whole, *injecting(trace, call, f"error={error}", when))
    assert execs_in(trace) == 1
    assert answer == calls.call(bundles.plain)


def segments() -> int:
    """Return how many mappings the launcher makes."""
    header = requirements.need_image().read_bytes()[:64]
    return int.from_bytes(header[56:58], "little") - 1  # e_phnum, without the note


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["some", "every"])
def test_a_mapping_that_fails(bundles: Bundles, calls: Calls, every: bool, show: Callable[[str], None]) -> None:
    count, trace = segments(), calls.folder / "trace"
    chosen = range(1, count + 1) if every else [1, 2, count // 2, count - 1, count]
    expected = calls.call(bundles.plain)
    for number in chosen:
        for error in ("ENOMEM", "EEXIST", "EPERM", "ENODEV") if every else ("ENOMEM",):
            answer = calls.call(bundles.whole, *injecting(trace, "mmap", f"error={error}", number))
            assert execs_in(trace) == 2
            assert answer == expected, (number, error)
    show(f"each of {len(chosen)} of {count} mappings has failed: the answer was that of a start without the image")


@pytest.mark.parametrize("value", [0x1000, 0x7FFF_F000])  # strace injects no more than 32 bits
def test_a_mapping_that_comes_to_lie_elsewhere(bundles: Bundles, calls: Calls, value: int) -> None:
    """Linux before 4.17 does not know MAP_FIXED_NOREPLACE, and chooses another address where one is taken."""
    trace = calls.folder / "trace"
    answer = calls.call(bundles.whole, *injecting(trace, "mmap", f"retval={value}", 5))
    assert execs_in(trace) == 2
    assert answer == calls.call(bundles.plain)


@pytest.mark.parametrize(("value", "case"), [(0, "nothing"), (1, "a byte"), (4096, "half"), (8191, "all but a byte")])
def test_a_header_that_is_read_in_part(bundles: Bundles, calls: Calls, value: int, case: str) -> None:
    trace = calls.folder / "trace"
    answer = calls.call(bundles.whole, *injecting(trace, "pread64", f"retval={value}", 1))
    assert execs_in(trace) == 2, case
    assert answer == calls.call(bundles.plain)


def test_every_error_that_open_may_give(bundles: Bundles, calls: Calls) -> None:
    expected = calls.call(bundles.plain)
    trace = calls.folder / "trace"
    for name in ("EINTR", "ENFILE", "ENOMEM", "ELOOP", "EOVERFLOW", "ETXTBSY"):
        assert name in errno.errorcode.values()
        assert calls.call(bundles.whole, *injecting(trace, "open", f"error={name}", 1)) == expected, name


def filtering(number: int, error: int) -> Callable[[], None]:
    """Return a function that has the kernel refuse a system call to this process, and to all that it executes."""
    instructions = [
        (0x20, 0, 0, 0),  # load the number of the call
        (0x15, 0, 1, number),  # is it this one?
        (0x06, 0, 0, 0x00050000 | error),  # return the error
        (0x06, 0, 0, 0x7FFF0000),  # allow
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *one) for one in instructions))
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def install() -> None:
        program = struct.pack("<HxxxxxxQ", len(instructions), ctypes.addressof(code))
        if prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0):
            raise OSError(ctypes.get_errno(), "the filter cannot be installed")

    return install


@pytest.mark.parametrize("name", FILTERED)
@pytest.mark.parametrize("error", [errno.EPERM, errno.ENOSYS], ids=["EPERM", "ENOSYS"])
def test_a_call_that_a_filter_refuses(bundles: Bundles, calls: Calls, name: str, error: int) -> None:
    install = filtering(FILTERED[name], error)
    whole, plain = (calls.call(program, preexec_fn=install) for program in (bundles.whole, bundles.plain))
    assert whole == plain == calls.call(bundles.plain)
