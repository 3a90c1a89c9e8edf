"""Several programs on one node at once."""

import subprocess

import pytest

from cni.installer.bundle import plugin_links as bundle
from cni.installer.conflist import record
from tests.installer.sample_conflists import CALICO
from tests.installer.sample_node import Node
from tests.waiting import SLACK

few_and_many = pytest.mark.parametrize("number", [3, pytest.param(8, marks=pytest.mark.slow)])


def all_at_once(commands: list[list[str]]) -> list[str]:
    """Run programs side by side to their ends, which must be good ones; return what they print."""
    running = [subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for line in commands]
    outputs = [process.communicate(timeout=100 + 4 * SLACK) for process in running]
    assert [process.returncode for process in running] == [0] * len(commands), outputs
    return [out for out, _ in outputs]


@few_and_many
def test_several_at_once_come_to_one_result(node: Node, number: int) -> None:
    outputs = all_at_once([node.command("install", "--wait-agent", "0")] * number)
    assert sum("swapped" in out for out in outputs) == 1
    assert node.answers()
    assert {path.name for path in node.conf.iterdir()} == {"10-calico.conflist", record.NAME}
    assert len(list((node.bin / ".spiderpool").iterdir())) == 2


@few_and_many
def test_several_upgrades_at_once_keep_the_version_before(node: Node, number: int) -> None:
    node.install()
    before = bundle.current_bundle(node.bin)
    outputs = all_at_once([node.command("install", "--wait-agent", "0")] * number)
    assert sum(", installed" in out for out in outputs) == 1
    assert set(bundle.bundles(node.bin)) == {before, bundle.current_bundle(node.bin)}
    assert node.answers()


@few_and_many
def test_installs_uninstalls_and_a_watch_at_once_leave_one_or_the_other(node: Node, number: int) -> None:
    assert node.run("install", "--wait-agent", "0").returncode == 0
    with subprocess.Popen(node.command("watch"), stderr=subprocess.DEVNULL) as watch:
        all_at_once([node.command("install", "--wait-agent", "0"), node.command("uninstall")] * (number // 2))
        watch.terminate()
    installed = node.plugin.is_symlink()
    assert node.ipam() == {"type": "spiderpool" if installed else "calico-ipam"}
    assert node.answers() if installed else not (node.bin / ".spiderpool").exists()
    assert node.run("uninstall").returncode == 0
    assert node.files() == {"10-calico.conflist": CALICO.encode()}
    assert [path.name for path in node.bin.iterdir()] == ["calico"]
