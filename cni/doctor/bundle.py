"""A bundle: what was read, in a file for others to look at. Side effects: writes it, and reads one.

It holds nothing but the document of facts, the report, and what is made of them for people; so no secret that was not
read can be in it. Only its owner may read it.
"""

import gzip
import io
import json
import os
import stat
import tarfile
import time
import zlib
from pathlib import Path

from pydantic import ValidationError

from cni.contracts.doctor import DoctorReport
from cni.contracts.facts import FACTS, Facts
from cni.doctor.facts import is_unknown, unknown
from cni.installer.errors import InstallerError, first_fault

_FACTS = "facts.json"
_MOST = 20 << 20  # bytes of a bundle
_MOST_UNPACKED = 512 << 20  # of its facts
_LARGE = ("pods", "spider_endpoints", "ip_blocks")  # what is left out of a bundle that would be too large
_README = """\
What `spiderpool-ipam doctor` {version} has read on {when}.

facts.json      what was read of the node and of the API (spec/doctor/facts.schema.json); BIRD's sessions and routes
                are in it as node.bird and node.bird6
report.json     what the checks have found (spec/doctor/report.schema.json)
spiderpool.log  the last lines of the plugin's log, where it is ours
watch.log       the last lines of watch's log, where the journal has it; `kubectl logs` shows it in a cluster

To make the same checks again, and those of a later release: spiderpool-ipam doctor --from THIS-FILE
It holds names and addresses of nodes, pods and pools. It holds no Secrets, no tokens, no values of environment
variables but a few of SpiderPool's and Calico's own settings, and no annotations but those that choose addresses.
"""


class BundleError(InstallerError):
    """Why a bundle cannot be written or read."""


def write(path: Path, facts: Facts, report: DoctorReport) -> None:
    """Write a bundle. BundleError, OSError."""
    data = _packed(facts, report)
    if len(data) > _MOST:
        for name in _LARGE:
            facts["cluster"][name] = unknown("left out of the bundle, which would be too large")  # type: ignore[literal-required]
        data = _packed(facts, report)
    if len(data) > _MOST:
        raise BundleError(f"{path}: the bundle would have more than {_MOST >> 20} MB")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123  (a descriptor)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.fchmod(descriptor, 0o600)  # it may have been there, and others may have been let read it
        file.write(data)


def read(path: Path) -> Facts:
    """Return the facts of a bundle. BundleError, OSError."""
    try:
        with tarfile.open(path, "r:gz") as archive:
            member = archive.extractfile(_FACTS)
            data = member.read(_MOST_UNPACKED) if member else b""
        return FACTS.validate_json(data)
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, KeyError, ValueError, RecursionError) as error:
        text = first_fault(error) if isinstance(error, ValidationError) else "it is no bundle of doctor's"
        raise BundleError(f"{path}: {text}") from None


def _packed(facts: Facts, report: DoctorReport) -> bytes:
    log, watch = facts["node"].get("log", []), facts["node"].get("watch_log", [])
    lines, of_watch = [] if is_unknown(log) else log, [] if is_unknown(watch) else watch
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(facts["collected_at"]))
    texts = {
        "README.txt": _README.format(version=facts["version"], when=when),
        _FACTS: json.dumps(facts, ensure_ascii=False),
        "report.json": json.dumps(report, ensure_ascii=False),
        "spiderpool.log": "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines),
        "watch.log": "".join(f"{line}\n" for line in of_watch),
    }
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, text in texts.items():
            data = text.encode(errors="backslashreplace")
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.mode = len(data), int(facts["collected_at"]), 0o600
            archive.addfile(member, io.BytesIO(data))
    return packed.getvalue()
