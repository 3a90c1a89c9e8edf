"""install, uninstall, status and watch as their users see them: usage, reports, exit statuses."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.installer.node import COPY, Node
from tests.installer.test_install import cache_result

SWAP = ("install", "--wait-agent", "0")


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--wait-agent", "soon"], "want seconds, as 60s, or 2m, or 0"),
        (["--set", "log_level"], "want KEY=VALUE"),
        (["--set", "log_levl=info"], "'log_levl' is no setting"),
        (["--host-root", "/nowhere"], "does not exist"),
    ],
)
def test_wrong_usage_is_told_with_status_2_before_anything_is_done(
    node: Node, arguments: list[str], words: str
) -> None:
    command = node.command("install", *arguments, frozen=False)
    done = subprocess.run(command if "--host-root" not in arguments else command[:-2], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert [path.name for path in node.bin.iterdir()] == ["calico"]


def test_the_report_says_what_was_done_and_then_that_nothing_was(node: Node) -> None:
    (node.plugin).write_text("another's")
    first = node.run(*SWAP).stdout.splitlines()
    assert "/opt/cni/bin/spiderpool: 0.1.0-" in first[0]
    assert first[0].endswith("put there")
    assert "kept for uninstall" in first[1]
    assert first[2] == "conflist  /etc/cni/net.d/10-calico.conflist: swapped (ipam.type is calico-ipam)"
    again = node.run(*SWAP).stdout.splitlines()
    assert [line.rpartition(" ")[2] for line in again] == ["before", "before"]


def test_the_json_reports_hold_what_the_texts_do(node: Node) -> None:
    report = json.loads(node.run(*SWAP, "--json").stdout)
    assert report.pop("bundle").startswith("0.1.0-")
    assert report == {
        "binDir": "/opt/cni/bin",
        "confDir": "/etc/cni/net.d",
        "bundleChanged": True,
        "foreignKept": False,
        "conflist": "/etc/cni/net.d/10-calico.conflist",
        "conflistChanged": True,
        "why": "ipam.type is calico-ipam",
        "loadedFirst": None,
    }
    status = json.loads(node.run("status", "--json").stdout)
    assert (status["ipamType"], status["reverts"], status["edited"]) == ("spiderpool", 0, False)
    assert status["problems"] == ["the spiderpool-agent on /var/run/spidernet/spiderpool.sock: " + status["agentFault"]]
    dry = json.loads(node.run("install", "--dry-run", "--json", "--as", COPY).stdout)
    assert dry["diff"].startswith(f"--- /etc/cni/net.d/{COPY}\n")
    given_back = json.loads(node.run("uninstall", "--json").stdout)
    assert given_back["pluginStays"] == []
    assert "/etc/cni/net.d/10-calico.conflist: has its ipam back" in given_back["done"]


def test_settings_reach_the_conflist(node: Node) -> None:
    node.run(*SWAP, "--set", "ipam_unix_socket_path=/x.sock", "--set", "log_file_max_count=3")
    assert node.ipam() == {"type": "spiderpool", "ipam_unix_socket_path": "/x.sock", "log_file_max_count": 3}
    assert "/x.sock: there is no such socket" in node.run("status").stdout


def test_where_the_plugin_stays_the_status_is_3_and_the_reason_is_told(node: Node) -> None:
    node.run(*SWAP)
    cache_result(node, "one", json.loads(node.conflist.read_text()))
    done = node.run("uninstall")
    assert done.returncode == 3
    assert "the plugin stays: 1 attachments were made with it" in done.stderr
    assert "given back" in node.run("status").stderr
    assert node.run("uninstall", "--force").returncode == 0
    assert not node.plugin.exists()


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        ("unlink opt/cni/bin/spiderpool", "is not ours: install again"),
        ("echo x >opt/cni/bin/.spiderpool/current/../../spiderpool2; rm opt/cni/bin/spiderpool", "is not ours"),
        ("sed -i s/spiderpool/calico-ipam/ etc/cni/net.d/10-calico.conflist", "ipam.type is calico-ipam"),
        ("echo { >etc/cni/net.d/10-calico.conflist", "not JSON"),
        ("echo { >etc/cni/net.d/.spiderpool-ipam.swap", "move it away"),
        ("cp etc/cni/net.d/10-calico.conflist etc/cni/net.d/20-x.conflist", "name the file with --conf"),
        ("echo '{}' >etc/cni/net.d/01-x.conf", "runtimes load /etc/cni/net.d/01-x.conf before"),
        ("", "there is no such socket"),
    ],
)
def test_status_tells_each_trouble_and_ends_with_1(node: Node, trouble: str, words: str) -> None:
    node.run(*SWAP)
    subprocess.run(["sh", "-c", trouble], cwd=node.root, check=True)
    done = node.run("status")
    assert done.returncode == 1
    assert words in done.stderr


def test_on_a_bare_node_status_says_that_nothing_is_installed(node: Node) -> None:
    done = node.run("status", frozen=False)
    assert done.returncode == 1
    assert "nothing is installed here" in done.stderr


def test_the_probe_tells_by_its_status_whether_the_file_is_there(node: Node) -> None:
    assert node.run("status", "--readiness-file", str(node.root / "ready"), frozen=False).returncode == 1
    (node.root / "ready").touch()
    assert node.run("status", "--readiness-file", str(node.root / "ready"), frozen=False).returncode == 0


def test_from_sources_there_is_nothing_to_install(node: Node) -> None:
    done = node.run(*SWAP, frozen=False)
    assert done.returncode == 1
    assert "make build" in done.stderr


def test_helps_import_neither_server_nor_client(node: Node) -> None:
    for command in ("install", "uninstall", "status"):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "cni.cli", command, "--help"], capture_output=True, text=True
        )
        assert done.returncode == 0
        assert not [
            name for name in ("httpx", "pydantic", "watchfiles", "fastapi", "pyroute2") if f" {name}\n" in done.stderr
        ]
