"""Whatever is given to an option of any command, as an argument can hold it: no command ends in a traceback."""

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from cni.cli.__main__ import COMMANDS, spiderpool_ipam
from cni.cli.watch import HostPort
from tests.installer.sample_node import Node
from tests.test_delegate import StandIn

# What each command is given beside it, to come as far as it can and to an end.
ON_NODE = ["--host-root", "."]
ON_NETWORK = ["--conf", "10.conflist", "--cni-path", "."]
ON_POD = [*ON_NETWORK, "--pod", "default/a", "--state", "state"]
BESIDE = {
    "install": [*ON_NODE, "--dry-run"],
    "uninstall": ON_NODE,
    "status": ON_NODE,
    "pending": ON_NODE,
    "folders": ON_NODE,
    "doctor": [*ON_NODE, "--only=node-installed"],
    "attach add": ON_POD,
    "attach check": ON_POD,
    "attach del": ON_POD,
    "attach status": ON_NETWORK,
    "attach gc": [*ON_NETWORK, "--keep-none"],
    "agent": ["--pool", "nothing", "--socket", "socket", "--state", "state"],
}
ENDLESS = {"--wait"}  # of doctor: it would wait for what is given
ODD = [
    "", "0", "-1", "1e400", "nan", "9" * 5000, "٣", "a" * 70, "a" * 5000, "a/b", "a/" * 50, "a=b", "a=" + "9" * 5000,
    'log_file_path="\\ud800"', "log_file_max_size=1e999", "log_file_max_size=" + "9" * 5000, "log_level=" + "[" * 5000,
    "{", "10.0.0.1", "[::1]:80", "a..b:80", "\t", "%s", "[bold]",
]  # fmt: skip


def arguments() -> st.SearchStrategy[str]:
    """Return what an argument may be: bytes without NUL. Files elsewhere are not to be named."""
    any_bytes = st.binary(max_size=20).map(lambda data: os.fsdecode(data.replace(b"\0", b"").replace(b"/", b".")))
    return any_bytes | st.text("0123456789:.-[]=_ae", max_size=20)


def commands(group: click.Group, name: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for word in COMMANDS if group is spiderpool_ipam else group.list_commands(context):
        command = group.get_command(context, word)
        assert command
        if isinstance(command, click.Group):
            yield from commands(command, f"{name}{word} ")
        else:
            yield f"{name}{word}", command


OPTIONS = [
    (name, option)
    for name, command in commands(spiderpool_ipam)
    for one in command.params
    if isinstance(one, click.Option) and not one.is_flag and (option := one.opts[0]) not in ENDLESS
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = tmp_path_factory.mktemp("t")
    Node(made)
    StandIn(made).answer({"ips": [{"address": "10.244.100.10/16"}]})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made)
        patch.setenv("HOME", "/nonexistent")
        patch.delenv("KUBECONFIG", raising=False)
        yield made


def require_no_traceback(name: str, option: str, value: str) -> None:
    words = [*name.split(), *BESIDE[name], f"{option}={value}"]
    done = CliRunner().invoke(spiderpool_ipam, words)
    assert isinstance(done.exception, SystemExit | None), (words, done.exc_info)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("name", "option"), [one for one in OPTIONS if one[0] in BESIDE])
def test_no_value_ends_in_a_traceback(name: str, option: str) -> None:
    for value in ODD:
        require_no_traceback(name, option, value)


@pytest.mark.usefixtures("folder")
@given(one=st.sampled_from([one for one in OPTIONS if one[0] in BESIDE]), value=arguments())
def test_nor_does_any_other(one: tuple[str, str], value: str) -> None:
    require_no_traceback(*one, value)


@pytest.mark.parametrize("command", ["watch", "status"])
@pytest.mark.parametrize("value", ["", ".", "/"])
def test_a_readiness_file_without_a_name_is_wrong_usage(folder: Path, command: str, value: str) -> None:
    """A folder would be touched in its place. Something that is made in it keeps it fresh: a probe would succeed."""
    (folder / "fresh").touch()
    done = CliRunner().invoke(spiderpool_ipam, [command, *ON_NODE, f"--readiness-file={value}"])
    assert (done.exit_code, "Invalid value for '--readiness-file'" in done.stderr) == (2, True)


def test_every_command_that_ends_by_itself_is_tried() -> None:
    assert {name for name, _ in OPTIONS} - BESIDE.keys() == {"watch"}


@settings(max_examples=500)
@given(value=st.sampled_from(ODD) | arguments() | st.builds("{}:{}".format, arguments(), st.integers(0, 99999)))
def test_an_address_is_refused_or_can_be_looked_up(value: str) -> None:
    with suppress(click.BadParameter):
        host, port = HostPort().convert(value, None, None)
        with suppress(OSError):  # there is no such host
            socket.getaddrinfo(host, port, flags=socket.AI_NUMERICHOST)
