"""`spiderpool-ipam doctor` as a command: options, output and exit statuses."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from cni.contracts.facts import FACTS
from cni.doctor import bundle, run
from cni.doctor.checks import CHECKS
from tests.doctor.documents import CLUSTER, bgp_peer, changed, guide, ip_pool, spider_pool
from tests.installer.sample_node import Node
from tests.requirements import ROOT
from tests.waiting import SLACK

SCHEMA = json.loads((ROOT / "spec/doctor/report.schema.json").read_text())
NO_HOME = {"HOME": "/nonexistent", "PATH": "/usr/bin:/bin"}


def doctor(*arguments: str, stdin: str = "", before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *before, "-m", "cni.cli", "doctor", *arguments],
        capture_output=True,
        text=True,
        input=stdin,
        timeout=60,
        env=NO_HOME,
        cwd=ROOT,
    )


def on(node: Node) -> tuple[str, ...]:
    return ("--host-root", str(node.root))


def saved(folder: Path, facts: Any) -> tuple[str, ...]:
    """Write a bundle with these facts; return the options that check it."""
    path = folder / "facts.tar.gz"
    bundle.write(path, facts, run.report(CHECKS, facts, run.chosen(CHECKS, [], [], pre=False), "1.0.0"))
    return ("--from", str(path))


def report(done: subprocess.CompletedProcess[str]) -> Any:
    made = json.loads(done.stdout)
    jsonschema_rs.validator_for(SCHEMA).validate(made)
    return made


def results(made: Any) -> dict[str, str]:
    return {check["id"]: check["result"] for check in made["checks"]}


def test_on_a_bare_machine_it_says_so_at_once_and_loads_no_client(tmp_path: Path) -> None:
    started = time.monotonic()
    done = doctor("--node-only", "--host-root", str(tmp_path), before=("-X", "importtime"))
    assert time.monotonic() - started < 2 + SLACK
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "this node: nothing is installed here" in done.stdout
    assert "not checked  node-agent: nothing is installed here" in done.stdout
    assert "not checked  node-conflist-fighting: nothing is installed here" in done.stdout
    loaded = ("httpx", "pyroute2", "rich", "yaml", "starlette", "watchfiles", "cni.doctor.collect.kube")
    assert not [name for name in loaded if f" {name}\n" in done.stderr]


def test_the_report_as_json_keeps_its_schema(node: Node) -> None:
    for options in (("--json",), ("-o", "json")):
        made = report(doctor("--node-only", *options, *on(node)))
        assert results(made)["node-installed"] == "failure"
        assert made["summary"]["failure"] == 1
        assert list(results(made)) == [check.id for check in CHECKS]


def test_without_a_kubeconfig_the_cluster_is_not_checked(node: Node) -> None:
    made = report(doctor("--cluster-only", "--json", *on(node)))
    of_the_node = {check.id for check in CHECKS if any(name.startswith("node.") for name in check.needs)}
    skipped = {check["id"] for check in made["checks"] if check.get("because") == "by --cluster-only"}
    assert skipped == of_the_node
    assert {result for name, result in results(made).items() if name not in skipped} == {"not-checked"}
    assert "--node-only" in made["checks"][-1]["because"]
    assert doctor("--cluster-only", *on(node)).returncode == 3


def test_the_whole_of_a_bundle_is_well_and_the_exit_status_0(tmp_path: Path) -> None:
    done = doctor(*saved(tmp_path, guide(CLUSTER)), "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert set(results(report(done)).values()) == {"ok"}
    done = doctor(*saved(tmp_path, guide(CLUSTER)), "-o", "short")
    assert done.stdout == f"{len(CHECKS)} ok\n"


def test_a_warning_fails_only_where_that_is_asked_for(tmp_path: Path) -> None:
    options = saved(tmp_path, changed(guide(CLUSTER), "node.agent.seconds", 1.5))
    assert doctor(*options).returncode == 0
    done = doctor(*options, "--fail-on", "warning", "-o", "short")
    assert done.returncode == 1
    assert done.stdout.splitlines()[0:3] == [
        "node",
        "  warning      node-agent  (the agent's socket, and whether the agent says that it is healthy)",
        "                 /var/run/spidernet/spiderpool.sock: it has answered after 1.5 s",
    ]


def test_a_symptom_is_listed_under_its_cause(tmp_path: Path) -> None:
    facts = changed(guide(CLUSTER), "node.plugin.bundle_fault", "is damaged")
    done = doctor(*saved(tmp_path, changed(facts, "node.plugin.answer_fault", "exit status 1")))
    text = done.stdout
    cause = text.index("FAILURE      node-bundle")
    assert (
        cause < text.index("and so node-plugin-answers: /opt/cni/bin/spiderpool") < text.index("node-plugin-answers  (")
    )
    assert "cause: node-bundle" in text


def test_checks_are_chosen(tmp_path: Path) -> None:
    options = saved(tmp_path, guide(CLUSTER))
    made = report(doctor(*options, "--only", "bgp-filter", "--json"))
    assert {name for name, result in results(made).items() if result != "skipped"} == {"bgp-filter"}
    made = report(doctor(*options, "--skip", "bgp-filter", "--skip", "node-agent", "--json"))
    assert {name for name, result in results(made).items() if result == "skipped"} == {"bgp-filter", "node-agent"}
    made = report(doctor(*options, "--pre", "--json"))
    assert results(made)["node-installed"] == "skipped"
    assert results(made)["node-agent"] == "ok"


@pytest.mark.parametrize(
    "options",
    [
        ("--node-only", "--cluster-only"),
        ("--only", "no-such"),
        ("--skip", "no-such"),
        ("--explain", "no-such"),
        ("--from", "/nonexistent"),
        ("--from", str(ROOT / "README.md")),
        ("--kubeconfig", "/nonexistent"),
        ("-o", "xml"),
        ("--wait", "-1"),
        ("--pod", "web"),
        ("--pod", "a/b/c"),
        ("--from", str(ROOT / "README.md"), "--nodes"),
    ],
)
def test_wrong_usage_is_told_and_is_2(options: tuple[str, ...]) -> None:
    done = doctor(*options)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


def test_the_checks_are_listed_and_explained() -> None:
    done = doctor("--list")
    assert [line.split()[1] for line in done.stdout.splitlines()] == [check.id for check in CHECKS]
    assert CHECKS[0].why in doctor("--explain", CHECKS[0].id).stdout
    assert "It needs: node.agent." in doctor("--explain", "node-agent").stdout


def test_before_install_what_install_needs_is_checked(node: Node) -> None:
    (node.root / "var/run/spidernet").mkdir(parents=True)
    done = doctor("--pre", "--node-only", "--json", *on(node))
    found = results(report(done))
    assert found["node-installed"] == "skipped"
    assert found["node-agent"] == "failure"
    assert found["node-chain-binaries"] == "failure"
    assert done.returncode == 1


def test_it_waits_until_what_was_found_is_mended(node: Node) -> None:
    (node.root / "var/run/spidernet").mkdir(parents=True)
    node.install()
    started = time.monotonic()
    done = doctor("--node-only", "--only", "node-agent", "--wait", "3", *on(node))
    assert done.returncode == 1
    assert time.monotonic() - started >= 3
    node.write()
    options = ("--node-only", "--only", "node-conflist", "--wait", "60", "--json", *on(node))
    with subprocess.Popen(
        [sys.executable, "-m", "cni.cli", "doctor", *options], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as waiting:
        time.sleep(1)
        node.install()
        output, _ = waiting.communicate(timeout=60)
    assert waiting.returncode == 0
    assert results(json.loads(output))["node-conflist"] == "ok"


def test_the_manifests_are_printed_as_one_stream(tmp_path: Path) -> None:
    peers = [bgp_peer("v4", "172.16.13.1", node="node2"), CLUSTER["bgp_peers"][1]]
    facts = guide({**CLUSTER, "ip_pools": [ip_pool("x", "172.25.0.0/16")], "bgp_peers": peers})
    done = doctor(*saved(tmp_path, facts), "--suggest")
    kinds = [document["kind"] for document in yaml.safe_load_all(done.stdout)]
    assert kinds == ["IPPool", "IPPool", "BGPPeer"]
    assert "# bgp-peer-per-node: calicoctl apply -f -\n" in done.stdout
    assert done.returncode == 1
    assert doctor(*saved(tmp_path, guide(CLUSTER)), "--suggest").stdout == ""


def test_what_is_no_object_of_calicos_is_applied_by_kubectl(tmp_path: Path) -> None:
    pools = [spider_pool("v4", "10.244.0.0/16", "10.244.0.1-10.244.0.9", gateway="10.244.0.1")]
    facts = guide({**CLUSTER, "spider_ip_pools": pools, "ip_pools": []})
    done = doctor(*saved(tmp_path, facts), "--suggest")
    assert "# sp-pool-overlaps: kubectl apply -f -\n" in done.stdout
    assert "# calico-pool-covers: calicoctl apply -f -\n" in done.stdout


def test_what_has_no_mend_says_what_to_do(tmp_path: Path) -> None:
    facts = changed(guide(CLUSTER), "node.chain.0.state", "missing")
    done = doctor(*saved(tmp_path, facts), "-o", "short")
    assert "    to do: Install the package that has the plugin" in done.stdout
    done = doctor(*saved(tmp_path, changed(guide(CLUSTER), "node.forwarding.ipv4", False)), "-o", "short")
    assert "to do: " not in done.stdout


def test_a_bundle_is_not_promised_to_be_without_pods(tmp_path: Path) -> None:
    done = doctor("--bundle", str(tmp_path / "b.tar.gz"), "--no-pods")
    assert done.returncode == 2 and not list(tmp_path.iterdir())
    assert "it holds what was read, pods included" in done.stderr


def test_what_an_option_skips_of_a_part_is_one_line() -> None:
    lines = doctor("--node-only", "--skip", "node-agent").stdout.splitlines()
    assert "  skipped      15 checks: by --node-only" in lines
    assert "  skipped      node-agent: by --skip" in lines
    assert not [line for line in lines if "sp-api" in line]


POD = {
    "metadata": {"name": "a", "namespace": "default", "annotations": {"ipam.spidernet.io/ippool": '{"ipv4":["v4"]}'}},
    "spec": {"nodeName": "node1"},
    "status": {"phase": "Running", "podIPs": [{"ip": "10.244.100.0"}]},
}


def test_a_pods_way_is_shown_and_its_first_broken_link_marked(tmp_path: Path) -> None:
    facts = guide({**CLUSTER, "pods": [POD], "namespaces": [], "ip_pools": []})
    done = doctor(*saved(tmp_path, facts), "--pod", "default/a")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0] == "ok           pools: IPv4 by the pod's annotation ipam.spidernet.io/ippool: v4"
    assert lines[1] == "BROKEN       SpiderIPPool: v4 has no record of 10.244.100.0   <-- the first broken link"
    assert lines[2].strip() == "see kubectl -n default describe pod a"
    assert doctor(*saved(tmp_path, facts), "--pod", "default/b").returncode == 2
    report = json.loads(doctor(*saved(tmp_path, facts), "--pod", "default/a", "--json").stdout)
    jsonschema_rs.validate(SCHEMA, report)
    assert [(link["name"], link["state"]) for link in report["way"][:2]] == [
        ("pools", "ok"),
        ("SpiderIPPool", "broken"),
    ]
    unknown = changed(facts, "cluster.pods", {"unknown": "HTTP status 403"})
    assert doctor(*saved(tmp_path, unknown), "--pod", "default/a").returncode == 3


FRR = """
{"ipv4Unicast": {"peers": {"172.16.13.11": {"state": "Established", "peerState": "Policy", "pfxRcd": 0}}}}
{"10.244.100.0/32": [{"prefix": "10.244.100.0/32", "nexthops": [{"ip": "172.16.13.11", "active": true}, {"x": 1}]}]}
{}
"""


@pytest.mark.parametrize("way", ["file", "stdin"])
def test_what_the_router_says_is_read(tmp_path: Path, node: Node, way: str) -> None:
    (tmp_path / "router").write_text(FRR)
    name, stdin = (str(tmp_path / "router"), "") if way == "file" else ("-", FRR)
    target = tmp_path / "out.tar.gz"
    done = doctor("--router", name, "--bundle", str(target), *on(node), stdin=stdin)
    assert "README.txt says what that is" in done.stderr
    facts: Any = bundle.read(target)
    assert facts["cluster"]["router"] == {
        "neighbors": {"172.16.13.11": {"state": "Established", "peer_state": "Policy", "prefixes_received": 0}},
        "routes": {"10.244.100.0/32": ["172.16.13.11"]},
    }


def test_the_router_may_be_told_beside_a_bundle(tmp_path: Path) -> None:
    options = (*saved(tmp_path, guide(CLUSTER)), "--only", "bgp-router-view", "--json")
    assert results(report(doctor(*options)))["bgp-router-view"] == "ok"
    assert results(report(doctor(*options, "--router", "-", stdin=FRR)))["bgp-router-view"] == "failure"
    assert results(report(doctor(*options, "--router", "-")))["bgp-router-view"] == "not-checked"


def test_what_stdin_says_of_the_router_is_known_in_each_try(node: Node) -> None:
    node.install()
    chosen = ("--only", "bgp-router-view", "--only", "node-agent")
    done = doctor("--node-only", *chosen, "--router", "-", "--wait", "3", "--json", *on(node), stdin=FRR)
    assert results(report(done))["bgp-router-view"] == "failure"


@pytest.mark.parametrize("text", ["no JSON", "[1]", "{} 3", '{"peers": {"x": 3}}'])
def test_what_is_not_the_routers_is_told(tmp_path: Path, node: Node, text: str) -> None:
    (tmp_path / "router").write_text(text)
    doctor("--router", str(tmp_path / "router"), "--bundle", str(tmp_path / "b"), *on(node))
    facts: Any = bundle.read(tmp_path / "b")
    assert "not what FRR prints as JSON" in facts["cluster"]["router"]["unknown"]


def test_a_bundle_of_a_node_is_checked_elsewhere_with_the_same_results(tmp_path: Path, node: Node) -> None:
    node.install()
    first = report(doctor("--node-only", "--json", "--bundle", str(tmp_path / "b"), *on(node)))
    second = report(doctor("--from", str(tmp_path / "b"), "--json"))
    made = {name: result for name, result in results(first).items() if result != "skipped"}
    assert made == {name: results(second)[name] for name in made}
    assert made["node-installed"] == "ok"
    assert FACTS.validate_python(bundle.read(tmp_path / "b"))["node"]["installation"]


def test_what_others_have_written_is_not_obeyed_by_the_terminal(tmp_path: Path) -> None:
    facts = guide({**CLUSTER, "ip_pools": [ip_pool("\x1b[31mx", "10.244.0.0/16", disableBGPExport=True)]})
    done = doctor(*saved(tmp_path, facts))
    assert "\x1b" not in done.stdout
    assert "IPPool/\\x1b[31mx" in done.stdout
