"""watch as a process of its own, with real file events, beside a Calico that writes as Calico does."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator

import pytest

from cni.installer.bundle import plugin_links as bundle
from cni.installer.conflist.record import NAME as RECORD
from cni.installer.reconciler import GRACE
from tests.installer.health_agent import HealthAgent
from tests.installer.sample_conflists import CALICO, SWAPPED
from tests.installer.sample_node import COPY, PLUGIN, Node
from tests.waiting import SLACK, wait_for

WITHIN = 1.0  # seconds in which watch repairs what others have changed
OTHER = PLUGIN.format(mark="the Go plugin")


class Watch:
    """The process, and what it has said."""

    def __init__(self, node: Node, *options: str) -> None:
        self._log = node.root / "watch.log"
        self.ready = node.root / "ready"
        command = node.command("watch", "--readiness-file", str(self.ready), *options)
        with self._log.open("w") as log:
            self.process = subprocess.Popen(command, stderr=log)

    @property
    def said(self) -> str:
        return self._log.read_text()

    def stop(self) -> float:
        """End it by SIGTERM; return how many seconds that took."""
        started = time.monotonic()
        self.process.terminate()
        assert self.process.wait(10 + SLACK) == 0, self.said
        return time.monotonic() - started


def until(condition: Callable[[], bool], seconds: float) -> float:
    """Wait for what watch promises within so many seconds; return how many it took."""
    return wait_for(condition, "what watch promises", seconds)


@pytest.fixture
def watching(node: Node) -> Iterator[Callable[..., Watch]]:
    """Give the test a function that installs, then starts watch and waits until it is armed and ready."""
    started: list[Watch] = []

    def start(as_name: str = "", *options: str) -> Watch:
        node.install(as_name)
        watch = Watch(node, *options)
        started.append(watch)
        until(watch.ready.exists, 10)
        time.sleep(0.7)  # the check after arming
        return watch

    yield start
    for watch in started:
        watch.process.kill()
        watch.process.wait()


def swapped_again(node: Node, text: str = SWAPPED) -> Callable[[], bool]:
    return lambda: node.conflist.read_text() == text


def in_place(node: Node) -> None:
    node.write()


def by_rename(node: Node) -> None:
    (node.conf / ".calico.tmp").write_text(CALICO)
    (node.conf / ".calico.tmp").rename(node.conflist)


def deleted_and_created(node: Node) -> None:
    node.conflist.unlink()
    time.sleep(0.2)
    node.write()


def under_another_name(node: Node) -> None:
    node.conflist.unlink()
    node.conflist = node.conf / "20-calico.conflist"
    node.write()


def in_two_halves(node: Node) -> None:
    with node.conflist.open("w") as file:
        file.write(CALICO[:150])
        file.flush()
        time.sleep(1.5)
        file.write(CALICO[150:])


def in_a_burst(node: Node) -> None:
    for _ in range(50):
        node.write()
        time.sleep(0.002)


@pytest.mark.parametrize(
    "undo",
    [in_place, by_rename, deleted_and_created, under_another_name, in_two_halves, in_a_burst],
    ids=lambda f: f.__name__,
)
def test_what_calico_writes_is_swapped_again_within_a_second(
    node: Node, watching: Callable[..., Watch], undo: Callable[[Node], None], show: Callable[[str], None]
) -> None:
    watch = watching()
    undo(node)
    took = until(swapped_again(node), WITHIN + (GRACE if undo is under_another_name else 0))
    show(f"{undo.__name__}: swapped again {took * 1000:.0f} ms after the last write")
    until(lambda: f"swapped {node.folders.name_of(node.conflist)} again: ipam.type is calico-ipam" in watch.said, 1)
    assert "not JSON" not in watch.said
    assert node.record.drift_count >= 1
    until(watch.ready.exists, 1)


def test_a_conflist_behind_a_link_is_swapped_again_within_a_second(node: Node, watching: Callable[..., Watch]) -> None:
    behind = node.root / "srv/calico"
    behind.parent.mkdir()
    node.conflist.rename(behind)
    node.conflist.symlink_to("/srv/calico")
    watching()
    behind.write_text(CALICO)
    until(lambda: behind.read_text() == SWAPPED, 1)
    assert node.conflist.is_symlink()


def test_half_a_file_that_stays_half_is_told_and_is_not_ready(node: Node, watching: Callable[..., Watch]) -> None:
    watch = watching()
    node.write(CALICO[:150])
    until(lambda: "not JSON" in watch.said, 6)
    assert not watch.ready.exists()
    node.write()
    until(swapped_again(node), WITHIN)
    until(watch.ready.exists, 2)
    assert watch.said.count("not JSON") == 1


def test_other_files_are_none_of_its_business(node: Node, watching: Callable[..., Watch]) -> None:
    watch = watching()
    before = watch.said
    inode = node.conflist.stat().st_ino
    for number in range(20):
        (node.conf / "calico-kubeconfig").write_text(f"token: {number}")
        time.sleep(0.02)
    time.sleep(1)
    assert (watch.said, node.conflist.stat().st_ino) == (before, inode)


def test_a_folder_that_is_recreated_is_watched_again(node: Node, watching: Callable[..., Watch]) -> None:
    watch = watching()
    agent = HealthAgent(node.root / "var/run/spidernet/spiderpool.sock")
    shutil.rmtree(node.conf)
    time.sleep(0.3)
    node.conf.mkdir()
    node.write()
    until(swapped_again(node), 3)  # no event tells that: the next look does
    agent.close()
    until((node.conf / RECORD).exists, 1)
    time.sleep(1)
    node.write()
    until(swapped_again(node), WITHIN)
    watch.stop()
    node.uninstall()
    assert node.conflist.read_text() == CALICO


@pytest.fixture
def healthy_agent(node: Node) -> Iterator[None]:
    agent = HealthAgent(node.root / "var/run/spidernet/spiderpool.sock")
    yield
    agent.close()


@pytest.mark.usefixtures("healthy_agent")
def test_a_copy_follows_its_source_comes_back_and_goes_with_it(node: Node, watching: Callable[..., Watch]) -> None:
    watch = watching(COPY)
    node.write(CALICO.replace('"mtu": 0', '"mtu": 1450'))
    until(lambda: '"mtu": 1450' in node.copy.read_text(), WITHIN)
    assert node.record.drift_count == 0
    node.copy.unlink()
    until(node.copy.exists, WITHIN)
    until(lambda: node.record.drift_count == 1, 1)
    removed = time.monotonic()
    node.conflist.unlink()
    until(lambda: not node.copy.exists(), 6)
    assert time.monotonic() - removed >= GRACE  # it might have come back
    until(lambda: "its source is gone" in watch.said, 1)
    node.write()
    until(node.copy.exists, WITHIN)
    assert node.record.drift_count == 1


def test_the_agents_own_plugin_is_replaced_within_a_second(
    node: Node, watching: Callable[..., Watch], show: Callable[[str], None]
) -> None:
    watch = watching()
    go_plugin = node.root / "go-plugin"
    go_plugin.write_text(OTHER)
    go_plugin.chmod(0o755)
    post_start = "mv spiderpool spiderpool.old; cp ../../../go-plugin spiderpool; rm spiderpool.old"
    subprocess.run(["sh", "-c", post_start], cwd=node.bin, check=True)
    took = until(lambda: bundle.current_bundle(node.bin) is not None, WITHIN)
    show(f"postStart: ours again after {took * 1000:.0f} ms")
    assert node.answers()
    assert (node.bin / ".spiderpool/foreign").read_text() == OTHER
    until(lambda: "is ours again: it was replaced by another plugin" in watch.said, 1)


def test_a_launcher_that_was_copied_over_is_repaired(node: Node, watching: Callable[..., Watch]) -> None:
    watching()
    launcher = node.plugin.resolve()
    right = launcher.read_bytes()
    node.plugin.write_text("cp came between mv and us")
    until(lambda: launcher.read_bytes() == right, WITHIN)


def test_pods_on_another_ipam_meanwhile_are_counted(node: Node, watching: Callable[..., Watch]) -> None:
    watch = watching()
    node.cache_result("before", json.loads(CALICO))
    os.utime(node.root / "var/lib/cni/results/before", (1, 1))
    watch.process.send_signal(signal.SIGSTOP)
    node.write()
    node.cache_result("one", json.loads(CALICO))
    node.cache_result("two", json.loads(CALICO))
    node.cache_result("ours", json.loads(SWAPPED))
    watch.process.send_signal(signal.SIGCONT)
    until(swapped_again(node), WITHIN)
    until(lambda: "2 pods got another IPAM's address meanwhile" in watch.said, 1)


def test_a_conflict_is_reported_and_backed_off_from(node: Node, watching: Callable[..., Watch]) -> None:
    watch = watching()
    for _ in range(6):
        node.write()
        until(swapped_again(node), WITHIN)
        until(watch.ready.exists, 1)
    warning = 'level=warn msg="others have changed the ipam of plugin calico in /etc/cni/net.d/10-calico'
    until(lambda: warning in watch.said, 1)
    node.write()
    until(lambda: not watch.ready.exists(), 2)
    time.sleep(1.5)
    assert node.conflist.read_text() == CALICO
    assert "the next repair is in up to 60 s" in watch.said
    assert watch.said.count(warning) == 1


def test_it_ends_within_a_second_and_leaves_the_node_as_it_is(node: Node, watching: Callable[..., Watch]) -> None:
    watch = watching()
    before = node.files()
    assert watch.stop() < 1 + SLACK
    assert node.files() == before
    assert node.answers()
    assert not watch.ready.exists()


def test_after_uninstall_it_has_nothing_to_keep(node: Node, watching: Callable[..., Watch]) -> None:
    watch = watching()
    node.uninstall()
    assert watch.process.wait(5 + SLACK) == 0
    assert "the installation was removed" in watch.said
    assert node.conflist.read_text() == CALICO


def test_after_giving_back_it_keeps_nothing_until_the_next_install(node: Node, watching: Callable[..., Watch]) -> None:
    watch = watching()
    node.uninstall(pending=1)
    until(lambda: "uninstall has restored the conflist" in watch.said, 2)
    node.write()
    time.sleep(1)
    assert node.conflist.read_text() == CALICO
    node.install()
    until(watch.ready.exists, 2)


def test_what_install_asks_for_later_is_what_is_kept(node: Node, watching: Callable[..., Watch]) -> None:
    watching()
    node.install(settings={"log_level": "info"})
    node.write()
    until(lambda: node.ipam() == {"type": "spiderpool", "log_level": "info"}, WITHIN)


def test_a_bundle_that_was_removed_is_installed_again(node: Node, watching: Callable[..., Watch]) -> None:
    watching()
    (node.bin / ".spiderpool" / str(bundle.current_bundle(node.bin))).rename(node.root / "away")
    node.plugin.unlink()
    until(lambda: node.plugin.exists() and node.answers(), 2)


def test_metrics_tell_what_was_repaired(node: Node, watching: Callable[..., Watch]) -> None:
    before = time.time()
    watching("", "--metrics-addr", "127.0.0.1:19471")
    node.write()
    until(swapped_again(node), WITHIN)

    def metrics() -> dict[str, float]:
        with urllib.request.urlopen("http://127.0.0.1:19471/metrics") as answer:
            text = answer.read().decode()
        return {name: float(value) for name, value in re.findall(r"^spiderpool_ipam_(\S+) (\S+)$", text, re.MULTILINE)}

    until(lambda: metrics()['drift_total{object="conflist",reason="replaced"}'] == 1, 2)
    found = metrics()
    assert (found["in_sync"], found["agent_up"]) == (1, 0)
    assert found["last_check_timestamp_seconds"] >= before


def test_where_nothing_is_installed_it_says_so(node: Node) -> None:
    done = node.run("watch")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith(' level=error msg="nothing is installed in /etc/cni/net.d: run install first"\n')


def test_the_release_it_runs_from_is_what_it_brings(node: Node) -> None:
    """Only a frozen watch can: it is asked here with the real bundle."""
    assert node.run("install", "--wait-agent", "0").returncode == 0
    name = bundle.current_bundle(node.bin)
    watch = Watch(node)
    try:
        until(watch.ready.exists, 10)
        (node.bin / ".spiderpool").rename(node.root / "away")  # at once: watch repairs what is removed bit by bit
        until(lambda: bundle.current_bundle(node.bin) == name, 5)
        assert node.answers()
    finally:
        watch.stop()
