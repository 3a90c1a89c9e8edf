"""What is fuzzed: one function per place where bytes come in. Each takes bytes and raises AssertionError, or anything.

What must hold is what the callers are promised: one JSON object or silence, a fitting exit status, no traceback; on the
operator's side one of the module's own errors.
"""

import json
import os
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from cni.agent.pools import PoolError, read_pools
from cni.defaults import PENDING_FOLDER
from cni.installer.conflist.document import ConflistError, read_document
from cni.installer.conflist.ipam import our_ipam
from cni.plugin import __main__ as plugin
from cni.plugin import _rare_validators, agent_errors, check, detection, log_rotation, operations, recovery, result
from cni.plugin.agent_client import NO_LIMIT
from tests.fuzz.__main__ import COMMANDS, SOCKET

POD = b"IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0;K8S_POD_UID=u-1"
CONF = b'{"cniVersion":"1.0.0","name":"n","type":"calico","ipam":{"type":"spiderpool","ipam_unix_socket_path":"%s"}}'
SILENT = {b"DEL", b"CHECK", b"STATUS", b"GC"}
# In the chroot there is nothing to import from.
LOADED_LATER = (_rare_validators, agent_errors, check, detection, log_rotation, recovery, result)


class Agent:
    """Answers every connection with `answer`, on a real socket."""

    def __init__(self) -> None:
        self.answer = b""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(SOCKET)
        self._listener.listen(64)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            with connection:
                try:
                    connection.recv(1 << 20)
                    connection.sendall(self.answer)
                except OSError:
                    continue


def call(environ: Mapping[bytes, bytes], stdin: bytes) -> None:
    """Run the plugin in process and assert what its caller is promised."""
    descriptors = [os.memfd_create(name) for name in ("in", "out", "err")]
    try:
        os.write(descriptors[0], stdin)
        os.lseek(descriptors[0], 0, os.SEEK_SET)
        status = plugin.main(environ, *descriptors)
        os.lseek(descriptors[1], 0, os.SEEK_SET)
        assert_promise(environ[b"CNI_COMMAND"], status, os.read(descriptors[1], 1 << 20))
        assert not os.lseek(descriptors[2], 0, os.SEEK_END), "something on stderr"
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
        # What one input leaves pending must not slow the next one down.
        for path in Path(PENDING_FOLDER).glob("*"):
            path.unlink()


def assert_promise(command: bytes, status: int, stdout: bytes) -> None:
    """One JSON object, or silence after a success of DEL, CHECK, STATUS, GC; exit 0 or 1; no internal error."""
    if not stdout:
        assert (status, command in SILENT) == (0, True), "no output"
        return
    printed = json.loads(stdout)
    assert status == ("code" in printed), printed
    assert printed.get("code") != 999, printed
    assert len(printed.get("details", "").encode()) <= plugin.DETAILS_LIMIT
    assert len((printed.get("msg", "") + printed.get("details", "")).splitlines()) <= 1


def environment(command: str, args: bytes = POD) -> dict[bytes, bytes]:
    """Return a runtime's environment."""
    return {b"CNI_COMMAND": command.encode(), b"CNI_CONTAINERID": b"c" * 64, b"CNI_NETNS": b"/var/run/netns/x",
            b"CNI_IFNAME": b"eth0", b"CNI_PATH": b"/opt/cni/bin", b"CNI_ARGS": args}  # fmt: skip


def set_up() -> Agent:
    """Serve the agent; have nobody wait for one that is not there, as that is no hang."""
    operations.LIMITS.update(dict.fromkeys(operations.LIMITS, (NO_LIMIT, NO_LIMIT, 0)))
    operations.LIMITS.update(DEL=(1, 1, 0), STATUS=(1, 1, 0))
    check.RETRY = 0.0
    return Agent()


def fuzz_stdin(data: bytes, agent: Agent) -> None:
    """The network configuration; its first byte chooses the command."""
    agent.answer = b'HTTP/1.1 200 OK\r\n\r\n{"ips":[{"version":4,"address":"10.0.0.1/16","nic":"eth0"}]}'
    call(environment(COMMANDS[data[0] % len(COMMANDS)] if data else "ADD"), data[1:])


def fuzz_cni_args(data: bytes, agent: Agent) -> None:
    """CNI_ARGS; its first byte chooses a variable that gets the rest instead."""
    environ = environment("ADD")
    names = [b"CNI_ARGS"] * 4 + [b"CNI_CONTAINERID", b"CNI_IFNAME", b"CNI_NETNS", b"CNI_COMMAND"]
    environ[names[data[0] % len(names)] if data else b"CNI_ARGS"] = data[1:].replace(b"\0", b"")
    if not environ[b"CNI_COMMAND"]:
        return  # that is no call: it prints what this is, on stderr
    agent.answer = b""
    call(environ, CONF % SOCKET.encode())


def fuzz_agent(data: bytes, agent: Agent) -> None:
    """What the agent answers; its first byte chooses the command."""
    agent.answer = data[1:]
    stdin = CONF % SOCKET.encode()
    if data[:1] and data[0] % 4 == 0:
        stdin = stdin.replace(b'"calico"', b'"ptp"')
    call(environment(COMMANDS[data[0] % 5] if data else "ADD"), stdin[:-1] + b',"cni.dev/valid-attachments":null}')


def fuzz_conflist(data: bytes, _agent: Agent) -> None:
    """A file in the folder of conflists: refused, or swapped and given back byte for byte."""
    try:
        document = read_document(data.decode())
        found = document.delegations("calico")
    except (UnicodeDecodeError, ConflistError):
        return
    for number, delegation in enumerate(found):
        ours = our_ipam(delegation.ipam, delegation.ipam, {"log_level": "info"})
        swapped = read_document(document.with_ipam(delegation, ours))
        again = swapped.delegations("calico")
        assert len(again) == len(found)
        assert again[number].ipam_type == "spiderpool"
        assert our_ipam(again[number].ipam, again[number].ipam, {"log_level": "info"}) == again[number].ipam
        assert swapped.with_ipam(again[number], delegation.ipam) == document.text


def fuzz_pools(data: bytes, _agent: Agent) -> None:
    """A file of SpiderIPPools: refused in one line, or read."""
    path = Path("/pools.yaml")
    path.write_bytes(data)
    try:
        pools = read_pools([path], lambda _: None)
    except PoolError as error:
        assert len(str(error).splitlines()) <= 1, str(error)
        return
    for pool in pools:
        assert pool.name


TARGETS: dict[str, Callable[[bytes, Agent], None]] = {
    "stdin": fuzz_stdin,
    "cni_args": fuzz_cni_args,
    "agent": fuzz_agent,
    "conflist": fuzz_conflist,
    "pools": fuzz_pools,
}
