"""The manual pages and the completions of the release, read by the programs that read them on a node."""

import os
import pty
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from cni import ready
from cni.contracts.exit_statuses import EXIT_STATUSES
from tests import requirements
from tests.waiting import SLACK

# Shell -> how it is started so that it reads nothing of its user's, and what it has to be told first. With
# bash-completion, bash finds the file by itself, as fish does.
SHELLS = {
    "bash": (
        "bash --norc --noprofile -i",
        "source {share}/bash-completion/completions/spiderpool-ipam; echo $((41+1))",
    ),
    "zsh": ("zsh -f -i", "fpath=({share}/zsh/site-functions $fpath); autoload compinit; compinit -uD; echo $((41+1))"),
    "fish": ("fish --private -i", "echo (math 41+1)"),
}


def share() -> Path:
    return requirements.need_frozen("share/links.sh").parent


def pages() -> list[Path]:
    return sorted((share() / "man/man8").iterdir())


def test_every_command_has_a_page_with_its_exit_statuses() -> None:
    text = {page.name: page.read_text(encoding="ascii") for page in pages()}
    assert {"spiderpool-ipam.8", "spiderpool-ipam-attach-add.8"} < text.keys()
    for command, statuses in EXIT_STATUSES.items():
        page = text[f"spiderpool-ipam-{command}.8"]
        assert re.findall(r"^\.TP\n\\fB(\d.*)\\fR$", page, re.MULTILINE) == list(statuses)
    assert not {f"spiderpool-ipam-{name}.8" for name in ("detect", "folders")} & text.keys()


def test_mandoc_and_groff_find_nothing_wrong_with_them() -> None:
    mandoc, groff = requirements.need_program("mandoc"), requirements.need_program("groff")
    done = subprocess.run([mandoc, "-T", "lint", "-W", "warning", *pages()], capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    for page in pages():
        done = subprocess.run([groff, "-man", "-Tutf8", "-ww", page], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


def test_man_shows_what_the_help_says() -> None:
    mandoc = requirements.need_program("mandoc")
    (page,) = [page for page in pages() if page.name == "spiderpool-ipam-install.8"]
    shown = subprocess.run([mandoc, "-T", "ascii", page], capture_output=True, text=True, check=True).stdout
    shown = re.sub(r".\x08", "", shown)
    assert "--image / --no-image\n" in shown
    assert "05-spiderpool-calico.conflist; '' is in place.\n" in shown
    assert "[default: 60s]" in shown


@pytest.mark.parametrize("shell", [pytest.param(name, marks=[pytest.mark.slow] * (name != "bash")) for name in SHELLS])
def test_a_shell_completes_a_command_and_its_option(shell: str, tmp_path: Path) -> None:
    """At a terminal, with the tabulator: `vers` and `--js` are all that is typed."""
    command, first = SHELLS[shell]
    environ = {
        "HOME": str(tmp_path), "PATH": f"{share().parent}:/usr/bin:/bin", "TERM": "dumb", "LANG": "C.UTF-8",
        "XDG_DATA_DIRS": f"{share()}:/usr/share",
    }  # fmt: skip
    program = requirements.need_program(shell)
    process, terminal = pty.fork()
    if not process:
        os.execve(program, command.split(), environ)
    try:
        for typed, shown in (
            (first.format(share=share()) + "\n", "42"),
            ("spiderpool-ipam vers\t", "version"),
            ("--js\t", "--json"),
            ("\n", '"cniVersions"'),
        ):
            until(terminal, "", 1)
            os.write(terminal, typed.encode())
            until(terminal, shown)
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(terminal)


def until(terminal: int, text: str, seconds: float = 10 + SLACK) -> None:
    """Read what the shell shows until a text has come; with no text, for so many seconds."""
    shown, end = "", time.monotonic() + seconds
    while not text or text not in shown:
        if not ready.to_read(terminal, max(0, end - time.monotonic())):
            assert not text, f"waited for {text!r}, and was shown {shown!r}"
            return
        shown += os.read(terminal, 65536).decode(errors="replace")
