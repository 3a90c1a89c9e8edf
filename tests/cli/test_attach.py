"""attach with a stand-in for the IPAM plugin that shows what it was given; with the real one it is in tests/e2e."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PLUGIN = """#!/bin/sh
[ -e "$0.answer" ] && cat "$0.answer"
cat >"$0.stdin"
env | grep ^CNI_ >"$0.env"
exit "$(cat "$0.status" 2>/dev/null || echo 0)"
"""
CONFLIST = {
    "cniVersion": "1.0.0",
    "name": "k8s-pod-network",
    "plugins": [
        {"type": "tuning"},
        {"type": "calico", "mtu": 0, "ipam": {"type": "ipam-x", "k": 1}},
        {"type": "portmap"},
    ],
}
RESULT = {"cniVersion": "1.0.0", "ips": [{"address": "10.244.100.10/16", "gateway": "10.244.0.1"}],
          "routes": [{"dst": "0.0.0.0/0", "gw": "10.244.0.1"}], "dns": {"domain": "a.b"}}  # fmt: skip


class Setup:
    """A folder with a plugin and a configuration."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plugin = folder / "ipam-x"
        self.plugin.write_text(PLUGIN)
        self.plugin.chmod(0o755)
        self.conf = folder / "10.conflist"
        self.conf.write_text(json.dumps(CONFLIST))

    def answer(self, document: Any, status: int = 0) -> None:
        (self.folder / "ipam-x.answer").write_text(document if isinstance(document, str) else json.dumps(document))
        (self.folder / "ipam-x.status").write_text(str(status))

    def run(self, *args: str) -> subprocess.CompletedProcess[str]:
        state = ["--state", str(self.folder / "state")] if "--pod" in args else []
        command = [sys.executable, "-m", "cni.cli", "attach", *args, "--conf", str(self.conf)]
        return subprocess.run(
            [*command, "--cni-path", f"/nowhere:{self.folder}", *state], capture_output=True, text=True, timeout=30
        )

    def given(self) -> tuple[dict[str, str], dict[str, Any]]:
        """Return the CNI environment and the document that the plugin got last."""
        lines = (self.folder / "ipam-x.env").read_text().splitlines()
        stdin: dict[str, Any] = json.loads((self.folder / "ipam-x.stdin").read_text())
        return dict(line.split("=", 1) for line in lines), stdin


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    return Setup(tmp_path)


def test_the_plugin_gets_what_calico_would_give_it(setup: Setup) -> None:
    setup.answer(RESULT)
    assert setup.run("add", "--pod", "default/a", "--pod-uid", "u-1", "--netns", "/n").returncode == 0
    environ, stdin = setup.given()
    assert stdin == {**CONFLIST["plugins"][1], "cniVersion": "1.0.0", "name": "k8s-pod-network"}  # type: ignore[dict-item]
    assert environ["CNI_COMMAND"] == "ADD"
    assert (environ["CNI_NETNS"], environ["CNI_IFNAME"], len(environ["CNI_CONTAINERID"])) == ("/n", "eth0", 64)
    assert environ["CNI_PATH"] == f"/nowhere:{setup.folder}"
    args = dict(pair.split("=") for pair in environ["CNI_ARGS"].split(";"))
    assert (args["K8S_POD_NAMESPACE"], args["K8S_POD_NAME"], args["K8S_POD_UID"]) == ("default", "a", "u-1")


def test_add_shows_a_table_with_what_there_is(setup: Setup) -> None:
    setup.answer(RESULT)
    shown = setup.run("add", "--pod", "default/a").stdout
    assert all(word in shown for word in ("default/a eth0", "10.244.100.10/16", "0.0.0.0/0 via 10.244.0.1", "a.b"))
    setup.answer({"cniVersion": "0.2.0", "ip4": {"ip": "10.244.100.10/32"}, "ip6": {"ip": "fd00:244::a/128"}})
    shown = setup.run("add", "--pod", "default/a").stdout
    assert "10.244.100.10/32" in shown
    assert "fd00:244::a/128" in shown
    assert "gateway" not in shown


def test_json_is_what_the_plugin_printed(setup: Setup) -> None:
    setup.answer(RESULT)
    assert json.loads(setup.run("add", "--pod", "default/a", "--json").stdout) == RESULT


def test_check_compares_with_the_last_add_until_del(setup: Setup) -> None:
    assert "run that first" in setup.run("check", "--pod", "default/a").stderr
    setup.answer(RESULT)
    setup.run("add", "--pod", "default/a")
    setup.answer("")
    assert setup.run("check", "--pod", "default/a").stdout == "check: ok\n"
    assert setup.given()[1]["prevResult"] == RESULT
    assert setup.run("del", "--pod", "default/a").stdout == "del: ok\n"
    assert setup.run("check", "--pod", "default/a").returncode == 1


def test_a_failure_is_told_in_one_line_with_the_plugins_exit_status(setup: Setup) -> None:
    setup.answer({"cniVersion": "1.0.0", "code": 100, "msg": "exhausted", "details": "pool x"}, status=3)
    done = setup.run("add", "--pod", "default/a")
    assert (done.returncode, done.stdout, done.stderr) == (3, "", "add failed: code 100: exhausted (pool x)\n")
    done = setup.run("add", "--pod", "default/a", "--json")
    assert (done.returncode, json.loads(done.stdout)["code"]) == (3, 100)
    setup.answer("Traceback", status=1)
    assert "exit status 1: Traceback" in setup.run("status").stderr


def test_output_that_is_no_json_is_a_failure(setup: Setup) -> None:
    setup.answer("{")
    done = setup.run("add", "--pod", "default/a")
    assert done.returncode == 1
    assert "not JSON" in done.stderr


def test_gc_frees_nothing_unless_told_what_to_keep(setup: Setup) -> None:
    assert setup.run("gc").returncode == 2
    assert setup.run("gc", "--keep", "c1").returncode == 2
    assert setup.run("gc", "--keep", "c1/eth0", "--keep-none").returncode == 2
    assert setup.run("gc", "--keep", "c1/eth0", "--keep", "c2/net1").returncode == 0
    assert setup.given()[1]["cni.dev/valid-attachments"] == [
        {"containerID": "c1", "ifname": "eth0"},
        {"containerID": "c2", "ifname": "net1"},
    ]
    assert setup.run("gc", "--keep-none").stdout == "gc: ok\n"
    assert setup.given()[1]["cni.dev/valid-attachments"] == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "10.conflist"),
        ("[]", "no plugin with an ipam.type"),
        ('{"plugins": []}', "no plugin with an ipam.type"),
        ('{"plugins": null}', "no plugin with an ipam.type"),
        ("[" * 100_000, "10.conflist"),
        ('{"plugins": [1, {"type": "x", "ipam": {}}]}', "no plugin with an ipam.type"),
        ('{"name": "n", "ipam": {"type": "other"}}', "no plugin 'other' in /nowhere:"),
        ('{"name": "n", "ipam": {"type": "../ipam-x"}}', "no plugin '../ipam-x'"),
    ],
)
def test_a_configuration_that_will_not_do_is_one_line_and_status_1(setup: Setup, text: str, words: str) -> None:
    setup.conf.write_text(text)
    done = setup.run("status")
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert words in done.stderr


@pytest.mark.parametrize("pod", ["a", "/a", "default/"])
def test_a_pod_without_namespace_or_name_is_wrong_usage(setup: Setup, pod: str) -> None:
    assert setup.run("add", "--pod", pod).returncode == 2


def test_a_plugin_that_cannot_be_executed_is_one_line_and_status_1(setup: Setup) -> None:
    setup.plugin.chmod(0o644)
    done = setup.run("status")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "Permission denied" in done.stderr


ODD_RESULTS: list[dict[str, Any]] = [
    {"ips": [{}]},
    {"ips": "x"},
    {"ip4": None},
    {"ips": [{"address": "a"}], "routes": [1]},
]


@pytest.mark.parametrize("result", ODD_RESULTS)
def test_a_result_that_is_none_is_one_line_and_status_1(setup: Setup, result: dict[str, Any]) -> None:
    setup.answer(result)
    done = setup.run("add", "--pod", "default/a")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "not a CNI result" in done.stderr


def test_a_long_pod_name_is_not_cut_in_a_pipe(setup: Setup) -> None:
    setup.answer(RESULT)
    assert "a" * 100 + " eth0" in setup.run("add", "--pod", "default/" + "a" * 100).stdout


def test_a_state_folder_that_cannot_be_written_is_a_warning(setup: Setup) -> None:
    setup.answer(RESULT)
    (setup.folder / "state").touch()
    done = setup.run("add", "--pod", "default/a")
    assert done.returncode == 0
    assert "attach check" in done.stderr
