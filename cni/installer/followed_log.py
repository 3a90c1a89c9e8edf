"""Reads what is appended to a log, whichever file has its name. Side effect: reads the files, and never waits.

A log is set aside under another name (the plugin and Go's loggers do this), or copied and truncated (logrotate's
copytruncate). Whoever has opened it before may still append to a file that was set aside, so that is read for a while
longer. In memory there is one piece of a file at most.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from cni import input_file
from cni.deadline import Deadline

PIECE = 1 << 20  # bytes that are read at once. A longer line is skipped; the plugin's own have half of that at most
LATE = 5.0  # seconds in which somebody may append to a file that was set aside
_MOST_ASIDE = 3  # such files that are read still
_MARK = 64  # bytes before the position by which a truncation is found, though the file may have grown since


class FollowedLog:
    """The log of one name. What the file holds at the first look is old, and is not read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: _OpenFile | None = None
        self._aside: list[tuple[_OpenFile, Deadline]] = []
        self._left: _OpenFile | None = None  # the last one that was closed: it may get its name back
        self._is_first = True  # whoever has been missing, or has another inode, is new: it is read from its beginning

    def look(self) -> None:
        """See which file has the name now. FileNotFoundError: none has; OSError: it cannot be read."""
        try:
            status = self._path.stat()
        except FileNotFoundError:
            self._is_first = False
            self._set_aside()
            raise
        if self._file and self._file.is_same(status):
            return
        self._set_aside()
        self._file = self._back(status) or _OpenFile(self._path, at_end=self._is_first, like=self._left)
        self._is_first = False

    def is_log(self) -> bool:
        """Tell whether the plugin would write to the file that the last look has found."""
        return self._file is not None and self._file.is_log()

    def lines(self) -> Iterator[list[bytes]]:
        """Yield the lines that were appended, those of one piece at a time; what is no line comes as an empty one."""
        for file, late in list(self._aside):
            yield from file.lines()
            if not late.left():
                self._aside.remove((file, late))
                self._leave(file)
        if self._file:
            yield from self._file.lines()

    def close(self) -> None:
        """Read no more."""
        self._set_aside()
        for file, _ in self._aside:
            file.close()
        self._aside.clear()

    def _set_aside(self) -> None:
        if self._file:
            self._aside.append((self._file, Deadline(LATE)))
            self._file = None
        while len(self._aside) > _MOST_ASIDE:
            self._leave(self._aside.pop(0)[0])

    def _back(self, status: os.stat_result) -> "_OpenFile | None":
        """Return the file that was set aside and has its name again: it goes on where it was read to."""
        for entry in self._aside:
            if entry[0].is_same(status):
                self._aside.remove(entry)
                return entry[0]
        return None

    def _leave(self, file: "_OpenFile") -> None:
        file.close()
        self._left = file


class _OpenFile:
    """One file of the log. Its position is the beginning of a line, unless that line is too long."""

    def __init__(self, path: Path, *, at_end: bool, like: "_OpenFile | None" = None) -> None:
        if text := input_file.kind(path):  # before it is opened, which may do something to a device
            raise input_file.NotReadableError(path, text)
        # O_NONBLOCK: what is there may have become a FIFO meanwhile. O_NOCTTY: or a terminal.
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        self._status = os.fstat(self._descriptor)
        self._position = 0
        self._mark = b""
        self._is_in_long_line = False
        if not stat.S_ISREG(self._status.st_mode):
            self.close()
            raise input_file.NotReadableError(path, "it is no file any more")
        if at_end:
            self._go_to_end()
        elif like and like.is_same(self._status):
            # Another file may have got the number of one that was removed: then what is before the position differs.
            self._position, self._mark, self._is_in_long_line = like._position, like._mark, like._is_in_long_line

    def is_same(self, status: os.stat_result) -> bool:
        return os.path.samestat(self._status, status)

    def is_log(self) -> bool:
        """Tell whether it is one by its mode and its first byte."""
        is_executable = os.fstat(self._descriptor).st_mode & (stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
        return not is_executable and os.pread(self._descriptor, 1, 0) in (b"", b"{")

    def close(self) -> None:
        os.close(self._descriptor)

    def lines(self) -> Iterator[list[bytes]]:
        if self._was_truncated():
            self._position, self._mark, self._is_in_long_line = 0, b"", False
        while piece := os.pread(self._descriptor, PIECE, self._position):
            end = piece.rfind(b"\n") + 1
            if not end and len(piece) < PIECE:
                return  # the beginning of a line: the rest is still to be written
            lines = piece[:end].split(b"\n")[:-1]
            self._advance(piece[: end or PIECE])
            if self._is_in_long_line:
                del lines[:1]  # its end
            elif not end:
                lines = [b""]
            self._is_in_long_line = not end
            yield lines

    def _go_to_end(self) -> None:
        """Go behind the last line: one that is being written right now is new."""
        start = max(0, self._status.st_size - PIECE)
        piece = os.pread(self._descriptor, self._status.st_size - start, start)
        end = piece.rfind(b"\n") + 1
        self._position = start
        self._advance(piece[:end])
        self._is_in_long_line = not end and start > 0

    def _advance(self, piece: bytes) -> None:
        self._position += len(piece)
        self._mark = (self._mark + piece[-_MARK:])[-_MARK:]

    def _was_truncated(self) -> bool:
        return os.pread(self._descriptor, len(self._mark), self._position - len(self._mark)) != self._mark
