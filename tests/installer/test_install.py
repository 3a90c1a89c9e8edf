import json
import shutil
import subprocess
import threading
import time
from collections.abc import Callable

import pytest

from cni.contracts.installation import Desired
from cni.installer.bundle import plugin_links as bundle
from cni.installer.conflist.document import ConflistError
from cni.installer.discovery import FoldersError
from cni.installer.install import dry_run
from cni.installer.node.agent_health import AgentError
from tests.agent.agent_process import pool, write_pools
from tests.installer.conflist.writes import refusing
from tests.installer.health_agent import HealthAgent
from tests.installer.sample_conflists import CALICO, GO
from tests.installer.sample_node import COPY, PLUGIN, Node, exactly, make_tree


def test_a_second_run_changes_nothing(node: Node) -> None:
    first = node.install()
    assert (first.bundle_changed, first.message, node.answers()) == (True, "ipam.type is calico-ipam", True)
    before = {path: path.lstat().st_mtime_ns for path in node.root.rglob("*")}
    again = node.install()
    assert (again.bundle_changed, again.message) == (False, "")
    assert {path: path.lstat().st_mtime_ns for path in node.root.rglob("*")} == before


@pytest.mark.parametrize(
    "text", ["", CALICO[:100], CALICO.replace('"calico"', '"flannel"'), CALICO.replace("calico-ipam", "dhcp")]
)
def test_where_the_conflist_is_refused_nothing_at_all_is_done(node: Node, text: str) -> None:
    node.write(text)
    with pytest.raises(ConflistError):
        node.install()
    assert [path.name for path in node.bin.iterdir()] == ["calico"]
    assert node.files() == {"10-calico.conflist": text.encode()}


def test_a_plugin_that_does_not_run_here_leaves_the_conflist(node: Node) -> None:
    node.tree = make_tree(node.root / "bad", "bad", "#!/bin/sh\nexit 1\n")
    with pytest.raises(bundle.BundleError):
        node.install()
    assert node.conflist.read_text() == CALICO


def test_before_the_first_swap_the_agent_must_answer(node: Node) -> None:
    (node.root / "var").mkdir()
    (node.root / "var/run").symlink_to("/run")  # as on every node
    agent = HealthAgent(node.root / "run/spidernet/spiderpool.sock", delay=1)
    try:
        node.install(wait_agent=20)
        assert agent.asked == 1
    finally:
        agent.close()
    assert node.ipam() == {"type": "spiderpool"}


@pytest.mark.parametrize(("status", "words"), [(None, "no such socket"), (500, "HTTP status 500")])
def test_without_a_healthy_agent_the_conflist_stays(node: Node, status: int | None, words: str) -> None:
    agent = HealthAgent(node.root / "var/run/spidernet/spiderpool.sock", status) if status else None
    with pytest.raises(AgentError, match=words):
        node.install(wait_agent=0.6)
    if agent:
        agent.close()
    assert node.conflist.read_text() == CALICO
    assert node.answers()  # the plugin was brought: the next run goes on from there


def test_a_node_that_is_swapped_is_repaired_without_waiting(node: Node) -> None:
    node.install()
    node.write()
    started = time.monotonic()
    assert node.install(wait_agent=60).message == "ipam.type is calico-ipam"
    assert time.monotonic() - started < 60
    assert node.ipam() == {"type": "spiderpool"}


def test_a_conflist_that_calico_has_not_written_yet_is_waited_for(node: Node) -> None:
    shutil.rmtree(node.conf)

    def calico_starts() -> None:
        node.conf.mkdir()
        node.write()

    assert_waited_for(node, calico_starts)


def assert_waited_for(node: Node, calico_writes: Callable[[], None]) -> None:
    """See that an install succeeds where Calico writes its conflist a second later."""
    agent = HealthAgent(node.root / "var/run/spidernet/spiderpool.sock")
    later = threading.Timer(1, calico_writes)
    later.start()
    try:
        assert node.install(wait_agent=20).message == "ipam.type is calico-ipam"
    finally:
        later.join()
        agent.close()


def test_another_configuration_that_is_loaded_first_is_told(node: Node) -> None:
    (node.conf / "00-multus.conf").write_text('{"type": "multus", "clusterNetwork": "k8s-pod-network"}')
    assert node.install().loaded_first is None
    delegates = f'{{"type": "multus", "delegates": [{CALICO}]}}'
    (node.conf / "00-multus.conf").write_text(delegates)
    assert node.install().loaded_first == "/etc/cni/net.d/00-multus.conf"
    (node.conf / "00-multus.conf").write_text(delegates.replace("calico-ipam", "spiderpool"))
    assert node.install().loaded_first is None
    (node.conf / "01-flannel.conflist").write_text('{"name": "f", "plugins": [{"type": "flannel"}]}')
    assert node.install().loaded_first == "/etc/cni/net.d/01-flannel.conflist"


def test_the_folder_of_another_main_plugin_is_found_again(node: Node) -> None:
    """GKE's, say, with a plugin that uninstall is not told."""
    (node.root / "home/kubernetes/bin").mkdir(parents=True)
    (node.root / "home/kubernetes/bin/ptp").touch()
    node.write(CALICO.replace('"calico"', '"ptp"'))
    (node.bin / "calico").unlink()
    found = node.find(plugin_type="ptp")
    assert found.bin_name == "/home/kubernetes/bin"
    node.install_to(found.bin_name, found.conf_name, plugin_type="ptp")
    assert node.folders == found
    node.uninstall()
    assert [path.name for path in found.bin.iterdir()] == ["ptp"]


@pytest.mark.parametrize("half", ["", CALICO[:150]])
def test_a_conflist_that_is_half_written_is_waited_for(node: Node, half: str) -> None:
    node.write(half)
    assert_waited_for(node, node.write)


def test_on_a_node_that_joins_the_folders_are_found_where_calico_writes(node: Node) -> None:
    """k3s', where those of another platform are left over and empty."""
    conf, binaries = "/var/lib/rancher/k3s/agent/etc/cni/net.d", "/var/lib/rancher/k3s/data/cni"
    node.conflist.unlink()
    for folder in (conf, binaries):
        (node.root / folder[1:]).mkdir(parents=True)
    (node.root / binaries[1:] / "calico").touch()
    later = threading.Timer(1, lambda: (node.root / conf[1:] / "10-calico.conflist").write_text(CALICO))
    agent = HealthAgent(node.root / "var/run/spidernet/spiderpool.sock")
    later.start()
    try:
        assert node.install(wait_agent=20).bin_dir == binaries
    finally:
        later.join()
        agent.close()


def test_the_agent_is_asked_again_where_the_first_swap_failed(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing(node.conflist, monkeypatch)
    with pytest.raises(OSError, match="busy"):
        node.install()
    monkeypatch.undo()
    with pytest.raises(AgentError):
        node.install(wait_agent=0.2)
    assert node.conflist.read_text() == CALICO


def test_the_agent_of_the_settings_that_stay_is_asked(node: Node) -> None:
    node.write(GO.replace('"log_level"', '"ipam_unix_socket_path": "/other.sock", "log_level"'))
    with pytest.raises(AgentError, match=r"/other.sock"):
        node.install(wait_agent=0.2)


def test_a_difference_shows_all_that_would_change(node: Node) -> None:
    node.install()
    difference = dry_run(node.folders, exactly(Desired(as_name=COPY))).diff
    assert [line for line in difference.splitlines() if line.startswith(("---", "+++"))] == [
        f"--- /etc/cni/net.d/{COPY}",
        f"+++ /etc/cni/net.d/{COPY} (new)",
        "--- /etc/cni/net.d/10-calico.conflist",
        "+++ /etc/cni/net.d/10-calico.conflist (new)",
    ]
    node.install(COPY)
    assert f"--- /etc/cni/net.d/{COPY}\n+++ /dev/null" in dry_run(node.folders, exactly(Desired())).diff


def test_folders_that_are_not_there_are_told_with_their_flag(node: Node) -> None:
    (node.bin / "calico").unlink()
    node.bin.rmdir()
    with pytest.raises(FoldersError, match=r"/opt/cni/bin is no folder: name the node's with --cni-bin-dir"):
        node.install()


def test_an_upgrade_keeps_one_version_back_and_the_conflist_as_it_is(node: Node) -> None:
    node.install()
    before = node.conflist.stat().st_ino
    node.tree = make_tree(node.root / "second", "second", PLUGIN)
    done = node.install()
    assert (done.bundle_changed, done.message) == (True, "")
    assert node.conflist.stat().st_ino == before
    assert len(bundle.bundles(node.bin)) == 2


def test_the_embedded_agent_is_an_agent_to_wait_for(node: Node) -> None:
    pools = write_pools(node.root / "pools.yaml", pool("v4", "10.244.100.10-10.244.100.20", default=True))
    path = node.root / "var/run/spidernet/spiderpool.sock"
    command = node.command("agent", "--socket", str(path), "--pool", str(pools), "--state", str(node.root / "state"))
    with subprocess.Popen(command[:-2], stdout=subprocess.PIPE, text=True) as agent:
        assert agent.stdout
        assert "serving" in agent.stdout.readline()
        done = node.run("install", "--json")
        agent.terminate()
    assert json.loads(done.stdout)["message"] == "ipam.type is calico-ipam"
