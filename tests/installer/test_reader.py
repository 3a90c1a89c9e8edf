"""A runtime that loads the folder all the time, as libcni does, while it is swapped and given back a thousand times.

Most swaps are install's and uninstall's own way to the disk (apply.reconcile, restore), without copying the bundle;
every fiftieth takes the plugin away as well, and installs it again.
"""

import json
import multiprocessing
import multiprocessing.synchronize
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cni.installer import uninstall as installer
from cni.installer.conflist.folder import SUFFIXES
from tests.installer.conflist.writes import reconciled, restored
from tests.installer.sample_node import COPY, Node

SWAPS = 1000
LOADS = 10000
WHOLE = 50  # swaps from one that takes the plugin away to the next


def load(conf: Path, plugins: Path) -> str:
    """Load as libcni does (ConfFiles, ConfListFromFile, FindInPath); return the IPAM plugin's name, or a complaint."""
    names = sorted(name for name in os.listdir(conf) if Path(name).suffix in SUFFIXES)  # noqa: PTH208
    for name in names:
        try:
            data = (conf / name).read_bytes()
        except FileNotFoundError:
            if name == COPY:
                continue  # removed since it was listed; a runtime looks again at the event
            return f"{name} has vanished"
        try:
            ipam: str = json.loads(data)["plugins"][0]["ipam"]["type"]
        except (ValueError, LookupError):
            return f"cannot be parsed: {data!r}"
        return ipam if (plugins / ipam).is_file() else f"there is no plugin {ipam}"
    return "no configuration"


def read_all_the_time(conf: Path, plugins: Path, stop: "multiprocessing.synchronize.Event", results: Any) -> None:
    seen: Counter[str] = Counter()
    while not stop.is_set():
        seen[load(conf, plugins)] += 1
    results.put(seen)


@pytest.mark.parametrize("as_name", ["", COPY])
@pytest.mark.slow
def test_no_load_ever_finds_a_missing_or_broken_configuration(
    node: Node, as_name: str, show: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A load that has read the conflist still looks for the plugin when the conflist is back.
    monkeypatch.setattr(installer, "SETTLE", 0.3)
    (node.bin / "calico-ipam").touch()
    node.install(as_name)
    context = multiprocessing.get_context("spawn")
    stop, results = context.Event(), context.SimpleQueue()
    reader = context.Process(target=read_all_the_time, args=(node.conf, node.bin, stop, results))
    reader.start()
    for number in range(SWAPS):
        if number % WHOLE == 0:
            node.uninstall()
            assert not node.plugin.exists()
            node.install(as_name)
        restored(node)
        reconciled(node, as_name=as_name)
    stop.set()
    seen = results.get()
    reader.join(30)
    how = f"{SWAPS} swaps, {SWAPS // WHOLE} without the plugin meanwhile"
    show(f"{as_name or 'in place'}: {how}, {seen.total()} loads: {dict(seen)}")
    assert set(seen) == {"spiderpool", "calico-ipam"}
    assert seen.total() > LOADS
