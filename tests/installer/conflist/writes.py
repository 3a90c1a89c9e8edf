"""What the tests of the conflist do to a node, and what happens to them meanwhile."""

import errno
from pathlib import Path
from typing import Any

import pytest

from cni.contracts.installation import Desired
from cni.installer.conflist import record
from cni.installer.conflist.apply import reconcile
from cni.installer.conflist.plan import Plan, plan
from cni.installer.conflist.restore import restore
from cni.installer.node import atomic_file
from tests.installer.sample_node import Node


def planned(node: Node, **desired: object) -> Plan:
    """Return what install would do to the conflist."""
    return plan(node.folders, Desired(**desired), record.read(node.folders))  # type: ignore[arg-type]


def reconciled(node: Node, **desired: object) -> Plan:
    """Have the conflist as desired; return what was planned."""
    return reconcile(planned(node, **desired))


def restored(node: Node, *, force: bool = False) -> list[str]:
    """Give the conflist its ipam back; return what was done."""
    return restore(node.folders, node.record, force=force)


def overtaken(node: Node, newer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have Calico write its conflist between our reading and our writing of it, once."""
    replace = atomic_file.replace

    def replace_late(path: Path, data: bytes, **options: Any) -> None:
        if path == node.conflist and node.conflist.read_text() != newer:
            node.write(newer)
            monkeypatch.setattr(atomic_file, "replace", replace)
        replace(path, data, **options)

    monkeypatch.setattr(atomic_file, "replace", replace_late)


def refusing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace = atomic_file.replace

    def refuse(to: Path, data: bytes, **options: Any) -> None:
        if to == path:
            raise OSError(errno.EBUSY, "Device or resource busy", str(to))
        replace(to, data, **options)

    monkeypatch.setattr(atomic_file, "replace", refuse)
