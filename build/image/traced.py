"""Run a call of the plugin from its image, and see which pages of the image it has used. Side effects: that process.

What a call uses must not depend on where the bundle is built, or two builds would give different images. A call that
takes no notice of its arguments and its environment can be given the same ones everywhere: see `fixed`.
"""

import ctypes
import functools
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

PAGE = 4096
_TRACEME, _CONT, _GETREGS, _SYSCALL, _SETOPTIONS = 0, 7, 12, 24, 0x4200
_OPTIONS = 0x01 | 0x40 | 0x100000  # system calls are told from signals; stop at the exit; end with this process
_EXITS, _CALLS = signal.SIGTRAP | 6 << 8, signal.SIGTRAP | 0x80
_RDI, _ORIG_RAX = 14, 15  # words of struct user_regs_struct
_RT_SIGACTION = 13
_PRESENT, _OF_THE_FILE = 1 << 63, 1 << 61  # of an entry of /proc/PID/pagemap
_libc = ctypes.CDLL(None, use_errno=True)


class Page(NamedTuple):
    """A page that a process has in its memory."""

    address: int
    is_copied: bool  # because it was written to


def used(
    plugin: Path,
    ranges: list[tuple[int, int]],
    environ: Mapping[str, str],
    stdin: bytes,
    room: tuple[int, bytes] | None = None,
    folder: Path | None = None,
) -> list[Page]:
    """Run a call; return the pages of these ranges that it has used.

    `room` is an address in the image, and what to write there in the place of what the launcher has written. The
    call is made in `folder`.
    """
    process = subprocess.Popen(
        [plugin.absolute()], env=environ, cwd=folder,
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        preexec_fn=functools.partial(_libc.ptrace, _TRACEME, 0, 0, 0),  # noqa: PLW1509
    )  # fmt: skip
    os.waitpid(process.pid, 0)
    _libc.ptrace(_SETOPTIONS, process.pid, 0, _OPTIONS)
    assert process.stdin
    process.stdin.write(stdin)
    process.stdin.close()
    if room:
        _run_until(process.pid, _SYSCALL, _ignores_sigxfsz)
        with Path(f"/proc/{process.pid}/mem").open("r+b", buffering=0) as memory:
            memory.seek(room[0])
            memory.write(room[1])
    _run_until(process.pid, _CONT, lambda _, status: status >> 8 == _EXITS)
    found = list(_present(process.pid, ranges))
    _libc.ptrace(_CONT, process.pid, 0, 0)
    process.returncode = os.waitstatus_to_exitcode(os.waitpid(process.pid, 0)[1])
    return found


def fixed(*arguments: bytes, **environ: bytes) -> bytes:
    """Return what the launcher hands over to a plugin in /opt/cni/bin (`hand_over` in build/image.c)."""
    texts = [b"/opt/cni/bin/spiderpool", *arguments, *(name.encode() + b"=" + environ[name] for name in environ)]
    content = b"".join(text + b"\0" for text in texts)
    return struct.pack("<QQ", 16 + len(content), len(arguments)) + content


def _run_until(pid: int, request: int, is_there: Callable[[int, int], bool]) -> None:
    """Let the process run, and hand its signals on, until it has stopped where it should."""
    number = 0
    while True:
        _libc.ptrace(request, pid, 0, number)
        _, status = os.waitpid(pid, 0)
        if os.WIFEXITED(status) or os.WIFSIGNALED(status):
            sys.exit("the plugin has ended, and nobody saw it")
        if is_there(pid, status):
            return
        number = os.WSTOPSIG(status)
        number = 0 if number in (_CALLS, signal.SIGTRAP) else number


def _ignores_sigxfsz(pid: int, status: int) -> bool:
    """Return whether the process is at the last system call of the launcher (`adopt` in build/image.c)."""
    registers = (ctypes.c_ulong * 27)()
    if os.WSTOPSIG(status) != _CALLS or _libc.ptrace(_GETREGS, pid, 0, registers):
        return False
    return registers[_ORIG_RAX] == _RT_SIGACTION and registers[_RDI] == signal.SIGXFSZ


def _present(pid: int, ranges: list[tuple[int, int]]) -> Iterator[Page]:
    with Path(f"/proc/{pid}/pagemap").open("rb") as file:
        for start, end in ranges:
            file.seek(start // PAGE * 8)
            entries = struct.unpack(f"<{(end - start) // PAGE}Q", file.read((end - start) // PAGE * 8))
            for number, entry in enumerate(entries):
                if entry & _PRESENT:
                    yield Page(start + number * PAGE, not entry & _OF_THE_FILE)
