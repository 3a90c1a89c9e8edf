"""What the test programs of this folder do to network configurations: each is a process, as the real one is a pod.

They read and write as the real ones do: a file is parsed and written anew, without any look at who wrote in between.
"""

import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

POLL = 0.05  # seconds


def configurations(folder: Path) -> list[Path]:
    """Return the files that runtimes load, in their order."""
    return sorted(path for path in folder.iterdir() if path.suffix in (".conf", ".conflist"))


def read(path: Path) -> Any:
    """Return a configuration list; None where it is missing, half-written or no list."""
    try:
        configuration = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    is_list = isinstance(configuration, dict) and configuration.get("name") and configuration.get("plugins")
    return configuration if is_list else None


def first_valid(folder: Path, besides: str = "") -> Path | None:
    """Return the file that a runtime loads."""
    return next((path for path in configurations(folder) if path.name != besides and read(path)), None)


def types(configuration: Any) -> list[str]:
    """Return the types of the plugins."""
    return [plugin["type"] for plugin in configuration["plugins"]]


def with_plugin(configuration: Any, plugin: Any) -> Any:
    return {**configuration, "plugins": [*without_plugin(configuration, plugin["type"])["plugins"], plugin]}


def without_plugin(configuration: Any, plugin_type: str) -> Any:
    return {**configuration, "plugins": [one for one in configuration["plugins"] if one["type"] != plugin_type]}


def write(path: Path, configuration: Any) -> None:
    """Write it as a whole, formatted anew."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(configuration, indent=2))
    temporary.rename(path)


def put_executable(folder: Path, name: str) -> None:
    """Put the plugin into the folder of plugins, as a whole."""
    temporary = folder / f".{name}.tmp"
    temporary.write_text("#!/bin/sh\n")
    temporary.chmod(0o755)
    temporary.rename(folder / name)


def repeat(step: Callable[[], None]) -> None:
    """Do the same again and again, until SIGTERM."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    while not stop.wait(POLL):
        step()
