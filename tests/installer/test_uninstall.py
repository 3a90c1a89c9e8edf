import json
import os
import shutil
import threading
import time
from pathlib import Path

import pytest

from cni.contracts.reports import UninstallReport
from cni.installer import status, uninstall
from cni.installer.conflist import record
from cni.installer.conflist.document import ConflistError
from cni.installer.discovery import FoldersError
from cni.installer.errors import InstallerError
from cni.installer.reconciler import Reconciler
from tests.installer.sample_conflists import CALICO, GO
from tests.installer.sample_node import COPY, PLUGIN, Node

NOTHING_DONE = UninstallReport(done=[], plugin_stays=[])


@pytest.mark.parametrize("as_name", ["", COPY])
def test_uninstalling_leaves_the_node_as_it_was(node: Node, as_name: str) -> None:
    before = {path: path.lstat().st_mode for path in node.root.rglob("*")}
    node.install(as_name)
    assert node.uninstall().plugin_stays == []
    after = {path: path.lstat().st_mode for path in node.root.rglob("*")}
    assert {path: mode for path, mode in after.items() if not path.is_relative_to(node.root / "var")} == before
    assert not (node.root / "var/lib/spiderpool-ipam").exists()
    assert node.conflist.read_text() == CALICO
    assert node.uninstall() == NOTHING_DONE


def test_the_plugin_stays_while_a_pod_was_made_with_it(node: Node) -> None:
    node.install()
    node.cache_result("k8s-pod-network-1-eth0", json.loads(CALICO))
    node.cache_result("k8s-pod-network-2-eth0", json.loads(node.conflist.read_text()))
    (node.root / "var/lib/cni/results/folder").mkdir()
    done = node.uninstall()
    assert done.plugin_stays == [
        "1 attachment was made with it: default/k8s-pod-network-2-eth0, 0 s ago"
        " (/var/lib/cni/results/k8s-pod-network-2-eth0); the file of a pod that is gone can be removed"
    ]
    assert node.conflist.read_text() == CALICO
    assert node.answers()
    assert node.record.restored
    (node.root / "var/lib/cni/results/k8s-pod-network-2-eth0").unlink()
    assert node.uninstall().plugin_stays == []
    assert [path.name for path in node.bin.iterdir()] == ["calico"]


def test_many_attachments_are_told_with_the_oldest_and_their_age(node: Node) -> None:
    node.install()
    for number in range(8):
        node.cache_result(f"web-{number}", json.loads(node.conflist.read_text()))
        made = time.time() - (8 - number) * 3600 - 60
        os.utime(node.root / f"var/lib/cni/results/web-{number}", (made, made))
    (reason,) = node.uninstall().plugin_stays
    assert reason.startswith("8 attachments were made with it: default/web-0, 8 hours ago (/var/lib/cni/results/web-0)")
    assert "default/web-4, 4 hours ago" in reason
    assert "web-5" not in reason
    assert "; and 3 more; the file of a pod that is gone can be removed" in reason


def test_the_plugin_stays_while_a_file_of_the_cache_cannot_be_read(node: Node) -> None:
    node.install()
    node.cache_result("cut", json.loads(CALICO))
    cut = node.root / "var/lib/cni/results/cut"
    cut.write_text(cut.read_text()[:50])
    assert node.uninstall().plugin_stays == [
        "/var/lib/cni/results/cut cannot be read, and may be of an attachment that was made with it"
    ]
    assert node.answers()
    cut.unlink()
    assert node.uninstall().plugin_stays == []


def test_a_conflist_that_is_half_written_is_waited_for(node: Node) -> None:
    node.install()
    swapped = node.conflist.read_text()
    node.write(swapped[:60])
    whole = threading.Timer(0.5, node.write, (swapped,))
    whole.start()
    try:
        assert node.uninstall().plugin_stays == []
    finally:
        whole.join()
    assert node.conflist.read_text() == CALICO


def test_what_an_installation_without_an_agent_has_left_is_taken_away(node: Node) -> None:
    with pytest.raises(InstallerError, match="agent"):
        node.install(wait_agent=0.1)
    assert node.plugin.exists()
    assert node.uninstall().plugin_stays == []
    assert not node.plugin.exists()
    assert node.conflist.read_text() == CALICO


@pytest.mark.parametrize("suffix", [".bak", ".cilium_bak"])
def test_a_conflist_that_was_renamed_in_its_folder_gets_its_ipam_back(node: Node, suffix: str) -> None:
    node.install()
    renamed = node.conflist.rename(f"{node.conflist}{suffix}")
    done = node.uninstall()
    assert any("its original ipam is restored, though runtimes do not load it" in line for line in done.done)
    assert renamed.read_text() == CALICO
    assert not node.plugin.exists()


def test_a_renamed_conflist_gets_its_ipam_back_beside_a_new_one(node: Node) -> None:
    """Cilium has renamed it, then calico-node has started again."""
    node.install()
    renamed = node.conflist.rename(f"{node.conflist}.cilium_bak")
    node.write()
    assert node.uninstall().plugin_stays == []
    assert (renamed.read_text(), node.conflist.read_text()) == (CALICO, CALICO)


def test_a_renamed_copy_is_removed(node: Node) -> None:
    node.install(COPY)
    renamed = node.copy.rename(f"{node.copy}.cilium_bak")
    assert node.uninstall().plugin_stays == []
    assert not renamed.exists()
    assert node.conflist.read_text() == CALICO


def test_a_renamed_file_that_was_held_beside_the_conflist_gets_its_own_ipam_back(node: Node) -> None:
    (node.bin / "istio-cni").touch()
    first = node.conf / "02-istio-cni.conflist"
    first.write_text(
        json.dumps({**json.loads(CALICO), "plugins": [*json.loads(CALICO)["plugins"], {"type": "istio-cni"}]})
    )
    before = first.read_text()
    node.install()
    assert node.ipam(first) == {"type": "spiderpool"}
    renamed = first.rename(f"{first}.cilium_bak")
    assert node.uninstall().plugin_stays == []
    assert renamed.read_text() == before


def test_files_that_cannot_be_read_and_are_nobodys_conflist_hold_up_nothing(node: Node) -> None:
    node.install()
    os.mkfifo(node.conf / "fifo.bak")
    (node.conf / "loop.bak").symlink_to("loop.bak")
    (node.conf / "folder.bak").mkdir()
    (node.conf / "notes.bak").write_bytes(b"\xff\xfe spiderpool")
    assert node.uninstall().plugin_stays == []
    assert node.conflist.read_text() == CALICO


def test_a_conflist_that_was_moved_away_is_asked_for(node: Node) -> None:
    node.install()
    swapped = node.conflist.read_text()
    node.conflist.unlink()
    with pytest.raises(ConflistError, match=r"10-calico.conflist, which was swapped, is not there: put it back"):
        node.uninstall()
    assert node.answers()
    node.write(swapped)
    assert node.uninstall().plugin_stays == []
    assert node.conflist.read_text() == CALICO


def test_where_the_whole_folder_was_emptied_nothing_is_asked_for(node: Node) -> None:
    node.install()
    shutil.rmtree(node.conf)
    node.conf.mkdir()
    assert node.uninstall().plugin_stays == []
    assert not node.plugin.exists()


def test_a_folder_that_is_named_as_installed_and_has_no_record_is_refused(node: Node) -> None:
    node.install()
    (node.conf / record.NAME).unlink()
    names = node.folders.state / "folders"
    names.write_text(json.dumps({"bin": "/opt/cni/bin", "conf": "/etc/cni/net.d"}))  # as 0.1.0 writes it
    with pytest.raises(FoldersError, match=r"nothing is recorded in /etc/cni/net\.d"):
        node.uninstall()
    assert node.answers()


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
        ("20-x.conf", "\udcff", "may name it (not UTF-8 at line 1, column 1"),
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
    node.cache_result("served", json.loads(node.conflist.read_text()))
    assert node.uninstall().plugin_stays == []
    assert node.files() == {"10-calico.conflist": GO.encode()}
    assert "the Go plugin" in node.plugin.read_text()
    assert sorted(path.name for path in node.bin.iterdir()) == ["calico", "spiderpool"]
    assert node.uninstall() == NOTHING_DONE


def test_where_nothing_is_installed_no_file_keeps_a_plugin(node: Node) -> None:
    """As in the DaemonSet's second container, or on a node that never was installed."""
    node.write(GO)
    (node.conf / "20-x.conf").write_text("{")
    assert node.uninstall() == NOTHING_DONE
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
    monkeypatch.setattr(uninstall, "SETTLE", 1.0)
    later = threading.Timer(0.3, lambda: node.cache_result("late", swapped))
    later.start()
    try:
        assert "1 attachment was made with it" in node.uninstall().plugin_stays[0]
    finally:
        later.join()
    assert node.answers()


def test_killed_after_the_plugin_has_gone_watch_brings_nothing_back(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.install()

    def killed(_: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(record, "remove", killed)
    with pytest.raises(KeyboardInterrupt):
        node.uninstall()
    monkeypatch.undo()
    Reconciler(node.folders, node.tree, "1.0.0", lambda _: None).check()
    assert (node.conflist.read_text(), node.plugin.exists()) == (CALICO, False)
    assert node.uninstall().plugin_stays == []
    assert node.files() == {"10-calico.conflist": CALICO.encode()}


def test_where_it_was_installed_by_flags_it_is_found_without_them(node: Node) -> None:
    binaries, conf = node.bin.rename(node.root / "b"), node.conf.rename(node.root / "c")
    before = {path for folder in (binaries, conf) for path in folder.rglob("*")}
    node.conf.mkdir()
    node.bin.mkdir()
    node.install_to("/b", "/c")
    assert (node.folders.bin_name, node.folders.conf_name) == ("/b", "/c")
    assert status.gather(node.folders, []).conflist == "/c/10-calico.conflist"
    assert node.uninstall().plugin_stays == []
    assert {path for folder in (binaries, conf) for path in folder.rglob("*")} == before
    assert (conf / "10-calico.conflist").read_text() == CALICO


def test_in_other_folders_than_it_was_installed_to_nothing_is_done(node: Node) -> None:
    (node.root / "c").mkdir()
    (node.root / "c/10-calico.conflist").write_text(CALICO)
    node.install_to("/opt/cni/bin", "/c")
    wrong = node.find(conf_folder="/etc/cni/net.d")
    with pytest.raises(FoldersError, match=r"installed elsewhere: .*--cni-bin-dir /opt/cni/bin --cni-conf-dir /c"):
        uninstall.uninstall(wrong, list)
    with pytest.raises(FoldersError, match="installed elsewhere"):
        node.install_to("/opt/cni/bin", "/etc/cni/net.d")
    shutil.rmtree(node.root / "var/lib/spiderpool-ipam")
    with pytest.raises(FoldersError, match=r"nothing is recorded in /etc/cni/net.d: name the folder .* --cni-conf-dir"):
        uninstall.uninstall(wrong, list)
    assert node.answers()
    assert node.conflist.read_text() == CALICO


def test_the_plugin_stays_while_releases_are_pending(node: Node) -> None:
    node.install()
    (reason,) = node.uninstall(pending=1).plugin_stays
    assert reason.startswith("2 releases are pending for the agent on /run/hangs.sock, the oldest for ")
    assert reason.endswith("it does not answer; they are sent as soon as it does")
    assert node.answers()


def test_a_node_that_was_given_back_can_be_swapped_again(node: Node) -> None:
    node.install()
    node.uninstall(pending=1)
    assert node.install().message == "ipam.type is calico-ipam"
    assert not node.record.restored
    assert node.record.drift_count == 0


def test_a_swapped_node_whose_record_is_lost_is_given_back_by_force_only(node: Node) -> None:
    node.install()
    (node.conf / record.NAME).unlink()
    (node.folders.state / "folders").unlink()
    with pytest.raises(InstallerError, match="--force"):
        node.uninstall()
    assert node.answers()
    node.uninstall(force=True)
    assert node.ipam() == {"type": "calico-ipam"}
