"""Types the blocks of a page into a shell, and compares what is printed with what the page says.

Each block begins where the one before it has ended, as in one terminal: in the same folder, with the same PATH. Side
effects: those of the blocks, and a file for each terminal.
"""

import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.docs.blocks import Block, is_as_said, marked
from tests.waiting import SLACK

_SETTLED = 10  # seconds in which what a block brings about is to be seen; BGP sessions need the longest, 3 s
_PAUSE = 0.5  # seconds, between two looks
_SECONDS = 120  # that a block may take


class PageError(Exception):
    """A block does not do what the page says. The text is for people."""


class Terminal:
    """A shell at a place; `before` is a command line that runs the one behind it there."""

    def __init__(self, folder: Path, environ: Mapping[str, str], before: Sequence[str | Path] = ()) -> None:
        folder.mkdir(parents=True)
        self._environ, self._before = dict(environ), list(before)
        self._kept = folder.with_name(f"{folder.name}.kept")
        self._kept.write_text(f"cd {folder}\n")

    def follow(self, block: Block) -> str:
        """Do a block until it prints what the page says; return that. PageError."""
        last = time.monotonic() + _SETTLED + SLACK
        while True:
            status, printed = self._type(block.text)
            wanted = int(any(word in (block.printed or "") for word in ("FAILURE", "BROKEN")))  # of doctor
            is_good = status == wanted and (block.printed is None or is_as_said(block.printed, printed))
            if is_good and not re.search(r"^% ", printed, re.MULTILINE):  # so vtysh answers what it does not understand
                return printed
            # What a block brings about may need a moment to be seen. One that brings something about is not repeated.
            if block.printed is None or "<<" in block.text or time.monotonic() > last:
                raise PageError(f"it ended with {status}, not {wanted}, and printed\n{printed}")
            time.sleep(_PAUSE)

    def _type(self, text: str) -> tuple[int, str]:
        """Have a shell run some lines; return its exit status and what it printed."""
        keep = f"""trap 'echo "cd $PWD; PATH=$PATH" >{self._kept}' EXIT"""
        command = [*self._before, "bash", "-c", f"set -eo pipefail; . {self._kept}; {keep}\n{text}"]
        done = subprocess.run(
            command, env=self._environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=_SECONDS,
        )  # fmt: skip
        return done.returncode, done.stdout


def follow_page(
    page: str,
    follow: Callable[[Block], str],
    failures: tuple[type[Exception], ...] = (PageError,),
    *,
    show: bool = False,
) -> int:
    """Follow the marked blocks of a page, and say how each went, until one fails; return the exit status."""
    for block in marked(Path(page).read_text()):
        try:
            printed = follow(block)
        except failures as failure:
            print(f"{page}:{block.line}: on {block.place}: {failure}", flush=True)
            return 1
        print(f"{page}:{block.line}: as the page says", flush=True)
        if show:
            print(block.text, printed, sep="---\n", flush=True)
    return 0
