"""Runs a kubeconfig's exec plugin, which says who the user is. Side effect: runs it, and ends it and its children.

Its stderr is the caller's, as kubectl does it: what it says there may be secret, and has no place among the facts.
"""

import json
import os
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

from cni import ready
from cni.contracts.kubeconfig import EXEC_CREDENTIAL, Exec, ExecStatus
from cni.deadline import Deadline
from cni.doctor import caller
from cni.doctor.collect.kubeconfig import Access, AccessError
from cni.installer.node.os_errors import one_line

_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
_SECONDS = 20.0
_MOST = 1 << 20  # bytes that it may print


def credential(access: Access, plugin: Exec, deadline: Deadline) -> ExecStatus:
    """Run the plugin and return the credential that it prints. AccessError."""
    from pydantic import ValidationError

    version = plugin["apiVersion"]
    if version not in _VERSIONS:
        raise AccessError(f"the exec plugin speaks {version}: only v1 and v1beta1 are known")
    if plugin.get("interactiveMode") == "Always":
        raise AccessError(f"the exec plugin {plugin['command']} wants to talk to somebody: log in with kubectl first")
    output = _run([_program(access, plugin), *(plugin.get("args") or [])], _environment(access, plugin), deadline)
    try:
        said = EXEC_CREDENTIAL.validate_json(output)
    except ValidationError:  # its text would quote the output
        raise AccessError(f"the exec plugin {plugin['command']} has printed no ExecCredential") from None
    if said["apiVersion"] != version:
        raise AccessError(f"the exec plugin {plugin['command']} was asked for {version}, and says {said['apiVersion']}")
    return said["status"]


def _program(access: Access, plugin: Exec) -> str:
    command = plugin["command"]
    path = str(access.folder / command) if "/" in command else shutil.which(command)
    if not path or not Path(path).is_file():
        hint = plugin.get("installHint", "")
        raise AccessError(" ".join(filter(None, (f"the exec plugin {command} is not installed.", hint))))
    return path


def _environment(access: Access, plugin: Exec) -> dict[str, str]:
    spec: dict[str, object] = {"interactive": False}
    if plugin.get("provideClusterInfo"):
        spec["cluster"] = access.cluster
    info = {"apiVersion": plugin["apiVersion"], "kind": "ExecCredential", "spec": spec}
    told = {one["name"]: one["value"] for one in plugin.get("env") or []}
    return {**caller.environment(), **told, "KUBERNETES_EXEC_INFO": json.dumps(info)}


def _run(command: list[str], environment: dict[str, str], deadline: Deadline) -> bytes:
    """Return what it prints. It has a session of its own, so that its children end with it. AccessError."""
    name = Path(command[0]).name
    limit = deadline.within(_SECONDS)
    try:
        process = subprocess.Popen(  # noqa: S603  (the user's own kubeconfig names it)
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True
        )
    except OSError as error:
        raise AccessError(f"the exec plugin: {one_line(error)}") from None
    except ValueError:  # a NUL, or the name of a variable with an equals sign
        raise AccessError(f"the exec plugin {name} has arguments or variables that no program can have") from None
    is_done = False
    try:
        output = _read(process, name, limit)
        status = process.wait(limit.left())
        is_done = True
    except (TimeoutError, subprocess.TimeoutExpired):
        raise AccessError(f"the exec plugin {name} has not ended within {_SECONDS:g} s") from None
    finally:
        if not is_done:  # it was not waited for, so its number is still its own and its children's
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if process.stdout:
            process.stdout.close()
    if status:
        raise AccessError(f"the exec plugin {name} has ended with status {status}")
    return output


def _read(process: "subprocess.Popen[bytes]", name: str, limit: Deadline) -> bytes:
    """Return what a plugin prints. AccessError, TimeoutError."""
    output = bytearray()
    descriptor = process.stdout.fileno() if process.stdout else -1
    while True:
        if not ready.to_read(descriptor, limit.require_left()):
            raise TimeoutError
        if not (part := os.read(descriptor, 1 << 16)):
            return bytes(output)
        output += part
        if len(output) > _MOST:
            raise AccessError(f"the exec plugin {name} prints more than {_MOST >> 20} MiB")
