"""`spiderpool-ipam attach` with a stand-in for the IPAM plugin; tests/e2e runs it with the real one."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.test_delegate import StandIn

RESULT = {"cniVersion": "1.0.0", "ips": [{"address": "10.244.100.10/16", "gateway": "10.244.0.1"}],
          "routes": [{"dst": "0.0.0.0/0", "gw": "10.244.0.1"}], "dns": {"domain": "a.b"}}  # fmt: skip


class Setup(StandIn):
    """A stand-in for the plugin, and the commands that run it."""

    def run(self, *args: str) -> subprocess.CompletedProcess[str]:
        state = ["--state", str(self.folder / "state")] if "--pod" in args else []
        command = [sys.executable, "-m", "cni.cli", "attach", *args, "--conf", str(self.conf)]
        return subprocess.run(
            [*command, "--cni-path", self.cni_path, *state], capture_output=True, text=True, timeout=30
        )


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    return Setup(tmp_path)


def test_the_options_name_the_attachment(setup: Setup) -> None:
    setup.answer(RESULT)
    assert setup.run("add", "--pod", "default/a", "--pod-uid", "u-1", "--netns", "/n").returncode == 0
    environ, _ = setup.given()
    assert (environ["CNI_NETNS"], environ["CNI_IFNAME"], len(environ["CNI_CONTAINERID"])) == ("/n", "eth0", 64)
    assert environ["CNI_PATH"] == setup.cni_path
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


def test_a_configuration_that_will_not_do_is_one_line_and_status_1(setup: Setup) -> None:
    setup.conf.write_text("{")
    done = setup.run("status")
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert "10.conflist" in done.stderr


@pytest.mark.parametrize("pod", ["a", "/a", "default/"])
def test_a_pod_without_namespace_or_name_is_wrong_usage(setup: Setup, pod: str) -> None:
    assert setup.run("add", "--pod", pod).returncode == 2


def test_a_plugin_that_cannot_be_executed_is_one_line_and_status_1(setup: Setup) -> None:
    setup.plugin.chmod(0o644)
    done = setup.run("status")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "Permission denied" in done.stderr


ODD_RESULTS: list[dict[str, Any]] = [
    {"ips": [{"address": 5}]},
    {"ips": [{"address": "a", "gateway": 5}]},
    {"ips": [{"address": "a"}], "routes": [{"dst": None}]},
    {"ips": {"address": "a"}},
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


def test_values_are_printed_literally_and_not_wrapped_in_a_pipe(setup: Setup) -> None:
    setup.answer({"ips": [{"address": "[red]10.244.100.10[/red]/16", "gateway": "a " * 500}]})
    _, row = setup.run("add", "--pod", "default/" + "a" * 500).stdout.splitlines()
    assert row.split(maxsplit=2) == ["default/" + "a" * 500, "eth0", f"[red]10.244.100.10[/red]/16  {'a ' * 499}a"]


def test_a_state_folder_that_cannot_be_written_is_a_warning(setup: Setup) -> None:
    setup.answer(RESULT)
    (setup.folder / "state").touch()
    done = setup.run("add", "--pod", "default/a")
    assert done.returncode == 0
    assert "attach check" in done.stderr


OTHERS = ("del", "check", "status")
OUTPUTS = [b'{"a": "\xff"}', b"[]", b"7", b'{"ips": []} {}', b"{", b"[" * 100_000]


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("command", ["add", *(pytest.param(one, marks=pytest.mark.slow) for one in OTHERS)])
def test_output_that_is_no_object_is_one_line_and_status_1(setup: Setup, command: str, output: bytes) -> None:
    pod = [] if command == "status" else ["--pod", "default/a"]
    if command == "check":
        setup.answer(RESULT)
        setup.run("add", *pod)
    setup.answer("")
    (setup.folder / "ipam-x.answer").write_bytes(output)
    done = setup.run(command, *pod)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert done.stderr.startswith("Error: the plugin's output is ")
    (setup.folder / "ipam-x.status").write_text("3")
    done = setup.run(command, *pod)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (3, "", 1)
    assert done.stderr.startswith(f"{command} failed: exit status 3: ")


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "json"])
def test_of_add_no_output_is_a_failure_and_of_others_it_is_success(setup: Setup, options: list[str]) -> None:
    setup.answer("")
    done = setup.run("add", "--pod", "default/a", *options)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "Error: the plugin printed nothing\n")
    assert setup.run("del", "--pod", "default/a", *options).returncode == 0
    setup.answer("", status=1)
    done = setup.run("add", "--pod", "default/a", *options)
    assert (done.returncode, done.stderr) == (1, "add failed: exit status 1: no output\n")


def test_json_is_what_the_plugin_printed_byte_for_byte(setup: Setup) -> None:
    setup.answer("")
    (setup.folder / "ipam-x.answer").write_bytes(b'{"a": "\xff\x1b[1m"}\n')
    command = [sys.executable, "-m", "cni.cli", "attach", "status", "--json", "--conf", str(setup.conf)]
    done = subprocess.run([*command, "--cni-path", setup.cni_path], capture_output=True)
    assert (done.returncode, done.stdout) == (1, b'{"a": "\xff\x1b[1m"}\n')


def test_a_result_without_an_address_is_a_failure(setup: Setup) -> None:
    setup.answer({"cniVersion": "1.0.0"})
    done = setup.run("add", "--pod", "default/a")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == 'Error: the plugin gave no address: {"cniVersion": "1.0.0"}\n'


def test_what_a_terminal_would_obey_is_printed_and_markup_is_too(setup: Setup) -> None:
    setup.answer({"ips": [{"address": "[bold]a\x1b[31m\tb\n/16"}], "dns": {"domain": "[bold]"}})
    shown = setup.run("add", "--pod", "default/[bold]x[/bold]").stdout
    for text in ("default/[bold]x[/bold]", "[bold]a\\x1b[31m\\tb\\n/16", '"domain": "[bold]"'):
        assert text in shown
    setup.answer({"code": 7, "msg": "[bold]x\ny\x1b[2J", "details": "[red]"}, status=1)
    assert setup.run("status").stderr == "status failed: code 7: [bold]x\\ny\\x1b[2J ([red])\n"


def test_a_configuration_may_come_through_a_pipe(setup: Setup) -> None:
    setup.answer("")
    line = f'"$@" --conf <(sleep 0.3; cat {setup.conf}) --cni-path {setup.cni_path}'
    command = ["bash", "-c", line, "bash", sys.executable, "-m", "cni.cli", "attach", "status"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (0, "status: ok\n")


def test_another_cni_version_is_asked_for(setup: Setup) -> None:
    setup.answer(RESULT)
    setup.run("add", "--pod", "default/a", "--cni-version", "0.2.0")
    assert setup.given()[1]["cniVersion"] == "0.2.0"


def test_relative_paths_are_the_callers(setup: Setup) -> None:
    setup.answer(RESULT)
    command = [sys.executable, "-m", "cni.cli", "attach", "add", "--pod", "default/a"]
    options = ["--conf", "10.conflist", "--cni-path", ".", "--state", "here", "--netns", "ns/x"]
    done = subprocess.run([*command, *options], cwd=setup.folder, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    environ, _ = setup.given()
    assert (environ["CNI_PATH"], environ["CNI_NETNS"]) == (str(setup.folder), f"{setup.folder}/ns/x")
    assert len(list((setup.folder / "here").iterdir())) == 1


def test_a_name_with_slashes_stays_in_the_state_folder(setup: Setup) -> None:
    setup.answer(RESULT)
    setup.conf.write_text(setup.conf.read_text().replace("k8s-pod-network", "../../../../tmp/x"))
    for ifname in ("eth0", "../../x"):
        assert setup.run("add", "--pod", "default/a", "--ifname", ifname).returncode == 0
        assert setup.run("del", "--pod", "default/a", "--ifname", "eth1").returncode == 0
    assert len(list((setup.folder / "state").iterdir())) == 2


def test_a_kept_result_that_cannot_be_removed_is_one_line(setup: Setup) -> None:
    setup.answer(RESULT)
    setup.run("add", "--pod", "default/a")
    (kept,) = (setup.folder / "state").iterdir()
    kept.unlink()
    kept.mkdir()
    setup.answer("")
    done = setup.run("del", "--pod", "default/a")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    done = setup.run("check", "--pod", "default/a")
    assert (done.returncode, "it is a folder, not a file" in done.stderr) == (1, True)
