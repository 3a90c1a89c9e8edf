"""Running the IPAM plugin that a configuration delegates to. A script that writes down what it is given stands in."""

import json
from pathlib import Path
from typing import Any

import pytest

from cni.delegate import Delegate, DelegateError, PodInterface, container_id_of, keep_result

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
    assert (done.returncode, json.loads(done.stdout)) == (3, {"x": 1})
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
