"""A line of watch's log: its level, and the forms that it is written in. Side effect: reads the clock.

The functions that report something take one text. Where it is no mere information, it begins with its level, as
sd-daemon(3) has it: `log(ERROR + "…")`.
"""

import json
import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from cni.contracts.watch_log import Level, WatchLine

Form = Callable[[str], str]

ERROR, WARN = "<3>", "<4>"
_INFO = "<6>"
_LEVELS: "dict[str, Level]" = {ERROR: "error", WARN: "warn", _INFO: "info"}


def choose(name: Literal["auto", "text", "logfmt", "json"], descriptor: int, environment: Mapping[str, str]) -> Form:
    """Return what makes a line of a text.

    The journal keeps time and level itself, so it gets them in its own way. On a terminal people read. Elsewhere, as in
    a container's log, both people and programs do, and logfmt serves both.
    """
    if name == "auto" and _is_journal(descriptor, environment):
        return journal
    return {"auto": text if os.isatty(descriptor) else logfmt, "text": text, "logfmt": logfmt, "json": as_json}[name]


def text(report: str) -> str:
    """Write a line for people."""
    line = _line(report)
    return f"{line['time']} {line['level']}: {_visible(line['msg'])}"


def logfmt(report: str) -> str:
    """Write key=value pairs; the message is quoted as in JSON."""
    line = _line(report)
    return f"time={line['time']} level={line['level']} msg={_quoted(line['msg'])}"


def as_json(report: str) -> str:
    """Write a JSON object (spec/log/watch.schema.json)."""
    return json.dumps(_line(report))


def journal(report: str) -> str:
    """Write what journald takes from a service's stderr: the priority, and the message."""
    level, message = _split(report)
    return level + _visible(message)


def _line(report: str) -> "WatchLine":
    level, message = _split(report)
    message = message.encode(errors="backslashreplace").decode()  # half a surrogate pair is no valid JSON
    now = time.time()
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03d}Z"
    return {"time": moment, "level": _LEVELS[level], "msg": message}


def _split(report: str) -> tuple[str, str]:
    return (report[:3], report[3:]) if report[:3] in _LEVELS else (_INFO, report)


def _visible(message: str) -> str:
    """Escape what would not be seen, as the end of a line in a file's name: a terminal would obey some of it."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in message)


def _quoted(message: str) -> str:
    text = json.dumps(message, ensure_ascii=False)
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


def _is_journal(descriptor: int, environment: Mapping[str, str]) -> bool:
    """Tell whether what is written there goes to the journal (systemd.exec(5), JOURNAL_STREAM)."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return False
    return environment.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"
