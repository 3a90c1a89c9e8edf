"""install, uninstall, status and watch as their users see them: usage, reports, exit statuses."""

import json
import os
import socket
import subprocess
import sys
import time

import pytest

from tests import requirements
from tests.installer.sample_node import COPY, Node

SWAP = ("install", "--wait-agent", "0")


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
    assert first[0].endswith("installed; another plugin of this name was there: it is kept, and returns at uninstall")
    assert first[1].startswith("starts    ")
    assert first[2] == "conflist  /etc/cni/net.d/10-calico.conflist: swapped (ipam.type is calico-ipam)"
    again = node.run(*SWAP).stdout.splitlines()
    assert [line.rpartition(" ")[2] for line in [again[0], *again[2:]]] == ["unchanged", "unchanged", "none"]


def test_who_wants_no_image_has_none_until_it_is_wanted_again(node: Node) -> None:
    requirements.need_frozen("_internal/spiderpool.image")

    def starts() -> list[str]:
        return [line for line in node.run("status").stdout.splitlines() if line.startswith("starts")]

    without = "starts    without its image: it was asked for with --no-image"
    assert without in node.run(*SWAP, "--no-image").stdout
    assert without in node.run(*SWAP).stdout  # what was asked for stays
    assert starts() == [without]
    assert "starts    from its image" in node.run(*SWAP, "--image").stdout
    assert starts() == ["starts    from its image"]


def test_the_json_reports_hold_what_the_texts_do(node: Node) -> None:
    report = json.loads(node.run(*SWAP, "--json").stdout)
    assert report.pop("bundle").startswith("0.1.0-")
    assert report == {
        "binDir": "/opt/cni/bin",
        "confDir": "/etc/cni/net.d",
        "bundleChanged": True,
        "foreignKept": False,
        "start": report["start"],
        "conflist": "/etc/cni/net.d/10-calico.conflist",
        "conflistChanged": True,
        "message": "ipam.type is calico-ipam",
        "loadedFirst": None,
        "options": [],
        "optionsKept": [],
    }
    status = json.loads(node.run("status", "--json").stdout)
    assert (status["ipamType"], status["driftCount"], status["conflistModified"]) == ("spiderpool", 0, False)
    assert status["problems"] == ["the spiderpool-agent on /var/run/spidernet/spiderpool.sock: " + status["agentFault"]]
    dry = json.loads(node.run("install", "--dry-run", "--json", "--as", COPY).stdout)
    assert dry["diff"].startswith(f"--- /etc/cni/net.d/{COPY}\n")
    given_back = json.loads(node.run("uninstall", "--json").stdout)
    assert given_back["pluginStays"] == []
    assert "/etc/cni/net.d/10-calico.conflist: its original ipam is restored" in given_back["done"]


def test_settings_reach_the_conflist(node: Node) -> None:
    node.run(*SWAP, "--set", "ipam_unix_socket_path=/x.sock", "--set", "log_file_max_count=3")
    assert node.ipam() == {"type": "spiderpool", "ipam_unix_socket_path": "/x.sock", "log_file_max_count": 3}
    assert "/x.sock: there is no such socket" in node.run("status").stdout


def test_where_the_plugin_stays_the_status_is_3_and_the_reason_is_told(node: Node) -> None:
    node.run(*SWAP)
    node.cache_result("one", json.loads(node.conflist.read_text()))
    done = node.run("uninstall")
    assert done.returncode == 3
    assert "the plugin stays: 1 attachment was made with it" in done.stderr
    node.cache_result("two", json.loads(node.conflist.read_text().replace("calico-ipam", "spiderpool")))
    assert "the plugin stays: 2 attachments were made with it" in node.run("uninstall").stderr
    assert "uninstall has restored the conflist" in node.run("status").stderr
    assert node.run("uninstall", "--force").returncode == 0
    assert not node.plugin.exists()


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        ("unlink opt/cni/bin/spiderpool", "is missing or another program: run install"),
        pytest.param(
            "echo x >opt/cni/bin/.spiderpool/current/../../spiderpool2; rm opt/cni/bin/spiderpool",
            "is missing or another program",
            marks=pytest.mark.slow,
        ),
        ("sed -i s/spiderpool/calico-ipam/ etc/cni/net.d/10-calico.conflist", "ipam.type is calico-ipam"),
        pytest.param("echo { >etc/cni/net.d/10-calico.conflist", "not JSON", marks=pytest.mark.slow),
        pytest.param("echo { >etc/cni/net.d/.spiderpool-ipam.swap", "its copy", marks=pytest.mark.slow),
        ("rm -r var/lib/spiderpool-ipam; echo { >etc/cni/net.d/.spiderpool-ipam.swap", "uninstall --force"),
        pytest.param(
            "sed s/spiderpool/whereabouts/ etc/cni/net.d/10-calico.conflist >etc/cni/net.d/02-x.conflist",
            "runtimes load /etc/cni/net.d/02-x.conflist before",
            marks=pytest.mark.slow,
        ),
        ("echo x >opt/cni/bin/spiderpool", "is damaged"),
        pytest.param(
            "rm opt/cni/bin/.spiderpool/current/_internal/base_library.zip", "is damaged", marks=pytest.mark.slow
        ),
        ("echo '{}' >etc/cni/net.d/01-x.conf", "runtimes load /etc/cni/net.d/01-x.conf before"),
        pytest.param("", "there is no such socket", marks=pytest.mark.slow),
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


def test_the_probe_tells_by_its_status_whether_watch_is_at_work(node: Node) -> None:
    ready = node.root / "ready"

    def status() -> int:
        return node.run("status", "--readiness-file", str(ready), frozen=False).returncode

    assert status() == 1
    ready.touch()
    assert status() == 0
    os.utime(ready, (time.time() - 11, time.time() - 11))  # watch touches it twice a second, unless it hangs
    assert status() == 1


def test_an_address_that_is_in_use_is_named(node: Node) -> None:
    node.run(*SWAP)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        done = node.run("watch", "--metrics-addr", address)
    assert (done.returncode, done.stdout) == (1, "")
    text = f"the metrics cannot be served on {address}: Address already in use"
    assert done.stderr.endswith(f' level=error msg="{text}"\n')


@pytest.mark.parametrize("address", ["127.0.0.1:65536", "h:" + "9" * 5000, "h:٣", f"{'a' * 64}:80", "a..b:80", "[]:80"])
def test_an_address_that_is_none_is_wrong_usage(node: Node, address: str) -> None:
    node.run(*SWAP)
    done = node.run("watch", "--metrics-addr", address, frozen=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("want HOST:PORT: a name or an address, and a number up to 65535")
    assert "Traceback" not in done.stderr


def test_a_folder_whose_name_is_not_utf_8_is_refused_before_anything_is_done(node: Node) -> None:
    folder = node.conf.rename(os.fsdecode(bytes(node.root / "n") + b"\xff"))
    done = subprocess.run([*node.command(*SWAP), "--cni-conf-dir", b"/n\xff"], capture_output=True, text=True)
    text = "Error: --cni-conf-dir /n\\xff: the name is not UTF-8, give the folder another one\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", text)
    assert ([path.name for path in node.bin.iterdir()], len(list(folder.iterdir()))) == (["calico"], 1)
    assert not (node.root / "var").exists()


@pytest.mark.parametrize("value", [b'log_file_path="\\ud800"', b"log_file_path=/\xff"])
def test_what_no_file_can_hold_is_refused_before_anything_is_done(node: Node, value: bytes) -> None:
    done = subprocess.run([*node.command(*SWAP), "--set", value], capture_output=True)
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr
    assert [path.name for path in node.bin.iterdir()] == ["calico"]


def test_what_was_installed_by_flags_needs_none_to_be_shown_and_given_back(node: Node) -> None:
    node.conf.rename(node.root / "custom")
    node.conf.mkdir()
    assert node.run(*SWAP, "--cni-conf-dir=/custom").returncode == 0
    assert "/custom/10-calico.conflist" in node.run("status").stdout
    assert node.run("uninstall", "--cni-conf-dir=/etc/cni/net.d").returncode == 1
    done = node.run("uninstall")
    assert "/custom/10-calico.conflist: its original ipam is restored" in done.stdout
    assert [path.name for path in node.bin.iterdir()] == ["calico"]


def test_from_sources_there_is_nothing_to_install(node: Node) -> None:
    done = node.run(*SWAP, frozen=False)
    assert done.returncode == 1
    assert "make build" in done.stderr


@pytest.mark.parametrize("command", ["version", "status"])
def test_reports_load_no_server_and_no_client(node: Node, command: str) -> None:
    line = node.command(command, "--json", frozen=False)
    line[1:1] = ["-X", "importtime"]
    done = subprocess.run(line[:-2] if command == "version" else line, capture_output=True, text=True)
    assert json.loads(done.stdout)
    loaded = ("starlette", "uvicorn", "httpx", "pyroute2", "watchfiles", "prometheus_client", "rich")
    assert not [name for name in loaded if f" {name}\n" in done.stderr]


def test_helps_import_neither_server_nor_client(node: Node) -> None:
    for command in ("install", "uninstall", "status"):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "cni.cli", command, "--help"], capture_output=True, text=True
        )
        assert done.returncode == 0
        assert not [
            name for name in ("httpx", "pydantic", "watchfiles", "starlette", "pyroute2") if f" {name}\n" in done.stderr
        ]
