"""Asks BIRD by its socket, with commands that change nothing. Side effect: connects to the socket.

The protocol is that of `birdc`: a line of a reply begins with a code of four digits and "-", or, where the code is that
of the line before, with a blank. The last line has a blank after the code.
"""

import ipaddress
import re
import socket
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from cni.contracts.route_facts import Bird, BirdProtocol, BirdRoute
from cni.deadline import Deadline
from cni.installer.node.host_root import HostRoot
from cni.installer.node.os_errors import one_line

_FOLDERS = ("/var/run/calico", "/var/run/bird")
_TIMEOUT = 3.0  # seconds for all that is asked of one BIRD
_MOST = 8 << 20  # bytes of one reply; a full table of 50,000 routes has 4 MB
_DIGITS = 20  # of a counter; Python reads no number of thousands
_CODE = re.compile(r"\d{4}[ -]")
_END = re.compile(r"\d{4} ")
_PROTOCOL = re.compile(r"(\S+)\s+BGP\s+\S+\s+(\S+)\s+(\S+(?:\s\d\d:\d\d:\d\d)?)\s*(.*)")
_NOW = re.compile(r"Current server time is (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)")
_NEIGHBOR = re.compile(r"\s+Neighbor address:\s+(\S+)")
_ERROR = re.compile(r"\s+Last error:\s+(.*)")
_COUNTER = re.compile(r"\s+((?:Import|Export) (?:updates|withdraws)):\s+(.*)")
_ROUTE = re.compile(r"(\S+/\d+)\s+(?:\S+ )*?(?:dev (\S+)|via \S+ on (\S+)|blackhole|unreachable|\[)")


class Connection:
    """A connection to a BIRD."""

    def __init__(self, path: Path, deadline: Deadline) -> None:
        """Connect. OSError."""
        self._deadline = deadline
        self._socket = socket.socket(socket.AF_UNIX)
        self._buffer = b""
        try:
            self._socket.settimeout(deadline.require_left())
            self._socket.connect(str(path))
            self.greeting = " ".join(self._reply())
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> "Connection":
        """Return the connection."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self._socket.close()

    def ask(self, command: str) -> list[str]:
        """Return the lines of the reply, without codes. OSError; TimeoutError at the deadline."""
        self._socket.settimeout(self._deadline.require_left())
        self._socket.sendall(command.encode() + b"\n")
        return list(self._reply())

    def _reply(self) -> Iterator[str]:
        for line in self._lines():
            text = line[5:] if _CODE.match(line) else line[1:]
            yield text
            if _END.match(line):
                return

    def _lines(self) -> Iterator[str]:
        size = 0
        while True:
            while b"\n" in self._buffer:
                line, _, self._buffer = self._buffer.partition(b"\n")
                yield line.decode(errors="backslashreplace")
            self._socket.settimeout(self._deadline.require_left())
            data = self._socket.recv(1 << 16)
            size += len(data)
            if not data or size > _MOST:
                raise ConnectionError("it has closed the connection" if not data else "its reply is too long")
            self._buffer += data


def read(root: HostRoot, name: str) -> Bird:
    """Return what the BIRD of this socket's name says, or why it says nothing. OSError: its folder is not mounted."""
    path = next((found for folder in _FOLDERS if (found := root.find(f"{folder}/{name}"))), None)
    if path is None:
        if root.is_partial and not any(map(root.find, _FOLDERS)):
            raise FileNotFoundError(2, f"neither {' nor '.join(_FOLDERS)} is mounted here")
        missing = f"there is no {name} in {' or '.join(_FOLDERS)}: calico-node does not run BIRD here"
        return _silent(f"{_FOLDERS[0]}/{name}", missing)
    try:
        return _answers(path, root.name_of(path))
    except TimeoutError:
        return _silent(root.name_of(path), f"BIRD has not answered within {_TIMEOUT:g} s")
    except OSError as error:
        return _silent(root.name_of(path), one_line(error))


def _silent(name: str, fault: str) -> Bird:
    return {"socket": name, "fault": fault, "version": "", "protocols": []}


def _answers(path: Path, name: str) -> Bird:
    with Connection(path, Deadline(_TIMEOUT)) as bird:
        now = _time(bird.ask("show status"))
        protocols = [_exported(bird, one) for one in parse_protocols(bird.ask("show protocols all"))]
        for one in protocols:
            if now and (seconds := seconds_since(one["since"], now)) is not None:
                one["seconds"] = seconds
        return {"socket": name, "fault": "", "version": bird.greeting, "protocols": protocols}


def _time(lines: list[str]) -> datetime | None:
    """Return what BIRD takes for the time, of `show status`."""
    match = next(filter(None, map(_NOW.match, lines)), None)
    try:
        return datetime.fromisoformat(match[1]) if match else None
    except ValueError:
        return None


def seconds_since(since: str, now: datetime) -> float | None:
    """Return how long ago a time of BIRD's was: it writes the day only if that is not today, and then nothing else.

    A time of day that has not come yet is yesterday's. None where BIRD was told another way to write times.
    """
    try:
        if re.fullmatch(r"\d\d:\d\d(:\d\d)?", since):
            return (now - datetime.fromisoformat(f"{now:%Y-%m-%d} {since}")).seconds
        return (now - datetime.fromisoformat(since)).total_seconds()
    except (ValueError, TypeError):  # TypeError: it has a zone of time
        return None


def parse_protocols(lines: list[str]) -> list[BirdProtocol]:
    """Return the BGP sessions of `show protocols all`."""
    found: list[BirdProtocol] = []
    is_bgp = False
    for line in lines:
        if line[:1] not in ("", " ", "\t"):
            match = _PROTOCOL.fullmatch(line.rstrip())
            is_bgp = match is not None
            if match:
                found.append(_protocol(match))
        elif is_bgp:
            _take_detail(found[-1], line)
    return found


def _protocol(match: re.Match[str]) -> BirdProtocol:
    said = match[4].split()
    return {
        "name": match[1],
        "neighbor": "",
        "state": said[0] if said else match[2],
        "since": match[3],
        "last_error": " ".join(said[1:]),
        "counters": {},
        "exported": [],
    }


def _take_detail(protocol: BirdProtocol, line: str) -> None:
    if match := _NEIGHBOR.match(line):
        protocol["neighbor"] = match[1]
    elif match := _ERROR.match(line):
        protocol["last_error"] = match[1].strip()
    elif match := _COUNTER.match(line):
        numbers = [int(word) if word.isdecimal() and len(word) < _DIGITS else 0 for word in match[2].split()]
        protocol["counters"][match[1].lower().replace(" ", "_")] = numbers


def _exported(bird: Connection, protocol: BirdProtocol) -> BirdProtocol:
    if protocol["state"] == "Established":
        protocol["exported"] = parse_routes(bird.ask(f"show route export {protocol['name']}"))
    return protocol


def _is_network(text: str) -> bool:
    try:
        return bool(ipaddress.ip_network(text))
    except ValueError:
        return False


def parse_routes(lines: list[str]) -> list[BirdRoute]:
    """Return the routes of `show route`."""
    found: list[BirdRoute] = []
    for line in lines:
        match = _ROUTE.match(line)
        if match and _is_network(match[1]):
            interface = match[2] or match[3]
            found.append({"prefix": match[1], **({"interface": interface} if interface else {})})  # type: ignore[typeddict-item]
    return found
