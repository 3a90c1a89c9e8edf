"""Each exit status that is documented is one that the program ends with, and each command's are documented."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from cni.cli.__main__ import COMMANDS
from cni.contracts.exit_statuses import EXIT_STATUSES
from tests.agent.agent_process import pool, write_pools
from tests.cli.test_doctor import saved
from tests.doctor.documents import CLUSTER, changed, guide
from tests.installer.sample_node import Node
from tests.requirements import ROOT
from tests.test_delegate import StandIn
from tests.waiting import wait_for

Line = list[str]


def ended(*command: str) -> int:
    return subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60).returncode


def ours(*words: str) -> Line:
    return [sys.executable, "-m", "cni.cli", *words]


def terminated(command: Line, is_there: Callable[[], bool]) -> int:
    """End a command that serves by SIGTERM."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(is_there, "the command to serve")
        finally:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        return process.returncode


def install(node: Node, status: str) -> int:
    if status == "0":
        return node.run("install", "--wait-agent=0").returncode
    return node.run("install", "--wait-agent=0", "--plugin-type=flannel", frozen=False).returncode


def uninstall(node: Node, status: str) -> int:
    node.install()
    if status == "3":
        node.cache_result("one", json.loads(node.conflist.read_text()))
    if status == "1":
        node.conflist.unlink()
    return node.run("uninstall", frozen=False).returncode


def status(node: Node, status: str) -> int:
    """Without an agent all is never well, so 0 is that of the probe."""
    ready = node.root / "ready"
    if status == "0":
        ready.touch()
    options = ("--readiness-file", str(ready)) if status == "0" else ()
    return node.run("status", *options, frozen=False).returncode


def watch(node: Node, status: str) -> int:
    if status == "1":
        return node.run("watch", frozen=False).returncode
    node.install()
    ready = node.root / "ready"
    return terminated(node.command("watch", f"--readiness-file={ready}", frozen=False), ready.exists)


def doctor(node: Node, status: str) -> int:
    facts = guide(CLUSTER)
    if status == "1":
        facts = changed(facts, "node.agent.fault", "refused")
    if status == "3":
        facts = changed(facts, "node.agent", {"unknown": "no rights"})
    only = ("--only=node-agent",) if status == "3" else ()
    return ended(*ours("doctor", *saved(node.root, facts), *only))


def pending(node: Node, status: str) -> int:
    options = ("--cni-conf-dir", "/not-utf-8-\udcff") if status == "1" else ()
    return node.run("pending", *options, frozen=False).returncode


def attach(node: Node, status: str) -> int:
    stand_in = StandIn(node.root)
    stand_in.answer("", status=0 if status == "0" else 1)
    if status == "128 and more":
        stand_in.plugin.write_text("#!/bin/sh\nkill -9 $$\n")
    done = ended(*ours("attach", "status", "--conf", str(stand_in.conf), "--cni-path", stand_in.cni_path))
    return 128 if status == "128 and more" and done == 128 + signal.SIGKILL else done


def agent(node: Node, status: str) -> int:
    pools = write_pools(node.root / "pools.yaml", pool("a", "10.244.0.1" if status == "0" else "10.245.0.1"))
    socket = node.root / "socket"
    command = ours("agent", f"--pool={pools}", f"--socket={socket}", f"--state={node.root / 'leases'}")
    return terminated(command, socket.is_socket) if status == "0" else ended(*command)


def version(node: Node, status: str) -> int:
    if status == "0":
        return ended(*ours("version"))
    program = (
        f"import sys; sys._MEIPASS = {str(node.root / 'no/_internal')!r}; from cni.cli.__main__ import main; main()"
    )
    return ended(sys.executable, "-c", program, "version")


RUN = {
    "install": install, "uninstall": uninstall, "status": status, "watch": watch, "doctor": doctor, "pending": pending,
    "attach": attach, "agent": agent, "version": version,
}  # fmt: skip


@pytest.mark.parametrize(
    ("command", "status"), [(command, status) for command, all_ in EXIT_STATUSES.items() for status in all_]
)
def test_a_command_ends_with_what_is_documented(command: str, status: str, node: Node) -> None:
    if status == "2":
        done = subprocess.run(ours(command, "--no-such-option"), cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout) == (2, "")
    else:
        assert RUN[command](node, status) == int(status.split()[0])


def test_every_command_that_people_run_is_documented() -> None:
    assert [name for name, (_, text) in COMMANDS.items() if text] == list(EXIT_STATUSES)
