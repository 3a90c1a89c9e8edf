"""Runs the IPAM plugin that a network configuration delegates to, as its main plugin (Calico) does.

CNI specification section 2 ("Parameters"), 3 ("Deriving execution configuration from plugin configuration") and 4
("Delegated plugins"). Side effects: reads the configuration, runs the plugin, and keeps what ADD printed.
"""

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from cni import input_file

_PIPE_TIMEOUT = 5.0  # seconds for `--conf <(…)` to be written
_SHOWN = 200  # bytes of a plugin's output that an error shows


class DelegateError(Exception):
    """There is no plugin to run, or it cannot be run, or prints what it must not; the text is one line."""


class PodInterface(NamedTuple):
    """A pod's interface, as a runtime would name it."""

    pod_namespace: str
    pod_name: str
    pod_uid: str
    container_id: str
    ifname: str
    netns: str

    def environ(self) -> dict[str, str]:
        """Return the CNI parameters of the attachment."""
        args = {
            "IgnoreUnknown": "1",
            "K8S_POD_NAMESPACE": self.pod_namespace,
            "K8S_POD_NAME": self.pod_name,
            "K8S_POD_INFRA_CONTAINER_ID": self.container_id,
            "K8S_POD_UID": self.pod_uid,
        }
        return {
            "CNI_CONTAINERID": self.container_id,
            "CNI_NETNS": self.netns,
            "CNI_IFNAME": self.ifname,
            "CNI_ARGS": ";".join(f"{key}={value}" for key, value in args.items() if value),
        }


def container_id_of(namespace: str, name: str) -> str:
    """Return a container ID for a pod. It is the same each time, so that DEL finds what ADD was given."""
    return hashlib.sha256(f"{namespace}/{name}".encode()).hexdigest()


class Delegate:
    """The IPAM plugin of a network configuration or conflist, and what it is given on stdin."""

    def __init__(self, conf: Path, cni_path: str, cni_version: str | None = None) -> None:
        """Find the plugin; raise DelegateError. `cni_version` takes the place of the configuration's own."""
        # Absolute, because the plugin looks there as well, and subprocess would look for a bare name in PATH.
        self._cni_path = ":".join(str(Path(folder).absolute()) for folder in cni_path.split(":") if folder)
        self._netconf = _execution_configuration(conf)
        if cni_version is not None:
            self._netconf["cniVersion"] = cni_version
        self._executable = _find_executable(self._netconf["ipam"]["type"], self._cni_path)

    def run(self, command: str, attachment: PodInterface | None, **keys: Any) -> subprocess.CompletedProcess[bytes]:
        """Run one CNI command with `keys` added to the configuration on stdin; raise DelegateError."""
        environ = {"CNI_COMMAND": command, "CNI_PATH": self._cni_path, "PATH": os.environ.get("PATH", "")}
        environ |= attachment.environ() if attachment else {}
        stdin = json.dumps({**self._netconf, **keys})
        try:
            # S603: the operator asked for this plugin to be run.
            return subprocess.run(  # noqa: S603
                [self._executable], input=stdin.encode(), env=environ, capture_output=True, check=False
            )
        except OSError as error:
            raise DelegateError(f"cannot run {self._executable}: {error.strerror}") from None

    def result_file(self, folder: Path, attachment: PodInterface) -> Path:
        """Return where the result of ADD is kept for CHECK, under a name like the one that libcni gives it.

        Nobody has checked these names yet, so what is no letter, digit, dot or dash is escaped: a slash would lead out
        of the folder.
        """
        parts = (self._netconf.get("name", ""), attachment.container_id, attachment.ifname)
        return folder / ("-".join(quote(str(part), safe="", errors="surrogatepass") for part in parts) + ".json")


def _execution_configuration(conf: Path) -> dict[str, Any]:
    try:
        document = json.loads(input_file.read(conf, pipe_timeout=_PIPE_TIMEOUT))
    except OSError as error:
        raise DelegateError(f"{conf}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise DelegateError(f"{conf}: {_json_fault(error)}") from None
    plugins = document.get("plugins", [document]) if isinstance(document, dict) else []
    delegating = [plugin for plugin in plugins if _delegates(plugin)] if isinstance(plugins, list) else []
    if not delegating:
        raise DelegateError(f"{conf}: no plugin with an ipam.type in it")
    # SPEC 3: "cniVersion" and "name" are those of the list.
    return {**delegating[0], **{key: document[key] for key in ("cniVersion", "name") if key in document}}


def _delegates(plugin: Any) -> bool:
    ipam = plugin.get("ipam") if isinstance(plugin, dict) else None
    return isinstance(ipam, dict) and isinstance(ipam.get("type"), str)


def _find_executable(name: str, cni_path: str) -> Path:
    paths = [Path(folder) / name for folder in cni_path.split(":") if "/" not in name]
    for path in paths:
        if path.is_file():
            return path
    raise DelegateError(f"no plugin {name!r} in {cni_path}: install it, or name its folder with --cni-path")


def parse_output(output: bytes) -> dict[str, Any]:
    """Return the object that a plugin printed; raise DelegateError, which shows where the output begins."""
    if not output.strip():
        raise DelegateError("the plugin printed nothing")
    try:
        value = json.loads(output.decode())
    except (ValueError, RecursionError) as error:
        fault = _json_fault(error)
    else:
        if isinstance(value, dict):
            return value
        fault = "not an object"
    shown = ascii(output[:_SHOWN].decode(errors="replace"))
    raise DelegateError(f"the plugin's output is {fault}: {shown}{'…' if len(output) > _SHOWN else ''}")


def _json_fault(error: Exception) -> str:
    """Say what is wrong with a text that is no JSON, or that is none that Python reads."""
    if isinstance(error, RecursionError):
        return "JSON that is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        before = error.object[: error.start].decode(error.encoding, "replace")
        return f"not UTF-8 at line {before.count(chr(10)) + 1}, column {len(before) - before.rfind(chr(10))}"
    if isinstance(error, json.JSONDecodeError):
        what = "there is more than one value" if error.msg == "Extra data" else error.msg[:1].lower() + error.msg[1:]
        return f"not JSON at line {error.lineno}, column {error.colno}: {what}"
    return f"not JSON: {error}"


def read_result(file: Path) -> dict[str, Any]:
    """Return the result of ADD that was kept; raise DelegateError."""
    try:
        return parse_output(input_file.read(file))
    except OSError as error:
        raise DelegateError(f"{file}: {error.strerror}") from None
    except DelegateError:
        raise DelegateError(f"{file} is damaged: run `attach add` again") from None


def keep_result(file: Path, result: dict[str, Any]) -> None:
    """Write the result of ADD; raise OSError."""
    partial = file.with_suffix(".partial")
    file.parent.mkdir(parents=True, exist_ok=True)
    partial.unlink(missing_ok=True)
    with partial.open("x") as new:  # never into what somebody else has put there
        json.dump(result, new)
    partial.replace(file)
