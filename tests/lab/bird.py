"""Asks a BIRD what it knows, over its control socket, as birdc does. Side effect: one connection for each question."""

import re
import socket
from pathlib import Path
from typing import NamedTuple

from tests.lab.processes import LabError

_SECONDS = 5


class Session(NamedTuple):
    """A BGP protocol of BIRD."""

    name: str
    state: str  # "up", "start", "down"
    info: str  # "Established", "Active", "Connect" and more


def ask(path: Path, question: str) -> list[str]:
    """Return the lines of the answer, without their codes. LabError: BIRD is not there, or refuses."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_SECONDS)
        try:
            connection.connect(str(path))
            with connection.makefile("rw", encoding="utf-8") as lines:
                lines.readline()  # 0001 BIRD 1.6.8 ready.
                lines.write(question + "\n")
                lines.flush()
                return _read(lines)  # type: ignore[arg-type]
        except OSError as error:
            raise LabError(f"BIRD on {path} was asked {question!r}: {error}") from None


def sessions(path: Path) -> list[Session]:
    """Return the BGP sessions."""
    rows = [line.split(maxsplit=6) for line in ask(path, "show protocols")]
    return [Session(row[0], row[3], row[5] if len(row) > 5 else "") for row in rows if row[1:2] == ["BGP"]]


def exported(path: Path, peer: str) -> list[str]:
    """Return the prefixes that BIRD exports to a peer."""
    lines = ask(path, f"show route export {peer}")
    return sorted({line.split()[0] for line in lines if re.match(r"[0-9a-f.:]+/\d+\s", line)})


def _read(lines: "socket.SocketIO") -> list[str]:
    """Read until the line that ends an answer: a code and a blank. Codes from 8000 on are refusals."""
    found: list[str] = []
    while line := str(lines.readline()):
        match = re.match(r"(\d{4})([ -])(.*)", line.rstrip("\n"))
        code, mark, text = match.groups() if match else ("", "-", line[1:].rstrip("\n"))
        if code >= "8000":
            raise LabError(f"BIRD: {text}")
        if mark == " ":
            return [*found, text] if text else found
        found.append(text)
    raise LabError("BIRD closed the connection")
