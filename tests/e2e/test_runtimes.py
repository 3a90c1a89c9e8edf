"""podman and containerd run pods with the frozen plugin; first the agent is killed meanwhile, then the runtime."""

import json
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.containerd import Containerd
from tests.e2e.frozen_agent import POOLS, Agent, running_agent
from tests.e2e.machine import Machine
from tests.e2e.podman import Podman
from tests.waiting import wait_for

pytestmark = pytest.mark.slow

Runtime = Podman | Containerd
NETWORK = "e2e"
PODS = [f"pod-{number}" for number in range(30)]
AT_ONCE = 10
PLUGIN = "spiderpool"
# ptp waits 1.8 s for the kernel to check that an IPv6 address is unique, and podman makes one network at a time.
FAMILIES: dict[type[Runtime], list[str]] = {Podman: ["ipv4"], Containerd: ["ipv4", "ipv6"]}


@pytest.fixture(params=[Podman, Containerd], ids=["podman", "containerd"])
def kind(request: pytest.FixtureRequest) -> type[Runtime]:
    chosen: type[Runtime] = request.param
    return chosen


@pytest.fixture
def agent(kind: type[Runtime], tmp_path: Path) -> Iterator[Agent]:
    yield from running_agent(tmp_path, "---".join(POOLS.split("---")[: len(FAMILIES[kind])]))


@pytest.fixture
def conflist(agent: Agent, tmp_path: Path) -> Path:
    path = tmp_path / "net.d/10-e2e.conflist"
    path.parent.mkdir()
    log = tmp_path / "spiderpool.log"
    ipam = {"type": "spiderpool", "ipam_unix_socket_path": str(agent.socket), "log_file_path": str(log)}
    plugins = [{"type": "ptp", "ipMasq": False, "ipam": ipam}]
    path.write_text(json.dumps({"cniVersion": "1.0.0", "name": NETWORK, "plugins": plugins}))
    return path


@pytest.fixture
def runtime(kind: type[Runtime], machine: Machine, cni_bin: Path, conflist: Path, tmp_path: Path) -> Iterator[Runtime]:
    made = kind(machine, tmp_path, cni_bin, conflist.parent)
    yield made
    made.close()


def at_once(do: Callable[[str], Any], them: list[str]) -> list[Any]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(do, them))


def pending(machine: Machine) -> list[str]:
    """Return the names of the releases that wait for an agent."""
    return [path.name for path in machine.var_lib.glob("spiderpool-ipam/pending/*")]


def require_nothing_left(machine: Machine, agent: Agent) -> str:
    """Fail if anything of a pod is left; return the counts, for the figures."""
    wait_for(lambda: not machine.links(), "the links' end")  # which comes a moment after the end of their namespaces
    left: dict[str, Collection[Any]] = {
        "held": agent.held(),
        "pending": pending(machine),
        "netns": machine.namespaces(),
        "veth": machine.links(),
    }
    assert not any(left.values()), left
    return "left over: " + ", ".join(f"{len(them)} {what}" for what, them in left.items())


def collect_garbage(machine: Machine, conflist: Path, cni_bin: Path, keep: list[str]) -> None:
    """Run GC, which replays pending releases and then releases what the containers in `keep` do not hold.

    The test does it, because containerd 1.6 and podman 4.3 have a CNI older than 1.1.0 and never call GC.
    """
    gc_conflist = conflist.parent.with_name("gc.conflist")
    gc_conflist.write_text(conflist.read_text().replace('"1.0.0"', '"1.1.0"'))
    kept = [option for container in keep for option in ("--keep", f"{container}/eth0")]
    program = cni_bin / ".spiderpool/current/spiderpool-ipam"
    done = machine.run(program, "attach", "gc", *kept, "--conf", gc_conflist, "--cni-path", cni_bin)
    assert done.returncode == 0, done.stdout + done.stderr


def require_answers(machine: Machine, addresses: list[str]) -> None:
    """Ping every address from the node, for up to 5 s each."""
    pings = at_once(lambda address: machine.run("ping", "-c1", "-w5", address), addresses)
    assert [ping.stdout for ping in pings if ping.returncode] == []


def test_thirty_pods_come_and_go_and_the_agent_is_killed_in_between(
    runtime: Runtime, machine: Machine, agent: Agent, conflist: Path, cni_bin: Path, show: Callable[[str], None]
) -> None:
    started = time.monotonic()
    pods = at_once(runtime.run_pod, PODS)
    came = time.monotonic() - started
    held = agent.held()
    addresses = [address for pod in pods for address in sorted(runtime.addresses(pod))]
    families = FAMILIES[type(runtime)]
    assert sorted(addresses) == sorted(one[family].partition("/")[0] for one in held for family in families)
    assert len(set(addresses)) == len(addresses) == len(PODS) * len(families)
    assert all(is_of_a_pool(address) for address in addresses)
    require_answers(machine, addresses)

    # podman calls one DEL at a time, and each tries for 2 s to reach the agent.
    owed, others = (pods, []) if runtime.calls_del_again else (pods[:AT_ONCE], pods[AT_ONCE:])
    agent.kill()
    assert [failure for failure in at_once(runtime.stop_pod, owed) if failure] == []
    written_down = len(pending(machine))
    assert written_down == len(owed)
    agent.start()
    assert len(agent.held()) == len(PODS)
    assert [failure for failure in at_once(runtime.remove_pod, owed) if failure] == []
    by_second_del = len(PODS) - len(agent.held())
    assert by_second_del == (len(owed) if runtime.calls_del_again else 0)
    collect_garbage(machine, conflist, cni_bin, pods)  # keeps all, so only the replay releases
    assert (len(agent.held()), pending(machine)) == (len(others), [])
    assert [failure for failure in at_once(runtime.stop_pod, others) if failure] == []
    assert [failure for failure in at_once(runtime.remove_pod, others) if failure] == []
    left_over = require_nothing_left(machine, agent)
    show(
        f"{type(runtime).__name__}: {len(PODS)} pods, {AT_ONCE} at a time, up in {came:.1f} s; {len(addresses)} "
        f"addresses answered; {len(owed)} stopped without an agent: {written_down} releases written down, "
        f"{by_second_del} freed by the second DEL, {len(owed) - by_second_del} by replay; {left_over}; "
        f"{time.monotonic() - started:.1f} s in all"
    )


def is_of_a_pool(address: str) -> bool:
    """Tell whether an address lies in one of the ranges of POOLS."""
    ranges = [("10.244.100.10", "10.244.100.200"), ("fd00:244::a", "fd00:244::ff")]
    number = int(ip_address(address))
    return any(int(ip_address(first)) <= number <= int(ip_address(last)) for first, last in ranges)


def test_a_runtime_killed_during_adds_is_started_again_and_nothing_is_left(
    runtime: Runtime, machine: Machine, agent: Agent, conflist: Path, cni_bin: Path, show: Callable[[str], None]
) -> None:
    names = PODS[: runtime.adds_at_once]
    with agent.frozen():
        for name in names:
            runtime.begin_pod(name)
        wait_for(lambda: len(machine.processes(PLUGIN)) == len(names), "the ADDs")
        runtime.kill()
        assert len(machine.processes(PLUGIN)) == len(names)
    # The plugins that it had started finish without it.
    wait_for(lambda: not machine.processes("ptp", PLUGIN), "the end of the plugins")
    assert len(agent.held()) == len(names)

    runtime.start()
    runtime.clean_up()
    forgotten = len(agent.held())
    assert forgotten == (0 if runtime.calls_del_again else len(names))
    pods = at_once(runtime.run_pod, names)
    collect_garbage(machine, conflist, cni_bin, pods)
    assert sorted(container for one in agent.held() for container in one["containerIDs"]) == sorted(pods)
    require_answers(machine, [address for pod in pods for address in runtime.addresses(pod)])

    for pod in pods:
        assert (runtime.stop_pod(pod), runtime.remove_pod(pod)) == ("", "")
    left_over = require_nothing_left(machine, agent)
    show(
        f"{type(runtime).__name__} killed while {len(names)} ADDs were under way: {len(names)} pods' addresses held, "
        f"{forgotten} after its own clean-up, 0 after GC; {left_over}"
    )
