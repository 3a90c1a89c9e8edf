import base64
import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cni.installer import install as installer
from cni.installer import status
from cni.installer.bundle import plugin_links as bundle
from cni.installer.conflist import record
from cni.installer.conflist.document import ConflistError
from cni.installer.conflist.record import Asked
from cni.installer.install import InstallError
from cni.installer.node.agent_health import AgentError
from cni.installer.node.folders import Folders, find
from cni.installer.watch import Watch
from tests.agent.agent_process import pool, write_pools
from tests.installer.conflist.test_document import CALICO
from tests.installer.conflist.test_plan import GO, refusing
from tests.installer.sample_node import COPY, PLUGIN, Node, make_tree


def cache_result(node: Node, name: str, configuration: Any, network: str = "k8s-pod-network") -> None:
    """Write what libcni keeps of an ADD."""
    results = node.root / "var/lib/cni/results"
    results.mkdir(parents=True, exist_ok=True)
    config = base64.b64encode(json.dumps(configuration).encode()).decode()
    (results / name).write_text(json.dumps({"kind": "cniCacheV1", "networkName": network, "config": config}))


def test_a_second_run_changes_nothing(node: Node) -> None:
    first = node.install()
    assert (first.bundle.changed, first.why, node.answers()) == (True, "ipam.type is calico-ipam", True)
    before = {path: path.lstat().st_mtime_ns for path in node.root.rglob("*")}
    again = node.install()
    assert (again.bundle.changed, again.why) == (False, "")
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


class Agent:
    """A health answer on a socket, given as often as it is asked for, after `delay` seconds."""

    def __init__(self, path: Path, status: int = 200, delay: float = 0) -> None:
        self.asked = 0
        self._path, self._delay, self._answer = (
            path,
            delay,
            f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode(),
        )
        path.parent.mkdir(parents=True)
        self._thread = threading.Thread(target=self._serve)
        self._listener = socket.socket(socket.AF_UNIX)
        self._thread.start()

    def _serve(self) -> None:
        time.sleep(self._delay)
        self._listener.bind(str(self._path))
        self._listener.listen()
        while True:
            connection, _ = self._listener.accept()
            with connection:
                if not connection.recv(4096):
                    return
                self.asked += 1
                connection.sendall(self._answer)

    def close(self) -> None:
        self._thread.join(self._delay)
        with socket.socket(socket.AF_UNIX) as last:
            last.connect(str(self._path))
        self._thread.join()
        self._listener.close()


def agent_socket(node: Node) -> Path:
    return node.root / "run/spidernet/spiderpool.sock"


def test_before_the_first_swap_the_agent_must_answer(node: Node) -> None:
    (node.root / "var").mkdir()
    (node.root / "var/run").symlink_to("/run")  # as on every node
    agent = Agent(agent_socket(node), delay=1)
    try:
        node.install(wait_agent=20)
        assert agent.asked == 1
    finally:
        agent.close()
    assert node.ipam() == {"type": "spiderpool"}


@pytest.mark.parametrize(("status", "words"), [(None, "no such socket"), (500, "HTTP status 500")])
def test_without_a_healthy_agent_the_conflist_stays(node: Node, status: int | None, words: str) -> None:
    agent = Agent(node.root / "var/run/spidernet/spiderpool.sock", status) if status else None
    with pytest.raises(AgentError, match=words):
        node.install(wait_agent=0.6)
    if agent:
        agent.close()
    assert node.conflist.read_text() == CALICO
    assert node.answers()  # the plugin was brought: the next run goes on from there


def test_a_node_that_is_swapped_is_mended_without_waiting(node: Node) -> None:
    node.install()
    node.write()
    started = time.monotonic()
    assert node.install(wait_agent=60).why == "ipam.type is calico-ipam"
    assert time.monotonic() - started < 5
    assert node.ipam() == {"type": "spiderpool"}


def test_a_conflist_that_calico_has_not_written_yet_is_waited_for(node: Node) -> None:
    shutil.rmtree(node.conf)

    def calico_starts() -> None:
        node.conf.mkdir()
        node.write()

    assert_waited_for(node, calico_starts)


def assert_waited_for(node: Node, calico_writes: Callable[[], None]) -> None:
    """See that an install succeeds where Calico writes its conflist a second later."""
    agent = Agent(node.root / "var/run/spidernet/spiderpool.sock")
    later = threading.Timer(1, calico_writes)
    later.start()
    try:
        assert node.install(wait_agent=20).why == "ipam.type is calico-ipam"
    finally:
        later.join()
        agent.close()


def test_another_configuration_that_is_loaded_first_is_told(node: Node) -> None:
    (node.conf / "00-multus.conf").write_text('{"type": "multus", "clusterNetwork": "k8s-pod-network"}')
    assert node.install().loaded_first == ""
    delegates = f'{{"type": "multus", "delegates": [{CALICO}]}}'
    (node.conf / "00-multus.conf").write_text(delegates)
    assert node.install().loaded_first == "/etc/cni/net.d/00-multus.conf"
    (node.conf / "00-multus.conf").write_text(delegates.replace("calico-ipam", "spiderpool"))
    assert node.install().loaded_first == ""
    (node.conf / "01-flannel.conflist").write_text('{"name": "f", "plugins": [{"type": "flannel"}]}')
    assert node.install().loaded_first == "/etc/cni/net.d/01-flannel.conflist"


@pytest.mark.parametrize("as_name", ["", COPY])
def test_uninstalling_leaves_the_node_as_it_was(node: Node, as_name: str) -> None:
    before = {path: path.lstat().st_mode for path in node.root.rglob("*")}
    node.install(as_name)
    assert node.uninstall().plugin_stays == []
    after = {path: path.lstat().st_mode for path in node.root.rglob("*")}
    assert {path: mode for path, mode in after.items() if not path.is_relative_to(node.root / "var")} == before
    assert not (node.root / "var/lib/spiderpool-ipam").exists()
    assert node.conflist.read_text() == CALICO
    assert node.uninstall() == ([], [])


def test_the_plugin_stays_while_a_pod_was_made_with_it(node: Node) -> None:
    node.install()
    cache_result(node, "k8s-pod-network-1-eth0", json.loads(CALICO))
    cache_result(node, "k8s-pod-network-2-eth0", json.loads(node.conflist.read_text()))
    (node.root / "var/lib/cni/results/half").write_text("{")
    done = node.uninstall()
    assert done.plugin_stays == ["1 attachments were made with it (/var/lib/cni/results/k8s-pod-network-2-eth0 is one)"]
    assert node.conflist.read_text() == CALICO
    assert node.answers()
    assert node.record.given_back
    (node.root / "var/lib/cni/results/k8s-pod-network-2-eth0").unlink()
    assert node.uninstall().plugin_stays == []
    assert [path.name for path in node.bin.iterdir()] == ["calico"]


def test_the_plugin_stays_while_another_conflist_names_it(node: Node) -> None:
    node.install()
    (node.conf / "20-macvlan.conf").write_text('{"type": "macvlan", "ipam": {"type": "spiderpool"}}')
    assert node.uninstall().plugin_stays == ["/etc/cni/net.d/20-macvlan.conf names it"]
    assert node.answers()
    assert node.uninstall(force=True).plugin_stays == []
    assert not node.plugin.exists()


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        (
            "00-multus.conf",
            '{"type": "multus", "delegates": [{"plugins": [{"ipam": {"type": "spiderpool"}}]}]}',
            "names it",
        ),
        ("20-x.conf", '{"n": ' + "9" * 5000 + ', "type": "x", "ipam": {"type": "spiderpool"}}', "names it"),
        ("20-x.conf", '{"type": "macvlan", "IPAM": {"type": "spiderpool"}}', "names it"),
        ("20-x.conf", '{"type": "macvlan", "ipam": {"ty', "may name it (not JSON"),
        ("20-x.conf", "\udcff", "may name it ('utf-8' codec"),
    ],
)
def test_the_plugin_stays_while_any_file_may_name_it(node: Node, name: str, text: str, words: str) -> None:
    node.install()
    (node.conf / name).write_bytes(text.encode(errors="surrogateescape"))
    (reason,) = node.uninstall().plugin_stays
    assert reason.startswith(f"/etc/cni/net.d/{name} {words}")
    assert node.answers()


def executable_foreign(node: Node) -> None:
    node.plugin.write_text(PLUGIN.format(mark="the Go plugin"))
    node.plugin.chmod(0o755)


@pytest.mark.parametrize("as_name", ["", COPY])
def test_a_node_that_ran_the_go_plugin_is_given_back_whole(node: Node, as_name: str) -> None:
    node.write(GO)
    executable_foreign(node)
    node.install(as_name, settings={"log_level": "debug"})
    cache_result(node, "served", json.loads(node.conflist.read_text()))
    assert node.uninstall().plugin_stays == []
    assert node.files() == {"10-calico.conflist": GO.encode()}
    assert "the Go plugin" in node.plugin.read_text()
    assert sorted(path.name for path in node.bin.iterdir()) == ["calico", "spiderpool"]
    assert node.uninstall() == ([], [])


def test_where_nothing_is_installed_no_file_keeps_a_plugin(node: Node) -> None:
    """As in the DaemonSet's second container, or on a node that never was installed."""
    node.write(GO)
    (node.conf / "20-x.conf").write_text("{")
    assert node.uninstall() == ([], [])
    assert not node.folders.state.exists()


def test_a_plugin_that_does_not_serve_is_none_to_go_for(node: Node) -> None:
    node.write(GO)
    executable_foreign(node)
    node.plugin.chmod(0o644)
    node.install()
    assert node.uninstall().plugin_stays == ["/etc/cni/net.d/10-calico.conflist names it"]
    assert node.answers()
    assert node.uninstall(force=True).plugin_stays == []
    assert node.ipam() == {"type": "calico-ipam"}


def test_by_force_the_go_plugins_node_gets_what_it_had(node: Node) -> None:
    node.write(GO)
    executable_foreign(node)
    node.install()
    node.uninstall(force=True)
    assert node.conflist.read_text() == GO


def test_an_add_that_is_under_way_is_waited_for(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    node.install()
    swapped = json.loads(node.conflist.read_text())
    monkeypatch.setattr(installer, "SETTLE", 1.0)
    later = threading.Timer(0.3, lambda: cache_result(node, "late", swapped))
    later.start()
    try:
        assert "1 attachments were made with it" in node.uninstall().plugin_stays[0]
    finally:
        later.join()
    assert node.answers()


def test_killed_after_the_plugin_has_gone_watch_brings_nothing_back(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.install()

    def killed(_: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(record, "forget", killed)
    with pytest.raises(KeyboardInterrupt):
        node.uninstall()
    monkeypatch.undo()
    Watch(node.folders, node.tree, "1.0.0", lambda _: None).check()
    assert (node.conflist.read_text(), node.plugin.exists()) == (CALICO, False)
    assert node.uninstall().plugin_stays == []
    assert node.files() == {"10-calico.conflist": CALICO.encode()}


def test_where_it_was_installed_by_flags_it_is_found_without_them(node: Node) -> None:
    binaries, conf = node.bin.rename(node.root / "b"), node.conf.rename(node.root / "c")
    before = {path for folder in (binaries, conf) for path in folder.rglob("*")}
    node.conf.mkdir()
    node.bin.mkdir()
    node.install_to("/b", "/c")
    assert node.folders == Folders(node.root, "/b", "/c")
    assert status.gather(node.folders, 0).conflist == "/c/10-calico.conflist"
    assert node.uninstall().plugin_stays == []
    assert {path for folder in (binaries, conf) for path in folder.rglob("*")} == before
    assert (conf / "10-calico.conflist").read_text() == CALICO


def test_in_other_folders_than_it_was_installed_to_nothing_is_done(node: Node) -> None:
    (node.root / "c").mkdir()
    (node.root / "c/10-calico.conflist").write_text(CALICO)
    node.install_to("/opt/cni/bin", "/c")
    wrong = find(node.root, None, "/etc/cni/net.d", "calico")
    with pytest.raises(InstallError, match=r"installed elsewhere: .*--cni-bin-dir /opt/cni/bin --cni-conf-dir /c"):
        installer.uninstall(wrong, lambda: 0)
    with pytest.raises(InstallError, match="installed elsewhere"):
        node.install_to("/opt/cni/bin", "/etc/cni/net.d")
    shutil.rmtree(node.root / "var/lib/spiderpool-ipam")
    with pytest.raises(InstallError, match=r"nothing is recorded in /etc/cni/net.d: name the folder .* --cni-conf-dir"):
        installer.uninstall(wrong, lambda: 0)
    assert node.answers()
    assert node.conflist.read_text() == CALICO


def test_the_folder_of_another_main_plugin_is_found_again(node: Node) -> None:
    """GKE's, say, with a plugin that uninstall is not told."""
    (node.root / "home/kubernetes/bin").mkdir(parents=True)
    (node.root / "home/kubernetes/bin/ptp").touch()
    node.write(CALICO.replace('"calico"', '"ptp"'))
    (node.bin / "calico").unlink()
    found = find(node.root, None, None, "ptp")
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
    agent = Agent(node.root / "var/run/spidernet/spiderpool.sock")
    later.start()
    try:
        assert node.install(wait_agent=20).folders == Folders(node.root, binaries, conf)
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
    difference = installer.difference(node.folders, Asked(as_name=COPY))
    assert [line for line in difference.splitlines() if line.startswith(("---", "+++"))] == [
        f"--- /etc/cni/net.d/{COPY}",
        f"+++ /etc/cni/net.d/{COPY} (new)",
        "--- /etc/cni/net.d/10-calico.conflist",
        "+++ /etc/cni/net.d/10-calico.conflist (new)",
    ]
    node.install(COPY)
    assert f"--- /etc/cni/net.d/{COPY}\n+++ /dev/null" in installer.difference(node.folders, Asked())


def test_the_plugin_stays_while_releases_are_pending(node: Node) -> None:
    node.install()
    assert node.uninstall(pending=2).plugin_stays == ["2 releases are pending"]
    assert node.answers()


def test_a_node_that_was_given_back_can_be_swapped_again(node: Node) -> None:
    node.install()
    node.uninstall(pending=1)
    assert node.install().why == "ipam.type is calico-ipam"
    assert not node.record.given_back
    assert node.record.reverts == 0


def test_a_swapped_node_whose_record_is_lost_is_given_back_by_force_only(node: Node) -> None:
    node.install()
    (node.conf / record.NAME).unlink()
    with pytest.raises(ConflistError, match="--force"):
        node.uninstall()
    assert node.answers()
    node.uninstall(force=True)
    assert node.ipam() == {"type": "calico-ipam"}


def test_folders_that_are_not_there_are_told_with_their_flag(node: Node) -> None:
    (node.bin / "calico").unlink()
    node.bin.rmdir()
    with pytest.raises(InstallError, match=r"/opt/cni/bin is no folder: name the node's with --cni-bin-dir"):
        node.install()


def all_at_once(commands: list[list[str]]) -> list[str]:
    """Run programs side by side to their ends, which must be good ones; return what they print."""
    running = [subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for line in commands]
    outputs = [process.communicate(timeout=120) for process in running]
    assert [process.returncode for process in running] == [0] * len(commands), outputs
    return [out for out, _ in outputs]


def test_eight_at_once_come_to_one_result(node: Node) -> None:
    outputs = all_at_once([node.command("install", "--wait-agent", "0")] * 8)
    assert sum("swapped" in out for out in outputs) == 1
    assert node.answers()
    assert {path.name for path in node.conf.iterdir()} == {"10-calico.conflist", record.NAME}
    assert len(list((node.bin / ".spiderpool").iterdir())) == 2


def test_eight_upgrades_at_once_keep_the_version_before(node: Node) -> None:
    node.install()
    before = bundle.state(node.bin)
    outputs = all_at_once([node.command("install", "--wait-agent", "0")] * 8)
    assert sum("put there" in out for out in outputs) == 1
    assert set(bundle.versions(node.bin)) == {before, bundle.state(node.bin)}
    assert node.answers()


def test_installs_uninstalls_and_a_watch_at_once_leave_one_or_the_other(node: Node) -> None:
    assert node.run("install", "--wait-agent", "0").returncode == 0
    with subprocess.Popen(node.command("watch"), stderr=subprocess.DEVNULL) as watch:
        all_at_once([node.command("install", "--wait-agent", "0"), node.command("uninstall")] * 4)
        watch.terminate()
    installed = node.plugin.is_symlink()
    assert node.ipam() == {"type": "spiderpool" if installed else "calico-ipam"}
    assert node.answers() if installed else not (node.bin / ".spiderpool").exists()
    assert node.run("uninstall").returncode == 0
    assert node.files() == {"10-calico.conflist": CALICO.encode()}
    assert [path.name for path in node.bin.iterdir()] == ["calico"]


def test_an_upgrade_keeps_one_version_back_and_the_conflist_as_it_is(node: Node) -> None:
    node.install()
    before = node.conflist.stat().st_ino
    node.tree = make_tree(node.root / "second", "second", PLUGIN)
    done = node.install()
    assert (done.bundle.changed, done.why) == (True, "")
    assert node.conflist.stat().st_ino == before
    assert len(bundle.versions(node.bin)) == 2


def test_the_embedded_agent_is_an_agent_to_wait_for(node: Node) -> None:
    pools = write_pools(node.root / "pools.yaml", pool("v4", "10.244.100.10-10.244.100.20", default=True))
    path = node.root / "var/run/spidernet/spiderpool.sock"
    command = node.command("agent", "--socket", str(path), "--pool", str(pools), "--state", str(node.root / "state"))
    with subprocess.Popen(command[:-2], stdout=subprocess.PIPE, text=True) as agent:
        assert agent.stdout
        assert "serving" in agent.stdout.readline()
        done = node.run("install", "--json")
        agent.terminate()
    assert json.loads(done.stdout)["why"] == "ipam.type is calico-ipam"
