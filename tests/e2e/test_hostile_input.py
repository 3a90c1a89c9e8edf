"""Hostile input to the frozen plugin: it prints an error object with the right code, soon and in little memory."""

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import requirements
from tests.waiting import SLACK

WITHIN = 0.1  # seconds
MEMORY = 64 * 1024  # KiB, the peak that the kernel counted
MEGABYTE = 2**20
CONF = b'{"cniVersion":"1.0.0","name":"n","type":"calico","ipam":{"type":"spiderpool","log_file_path":"/dev/null"'
POD = b"IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0"


def conf(more: bytes = b"", ipam: bytes = b"") -> bytes:
    return CONF + ipam + b"}" + more + b"}"


def deep(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


# name -> (stdin, variables in addition to the usual ones, expected code)
CASES: dict[str, tuple[bytes, dict[bytes, bytes], int]] = {
    "stdin of 17 MiB": (b" " * 17 * MEGABYTE, {}, 5),
    "stdin of 17 MiB of JSON": (conf(b',"x":"' + b"x" * 17 * MEGABYTE + b'"'), {}, 5),
    "JSON nested 10,000 deep": (conf(b',"x":' + deep(10000)), {}, 6),
    "objects nested 10,000 deep": (conf(b',"x":' + b'{"a":' * 10000 + b"1" + b"}" * 10000), {}, 6),
    "a number of 100,000 digits": (conf(ipam=b',"request_timeout":' + b"9" * 100000), {}, 6),
    "100,000 keys": (conf(b"".join(b',"k%d":1' % number for number in range(100000))), {b"CNI_IFNAME": b"/"}, 4),
    "NUL in the JSON": (conf(ipam=b',"ipam_unix_socket_path":"/a\\u0000b"'), {}, 7),
    "a bare NUL": (b"\0" * 1000, {}, 6),
    "a lone surrogate in the JSON": (conf(ipam=b',"ipam_unix_socket_path":"/\\ud800"'), {}, 6),
    "UTF-16": (conf().decode().encode("utf-16"), {}, 6),
    "bytes that are no UTF-8 in CNI_ARGS": (conf(), {b"CNI_ARGS": POD + b";K8S_POD_UID=\xff\xfe"}, 4),
    "a surrogate's bytes in the container ID": (conf(), {b"CNI_CONTAINERID": b"c\xed\xa0\x80"}, 4),
    "a container ID with slashes": (conf(), {b"CNI_CONTAINERID": b"../../etc/passwd"}, 4),
    "a container ID of 100 kB": (conf(), {b"CNI_CONTAINERID": b"c" * 100000 + b"/"}, 4),
    "an interface with a slash": (conf(), {b"CNI_IFNAME": b"../eth0"}, 4),
    "CNI_ARGS of 100 kB": (conf(), {b"CNI_ARGS": b";".join([b"K%d=v" % number for number in range(10000)])}, 4),
    "CNI_ARGS without a pair": (conf(), {b"CNI_ARGS": b"=" * 100000}, 4),
    "a command that is none": (conf(), {b"CNI_COMMAND": b"\xff" * 1000}, 4),
}  # fmt: skip


def call(stdin: bytes, more: dict[bytes, bytes], folder: Path) -> tuple[int, bytes, float, int]:
    """Run the plugin; return status, stdout, seconds and peak memory in KiB.

    GNU time starts it: of a child that this process starts, the kernel would count this process' own memory as well.
    """
    environ = {b"CNI_COMMAND": b"ADD", b"CNI_CONTAINERID": b"c-1", b"CNI_NETNS": b"/n", b"CNI_IFNAME": b"eth0",
               b"CNI_PATH": b"/opt/cni/bin", b"CNI_ARGS": POD, **more}  # fmt: skip
    command = [
        requirements.need_program("time"),
        "--format=%M",
        f"--output={folder}/memory",
        str(requirements.need_frozen("spiderpool")),
    ]
    started = time.monotonic()
    done = subprocess.run(command, env=environ, input=stdin, capture_output=True, timeout=60)
    seconds = time.monotonic() - started
    return done.returncode, done.stdout, seconds, int((folder / "memory").read_text().split()[-1])


@pytest.mark.parametrize("name", CASES)
def test_it_is_an_error_object_soon_and_in_little_memory(
    name: str, tmp_path: Path, show: Callable[[str], None]
) -> None:
    stdin, environ, code = CASES[name]
    status, stdout, seconds, memory = call(stdin, environ, tmp_path)
    error = json.loads(stdout)
    assert (status, error["code"]) == (1, code), error
    assert len(stdout) < 1000
    assert "\n" not in error["msg"]
    show(f"{name}: code {code}, {seconds * 1000:.0f} ms, {memory / 1024:.0f} MiB")
    assert seconds < WITHIN + SLACK
    assert memory < MEMORY


def test_the_largest_stdin_is_still_read(tmp_path: Path) -> None:
    stdin = conf(ipam=b',"ipam_unix_socket_path":"' + f"{tmp_path}/none".encode() + b'","request_timeout":1')
    stdin += b" " * (16 * MEGABYTE - len(stdin))
    status, stdout, _, _ = call(stdin, {}, tmp_path)
    assert (status, json.loads(stdout)["code"]) == (1, 11)
