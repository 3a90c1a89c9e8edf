"""Running the IPAM plugin that a configuration delegates to. A script that writes down what it is given stands in."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from cni.delegate import (
    Delegate,
    DelegateError,
    PodInterface,
    container_id_of,
    keep_result,
    parse_output,
    read_result,
)

STAND_IN = """#!/bin/sh
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
ATTACHMENT = PodInterface("default", "a", "u-1", "c1", "eth0", "/n")


class StandIn:
    """A folder with a conflist and the plugin that it delegates to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cni_path = f"/nowhere:{folder}"
        self.plugin = folder / "ipam-x"
        self.plugin.write_text(STAND_IN)
        self.plugin.chmod(0o755)
        self.conf = folder / "10.conflist"
        self.conf.write_text(json.dumps(CONFLIST))

    def answer(self, document: Any, status: int = 0) -> None:
        (self.folder / "ipam-x.answer").write_text(document if isinstance(document, str) else json.dumps(document))
        (self.folder / "ipam-x.status").write_text(str(status))

    def given(self) -> tuple[dict[str, str], dict[str, Any]]:
        """Return the CNI environment and the document that the plugin got last."""
        lines = (self.folder / "ipam-x.env").read_text().splitlines()
        stdin: dict[str, Any] = json.loads((self.folder / "ipam-x.stdin").read_text())
        return dict(line.split("=", 1) for line in lines), stdin


@pytest.fixture
def stand_in(tmp_path: Path) -> StandIn:
    return StandIn(tmp_path)


def test_the_plugin_gets_what_calico_would_give_it(stand_in: StandIn) -> None:
    stand_in.answer({"x": 1}, status=3)
    done = Delegate(stand_in.conf, stand_in.cni_path).run("ADD", ATTACHMENT, more=1)
    assert (done.returncode, parse_output(done.stdout)) == (3, {"x": 1})
    environ, stdin = stand_in.given()
    assert stdin == {**CONFLIST["plugins"][1], "cniVersion": "1.0.0", "name": "k8s-pod-network", "more": 1}  # type: ignore[dict-item]
    assert environ == {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": "c1",
        "CNI_NETNS": "/n",
        "CNI_IFNAME": "eth0",
        "CNI_PATH": stand_in.cni_path,
        "CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=a"
        ";K8S_POD_INFRA_CONTAINER_ID=c1;K8S_POD_UID=u-1",
    }


def test_a_command_without_an_attachment_gets_no_attachment(stand_in: StandIn) -> None:
    Delegate(stand_in.conf, stand_in.cni_path).run("STATUS", None)
    assert stand_in.given()[0] == {"CNI_COMMAND": "STATUS", "CNI_PATH": stand_in.cni_path}


def test_a_pod_has_the_same_container_id_each_time() -> None:
    assert container_id_of("default", "a") == container_id_of("default", "a") != container_id_of("default", "b")
    assert len(container_id_of("default", "a")) == 64


def test_a_result_is_kept_under_network_container_and_interface(stand_in: StandIn) -> None:
    file = Delegate(stand_in.conf, stand_in.cni_path).result_file(stand_in.folder / "state", ATTACHMENT)
    assert file.name == "k8s-pod-network-c1-eth0.json"
    keep_result(file, {"ips": []})
    assert [(path.name, path.read_text()) for path in file.parent.iterdir()] == [(file.name, '{"ips": []}')]


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
def test_a_configuration_that_will_not_do_is_refused_in_one_line(stand_in: StandIn, text: str, words: str) -> None:
    stand_in.conf.write_text(text)
    with pytest.raises(DelegateError) as error:
        Delegate(stand_in.conf, stand_in.cni_path)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_a_plugin_that_cannot_be_executed_is_refused(stand_in: StandIn) -> None:
    stand_in.plugin.chmod(0o644)
    with pytest.raises(DelegateError, match="Permission denied"):
        Delegate(stand_in.conf, stand_in.cni_path).run("STATUS", None)


NAMES = ["../../../x", "/etc/x", "a/b", "..", ".", "\0", "\ud800", "ä b", "%2e%2e/x", "k8s-pod-network"]


@pytest.mark.parametrize("name", NAMES)
def test_no_name_leads_out_of_the_folder_of_results_and_none_is_taken_for_another(stand_in: StandIn, name: str) -> None:
    stand_in.conf.write_text(json.dumps({**CONFLIST, "name": name}))
    delegate, state = Delegate(stand_in.conf, stand_in.cni_path), stand_in.folder / "deep/state"
    found = [
        delegate.result_file(state, ATTACHMENT),
        *(delegate.result_file(state, ATTACHMENT._replace(container_id=other)) for other in NAMES),
        *(delegate.result_file(state, ATTACHMENT._replace(ifname=other)) for other in NAMES),
    ]
    assert len(set(found)) == len(found)
    for file in found:
        keep_result(file, {"ips": []})
        assert file.parent == state
        assert read_result(file) == {"ips": []}
    assert sorted(path.name for path in stand_in.folder.iterdir()) == ["10.conflist", "deep", "ipam-x"]
    assert len(list(state.iterdir())) == len(found)


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (b"", "the plugin printed nothing"),
        (b" \n", "the plugin printed nothing"),
        (b'{"a": "\xff"}', 'the plugin\'s output is not UTF-8 at line 1, column 8: \'{"a": "\\ufffd"}\''),
        (b"[]", "the plugin's output is not an object: '[]'"),
        (b"7", "the plugin's output is not an object: '7'"),
        (b"null", "the plugin's output is not an object: 'null'"),
        (b'"x"', "the plugin's output is not an object: '\"x\"'"),
        (b"{}\n{}", "not JSON at line 2, column 1: there is more than one value: '{}\\n{}'"),
        (b"{", "not JSON at line 1, column 2: expecting property name"),
        (b"[" * 100_000, "JSON that is nested too deeply: '[[["),
        (b'{"a": ' + b"9" * 5000 + b"}", "not JSON: Exceeds the limit (4300 digits)"),
        (b"\x1b[2J", "'\\x1b[2J'"),
    ],
)
def test_output_that_is_no_object_is_told_as_what_it_is(output: bytes, words: str) -> None:
    with pytest.raises(DelegateError) as raised:
        parse_output(output)
    assert words in str(raised.value)
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 500


def test_a_fault_of_the_configuration_is_told_by_line_and_column(stand_in: StandIn) -> None:
    faults = {b'{\n "a" 1}': "not JSON at line 2, column 6: ", b'{\n "\xff"}': "not UTF-8 at line 2, column 3"}
    for text, fault in faults.items():
        stand_in.conf.write_bytes(text)
        with pytest.raises(DelegateError, match=f"10.conflist: {fault}"):
            Delegate(stand_in.conf, stand_in.cni_path)


def test_a_relative_folder_of_plugins_is_the_callers(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(stand_in.folder.parent)
    Delegate(stand_in.conf, f"nowhere::{stand_in.folder.name}").run("STATUS", None)
    assert stand_in.given()[0]["CNI_PATH"] == f"{stand_in.folder.parent}/nowhere:{stand_in.folder}"
    monkeypatch.chdir(stand_in.folder)
    assert Delegate(stand_in.conf, ".").run("STATUS", None).returncode == 0


def test_another_cni_version_takes_the_place_of_the_configurations_own(stand_in: StandIn) -> None:
    Delegate(stand_in.conf, stand_in.cni_path, "0.3.1").run("STATUS", None)
    assert stand_in.given()[1]["cniVersion"] == "0.3.1"


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir], ids=["FIFO that nobody writes to", "folder"])
def test_a_configuration_that_is_no_file_is_not_waited_for_for_ever(stand_in: StandIn, make: Any) -> None:
    stand_in.conf.unlink()
    make(stand_in.conf)
    with pytest.raises(DelegateError, match=r"10.conflist: it is a (pipe, and was not|folder)"):
        Delegate(stand_in.conf, stand_in.cni_path)
