"""What a real BIRD 1.6 and a real FRR say, over one BGP session in a network namespace, and which checks name it."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from cni.contracts.route_facts import BirdProtocol, Router
from cni.doctor.collect import bird, router
from cni.installer.node.host_root import HostRoot
from tests import requirements
from tests.doctor.documents import CLUSTER, bgp_peer, changed, guide, made
from tests.waiting import wait_for

BGPD = "/usr/lib/frr/bgpd"
ROUTER, NODE = "10.0.0.1", "10.0.0.2"
SCRIPT = """
ip link set lo up
ip address add {router}/32 dev lo
ip address add {node}/32 dev lo
{bgpd} -f {folder}/bgpd.conf -i {folder}/frr/pid --vty_socket {folder}/frr -A 127.0.0.1 -l {router} -Z &
exec {bird} -f -c {folder}/bird.conf -s {folder}/var/run/calico/bird.ctl
"""
BGPD_CONF = """
router bgp 23000
 bgp router-id {router}
 {policy}
 neighbor {node} remote-as 64512
 neighbor {node} ebgp-multihop
 neighbor {node} update-source {router}
"""
BIRD_CONF = """
router id {node};
listen bgp address {node} port 179;
protocol device {{}}
protocol static {{ route 10.244.100.0/32 blackhole; }}
protocol bgp Global_10_0_0_1 {{
  local as 64512; neighbor {router} as {as_number}; source address {node}; multihop;
  import all; export all; connect delay time 1; connect retry time 1; error wait time 1, 2;
}}
"""


class Daemons:
    """The two, and their folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def session(self) -> BirdProtocol:
        """Return BIRD's session."""
        (found,) = bird.read(HostRoot(self.folder), "bird.ctl")["protocols"]
        return found

    def says(self, state: str, error: str = "") -> bool:
        """Tell whether BIRD's session is so."""
        if not (self.folder / "var/run/calico/bird.ctl").exists():
            return False
        found = bird.read(HostRoot(self.folder), "bird.ctl")["protocols"]
        return any(one["state"] == state and error in one["last_error"] for one in found)

    def router(self) -> Router:
        """Return what FRR says."""
        command = ["vtysh", "--vty_socket", str(self.folder / "frr"), "-c", "show bgp summary json"]
        environ = {**os.environ, "VTYSH_HISTFILE": "/dev/null"}
        said = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True, env=environ)
        return router.parse(said.stdout)


@contextmanager
def daemons(as_number: int, policy: str) -> Iterator[Daemons]:
    """Run both in a network namespace; they end with this process, however it ends."""
    requirements.need_root()
    for name in ("unshare", "ip", "vtysh", BGPD):
        requirements.need_program(name)
    program = requirements.need_lab_tool("bird") / "usr/sbin/bird"
    with ExitStack() as stack:
        # Not below pytest's own folder: FRR gives up root's rights, and could not reach it there.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o755)
        (folder / "frr").mkdir()
        shutil.chown(folder / "frr", "frr", "frr")
        (folder / "var/run/calico").mkdir(parents=True)
        words = {"router": ROUTER, "node": NODE, "as_number": as_number, "policy": policy}
        (folder / "bgpd.conf").write_text(BGPD_CONF.format(**words))
        (folder / "bird.conf").write_text(BIRD_CONF.format(**words))
        script = SCRIPT.format(**words, folder=folder, bgpd=BGPD, bird=program)
        command = ["unshare", "--net", "--pid", "--fork", "--kill-child", "sh", "-ec", script]
        with subprocess.Popen(command, stdout=sys.stderr, stderr=sys.stderr) as process:
            try:
                yield Daemons(folder)
            finally:
                process.kill()


def document(session: BirdProtocol, said: Router | None, **cluster: Any) -> Any:
    facts = guide({**CLUSTER, "spider_ip_pools": CLUSTER["spider_ip_pools"][:1], **cluster})
    facts = changed(facts, "node.bird.protocols", [session])
    return changed(facts, "cluster.router", said or {"unknown": "--router"})


def test_a_router_with_a_policy_looks_well_from_the_node_but_for_its_silence() -> None:
    with daemons(23000, "bgp ebgp-requires-policy") as both:
        wait_for(lambda: both.says("Established"), "the session to be Established")
        session, said = both.session(), both.router()
    assert [route["prefix"] for route in session["exported"]] == ["10.244.100.0/32"]
    assert 0 <= session["seconds"] < 60
    assert said["neighbors"][NODE] == {"state": "Established", "peer_state": "Policy", "prefixes_received": 0}
    session["seconds"] = 60
    others = [{"metadata": {"name": "b"}, "status": {"current": {"node": "node2"}}}]
    assert made(document(session, None), "node-bird")["result"] == "ok"
    (silent,) = made(document(session, None, spider_endpoints=others), "node-router-silent")["findings"]
    assert silent["object"] == "Global_10_0_0_1"
    (policy,) = made(document(session, said), "bgp-router-view")["findings"]
    assert "router bgp 23000" in policy.get("mend", {"text": ""})["text"]


def test_without_a_policy_the_router_takes_the_route() -> None:
    with daemons(23000, "no bgp ebgp-requires-policy") as both:
        wait_for(lambda: both.says("Established"), "the session to be Established")
        wait_for(lambda: both.router()["neighbors"][NODE]["prefixes_received"] == 1, "the router to take the route")
        assert both.router()["neighbors"][NODE]["peer_state"] == "OK"


def test_a_wrong_as_number_is_named_and_mended() -> None:
    peers = [bgp_peer("router", ROUTER, asNumber=23001)]
    with daemons(23001, "no bgp ebgp-requires-policy") as both:
        wait_for(lambda: both.says("Idle", "Bad peer AS") or both.says("Active", "Bad peer AS"), "BIRD's error")
        session, said = both.session(), both.router()
    (finding,) = made(document(session, said, bgp_peers=peers), "node-bird")["findings"]
    assert "the router has another AS number than the BGPPeer says" in finding["seen"]
    assert finding.get("mend") == {
        "kind": "command", "text": 'calicoctl patch bgppeer router -p \'{"spec": {"asNumber": 23000}}\'',
    }  # fmt: skip


NO_NUMBER = '{"peers": {"10.0.0.1": {"pfxRcd": Infinity}}}'


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "3", '{"ipv4Unicast": {"peers": 3}}', '{"a": {}', NO_NUMBER, '{"items": []}']
)
def test_what_is_no_answer_of_frr_breaks_nothing(text: str, tmp_path: Path) -> None:
    (tmp_path / "said").write_text(text)
    assert "unknown" in router.read(str(tmp_path / "said"))
