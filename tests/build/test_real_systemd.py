"""install.sh --systemd under a real systemd, which is the first process of namespaces of its own."""

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from tests.build.booted import Machine, booted
from tests.installer.sample_conflists import CALICO
from tests.waiting import wait_for

pytestmark = pytest.mark.slow

UNIT = "spiderpool-ipam-watch.service"
CONFLIST = "/etc/cni/net.d/10-calico.conflist"
PLUGIN = "/opt/cni/bin/spiderpool"
DROP_IN = f"/etc/systemd/system/{UNIT}.d/own.conf"


@pytest.fixture
def machine() -> Iterator[Machine]:
    with booted() as machine:
        yield machine


def install(machine: Machine, *options: str) -> None:
    if not machine.path(CONFLIST).exists():
        machine.write(CONFLIST, CALICO)
    machine.write("/opt/cni/bin/calico", "")
    done = machine.run("/release/install.sh", "--wait-agent=0", "--systemd", *options)
    assert done.returncode == 0, done.stderr + machine.log_of(UNIT)


def is_swapped(machine: Machine) -> bool:
    try:
        plugins = json.loads(machine.path(CONFLIST).read_bytes())["plugins"]
    except (FileNotFoundError, ValueError):
        return False
    return bool(plugins[0]["ipam"]["type"] == "spiderpool")


def mends(machine: Machine, seconds: float = 25) -> None:
    """See watch undo what calico-node and spiderpool-agent do when they start."""
    machine.write(CONFLIST, CALICO)
    wait_for(lambda: is_swapped(machine), f"the conflist to be swapped again: {machine.log_of(UNIT)}", seconds)
    machine.path("/opt/cni/bin").joinpath("spiderpool").unlink()
    wait_for(lambda: machine.path(PLUGIN).exists(), "the plugin to have its name again")


def is_active(machine: Machine) -> bool:
    return machine.property_of(UNIT, "ActiveState") == "active"


def test_watch_mends_in_the_usual_folders(machine: Machine) -> None:
    install(machine)
    mends(machine)


def test_watch_mends_what_is_behind_links(machine: Machine) -> None:
    """Of net.d, the folder of plugins, the conflist and the state, each is a link out of its folder."""
    machine.path("/").joinpath("data/1234/bin").mkdir(parents=True)
    machine.path("/").joinpath("data/state").mkdir(parents=True)
    machine.path("/").joinpath("mnt/net.d").mkdir(parents=True)
    machine.link("/data/current", "1234")
    machine.link("/etc/cni/net.d", "/mnt/net.d")
    machine.link("/opt/cni/bin", "/data/current/bin")
    machine.write("/srv/calico/conflist", CALICO)
    machine.link(CONFLIST, "/srv/calico/conflist")
    machine.link("/var/lib/spiderpool-ipam", "/data/state")
    install(machine)
    mends(machine)
    assert machine.path(CONFLIST) == machine.path("/srv/calico/conflist")


def test_watch_mends_a_conflist_that_was_named_elsewhere(machine: Machine) -> None:
    named = "/etc/other/10-calico.conflist"
    machine.write(named, CALICO)
    install(machine, f"--conf={named}")
    machine.write(named, CALICO)
    wait_for(lambda: "spiderpool" in machine.path(named).read_text(), f"the swap: {machine.log_of(UNIT)}", 25)


def test_watch_mends_in_a_folder_that_was_missing_when_it_started(machine: Machine) -> None:
    """On OpenShift, it is on a tmpfs, which is empty after a boot. (systemd 252 leaves /run itself writable.)"""
    machine.path("/").joinpath("mnt/multus/cni/net.d").mkdir(parents=True)
    machine.link("/etc/cni/net.d", "/mnt/multus/cni/net.d")
    install(machine)
    machine.run("systemctl", "stop", UNIT)
    record = machine.path("/etc/cni/net.d/.spiderpool-ipam.swap").read_text()
    machine.run("rm", "-r", "/mnt/multus")
    machine.run("systemctl", "start", UNIT)
    machine.write("/mnt/multus/cni/net.d/.spiderpool-ipam.swap", record)
    wait_for(lambda: is_active(machine), "the unit to be started again")
    mends(machine)


def test_watch_mends_where_the_folders_above_were_removed_and_made_anew(machine: Machine) -> None:
    """What systemd has mounted for the unit is gone with them, so only a new process can write there."""
    install(machine)
    record = machine.path("/etc/cni/net.d/.spiderpool-ipam.swap").read_text()
    machine.run("rm", "-r", "/etc/cni")
    machine.write("/etc/cni/net.d/.spiderpool-ipam.swap", record)
    mends(machine)
    assert "watch ends, to be started anew by its unit: " in machine.log_of(UNIT)


def test_install_says_what_the_started_unit_cannot_write_to(machine: Machine) -> None:
    """A drop-in takes away what the unit gives."""
    machine.path("/").joinpath("mnt/net.d").mkdir(parents=True)
    machine.link("/etc/cni/net.d", "/mnt/net.d")
    machine.write(CONFLIST, CALICO)
    machine.write("/opt/cni/bin/calico", "")
    machine.write(
        DROP_IN, "[Service]\nReadWritePaths=\nReadWritePaths=-/etc/cni/ -/opt/cni/ -/var/lib/spiderpool-ipam\n"
    )
    done = machine.run("/release/install.sh", "--wait-agent=0", "--systemd")
    assert (done.returncode, is_active(machine)) == (1, True)
    assert f"{UNIT} cannot write to /etc/cni/net.d: watch cannot repair what changes there" in done.stderr
    machine.path(DROP_IN).unlink()
    install(machine)
    mends(machine)


def test_the_unit_goes_when_the_node_is_given_back_and_not_before(machine: Machine) -> None:
    install(machine)
    uninstall = ("/opt/cni/bin/.spiderpool/current/install.sh", "--uninstall")
    done = machine.run(*uninstall, "--no-such-option")
    assert (done.returncode, is_active(machine)) == (2, True)
    assert f"{UNIT} keeps the node as installed" in done.stderr
    mends(machine)

    cached = {"kind": "cniCacheV1", "networkName": "k8s-pod-network", "config": "eyJ0eXBlIjoieCIsImlwYW0iOnsidHlwZSI6I"}
    cached["config"] += "nNwaWRlcnBvb2wifX0="  # {"type":"x","ipam":{"type":"spiderpool"}}
    machine.write("/var/lib/cni/results/x", json.dumps(cached))
    assert machine.run(*uninstall).returncode == 3
    assert (machine.property_of(UNIT, "LoadState"), is_swapped(machine)) == ("not-found", False)
    assert machine.path(PLUGIN).exists()

    machine.path("/var/lib/cni/results/x").unlink()
    install(machine)
    done = machine.run(*uninstall)
    assert (done.returncode, done.stderr) == (0, f"removed /etc/systemd/system/{UNIT}\n")
    assert (machine.property_of(UNIT, "LoadState"), is_swapped(machine)) == ("not-found", False)
    assert not machine.path("/opt/cni/bin/.spiderpool").exists()


def test_the_journal_has_the_level_of_each_line_and_nothing_but_its_message(machine: Machine) -> None:
    install(machine)
    machine.write(CONFLIST, "{")
    wait_for(lambda: "not JSON" in machine.log_of(UNIT), "the fault", 25)
    command = ("journalctl", "--no-pager", "--output=json", "--output-fields=PRIORITY,MESSAGE", "_TRANSPORT=stdout")
    lines = [json.loads(line) for line in machine.run(*command, f"_SYSTEMD_UNIT={UNIT}").stdout.splitlines()]
    for text, priority in (("in sync: ", "6"), ("the spiderpool-agent on ", "4"), ("not JSON", "3")):
        assert {line["PRIORITY"] for line in lines if text in line["MESSAGE"]} == {priority}, text
    assert not [line for line in lines if "level=" in line["MESSAGE"] or "<" in line["MESSAGE"]]


def test_the_report_has_what_doctor_finds_outside_of_the_unit(machine: Machine) -> None:
    install(machine)
    program = "/opt/cni/bin/.spiderpool/current/spiderpool-ipam"
    watch = f"{program} watch --metrics-addr=127.0.0.1:9479 --report"
    machine.write(DROP_IN, f"[Service]\nExecStart=\nExecStart={watch}\n")
    install(machine)
    machine.run("ip", "link", "set", "lo", "up")
    answer: dict[str, Any] = {}

    def is_told() -> bool:
        with suppress(ValueError):
            answer.update(json.loads(machine.run("curl", "--silent", "127.0.0.1:9479/report").stdout))
        return "report" in answer

    wait_for(is_told, f"the report: {machine.log_of(UNIT)}", 25)
    by_hand = json.loads(machine.run(program, "doctor", "--node-only", "--json").stdout)
    assert results(answer["report"]) == results(by_hand)
    assert results(by_hand)["node-blackhole"] == "ok"


def test_a_watch_that_hangs_is_started_again(machine: Machine) -> None:
    install(machine)
    machine.write(DROP_IN, "[Service]\nWatchdogSec=3\n")
    install(machine)
    before = machine.property_of(UNIT, "MainPID")
    machine.run("kill", "-STOP", before)
    wait_for(lambda: is_active(machine) and machine.property_of(UNIT, "MainPID") != before, "another watch", 30)
    mends(machine)


def results(report: dict[str, Any]) -> dict[str, str]:
    return {check["id"]: check["result"] for check in report["checks"]}
