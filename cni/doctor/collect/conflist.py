"""Reads the folder of network configurations as runtimes do. Side effect: reads its files."""

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cni.contracts import facts
from cni.contracts.installation import Desired, Record
from cni.contracts.pool_annotations import OF_CONFLIST
from cni.installer.conflist.document import ConflistError, Document
from cni.installer.conflist.folder import ConfFile, loaded_before, read_folder
from cni.installer.conflist.plan import Plan, plan
from cni.installer.node.folders import Folders
from cni.installer.node.os_errors import one_line


@dataclass(frozen=True)
class ConfFolder:
    """The folder, read once."""

    folders: Folders
    files: list[ConfFile]
    planned: Plan | None
    fault: str  # why there is no plan

    @property
    def settings(self) -> dict[str, Any]:
        """What our ipam object says."""
        return self.planned.settings if self.planned else {}

    def fact(self) -> facts.Conflist:
        """Return what is told of it."""
        found: facts.Conflist = {
            "folder": self.folders.conf_name,
            "files": [_file(file) for file in self.files],
            "target": "",
            "ipam_type": "",
            "drift": "",
            "loaded_before": "",
            "fault": self.fault,
            "nodename_is_optional": False,
            "pools": {key: names for key in OF_CONFLIST.values() if (names := self.settings.get(key))},
        }
        if self.planned:
            found.update(_planned(self.planned))
        return found

    def multus_network(self) -> str:
        """Return the network that Multus gives to every pod; "" if Multus is not there, or does not name it."""
        for file in self.files:
            with suppress(ValueError, RecursionError):
                found = json.loads(file.document.text) if file.document else {}
                if isinstance(found, dict) and found.get("type") == "multus":
                    return str(found.get("clusterNetwork") or "")
        return ""

    def chain(self) -> list[facts.ChainPlugin]:
        """Return the plugins that the runtime runs for a pod: those of the file that it loads."""
        document = self.planned.source.document if self.planned else None
        target = self.planned.target.path if self.planned else None
        for file in self.files:
            if file.path == target and file.document:
                document = file.document
        types = dict.fromkeys(_types(document)) if document else {}
        return [_chain_plugin(self.folders, name) for name in types]


def read(folders: Folders, desired: Desired, record: Record | None) -> ConfFolder:
    """Read the folder. OSError."""
    try:
        planned = plan(folders, desired, record)
    except ConflistError as error:
        return ConfFolder(folders, read_folder(folders), None, str(error))
    return ConfFolder(folders, list(planned.files), planned, "")


def _planned(planned: Plan) -> facts.Conflist:
    """Return the fields that tell how the conflist is, and is to be."""
    name = Path(planned.target.name).name
    before = loaded_before(planned.files, name, planned.desired.plugin_type, planned.held)
    is_ours = planned.target.before is not None and planned.desired.as_name
    found: Any = {
        "target": planned.target.name,
        "ipam_type": "spiderpool" if is_ours else planned.source.delegation.ipam_type,
        "drift": planned.message,
        "loaded_before": planned.loaded_first or (planned.folders.name_of(before) if before else ""),
        "nodename_is_optional": "nodename_file_optional" in planned.source.document.text,
    }
    result: facts.Conflist = found
    return result


def _file(file: ConfFile) -> facts.ConfFile:
    document = file.document
    network, ipam_types = "", list[str]()
    if document:
        with suppress(ConflistError):
            network = document.network()
        ipam_types = sorted(document.ipam_types())
    fault = one_line(file.fault) if isinstance(file.fault, OSError) else str(file.fault or "")
    return {
        "name": file.path.name,
        "network": network,
        "plugin_types": _types(document) if document else [],
        "ipam_types": ipam_types,
        "fault": fault,
    }


def _types(document: Document) -> list[str]:
    with suppress(ConflistError):
        found: Iterable[str] = [plugin.type for plugin in document.plugins()]
        return [name for name in found or sorted(document.plugin_types()) if name]
    return []


def _chain_plugin(folders: Folders, name: str) -> facts.ChainPlugin:
    path = folders.bin / Path(name).name
    found = folders.root.follow(path)
    state: Literal["executable", "not executable", "missing"] = "missing"
    if found.is_file():
        state = "executable" if os.access(found, os.X_OK) else "not executable"
    return {"type": name, "path": folders.name_of(path), "state": state}
