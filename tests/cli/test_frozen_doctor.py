"""The frozen `spiderpool-ipam doctor` as an operator runs it: on a bare machine, on a node, on a bundle."""

import json
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from cni.doctor import bundle, pages, run
from cni.doctor.checks import CHECKS
from tests import requirements
from tests.doctor.documents import CLUSTER, changed, guide, ip_pool
from tests.installer.sample_node import Node
from tests.requirements import ROOT
from tests.waiting import SLACK

SCHEMA = jsonschema_rs.validator_for(json.loads((ROOT / "spec/doctor/report.schema.json").read_text()))
NO_HOME = {"HOME": "/nonexistent", "PATH": "/usr/bin:/bin"}
SECRET = "s3cr3t"


def doctor(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    program = requirements.need_frozen("spiderpool-ipam")
    return subprocess.run(
        [program, "doctor", *arguments], capture_output=True, text=True, input=stdin, timeout=60, env=NO_HOME, cwd="/"
    )


def on(node: Node) -> tuple[str, ...]:
    return ("--node-only", "--host-root", str(node.root))


def saved(folder: Path, facts: Any) -> str:
    path = folder / "facts.tar.gz"
    bundle.write(path, facts, run.report(CHECKS, facts, run.chosen(CHECKS, [], [], pre=False), "1.0.0"))
    return str(path)


def results(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    assert "Traceback" not in done.stderr
    made = json.loads(done.stdout)
    SCHEMA.validate(made)
    return {check["id"]: check["result"] for check in made["checks"]}


@pytest.fixture
def installed(node: Node) -> Node:
    """A node with the frozen release, a chain, and the folders of agent, Calico and log."""
    tree = requirements.need_frozen("install.sh").parent
    node.tree = Path(shutil.copytree(tree, node.root / "frozen", symlinks=True))
    for name in ("portmap", "bandwidth", "calico"):
        (node.bin / name).write_text("")
        (node.bin / name).chmod(0o755)
    for name in ("var/lib/calico", "var/run/spidernet", "var/log/spidernet"):
        (node.root / name).mkdir(parents=True)
    node.install()
    return node


def test_on_a_bare_machine_it_says_so_at_once(tmp_path: Path, show: Callable[[str], None]) -> None:
    times = []
    for _ in range(3):  # the first run reads the program from the disk
        started = time.monotonic()
        done = doctor("--node-only", "--host-root", str(tmp_path))
        times.append(time.monotonic() - started)
        assert (done.returncode, done.stderr) == (1, "")
        assert "this node: nothing is installed here" in done.stdout
    found = results(doctor("--node-only", "--json", "--host-root", str(tmp_path)))
    assert found.pop("node-installed") == "failure"
    assert {found[check.id] for check in CHECKS[1:] if check.part == "node"} == {"not-checked", "skipped"}
    show(f"doctor --node-only on a bare machine: {min(times):.2f} s")
    assert min(times) < 2 + SLACK


def test_the_checks_are_listed_and_explained() -> None:
    assert doctor("--list").stdout.splitlines() == list(pages.table(CHECKS))
    image = next(check for check in CHECKS if check.id == "node-image")
    assert doctor("--explain", "node-image").stdout.rstrip() == pages.explain(image, "en")


def test_on_a_node_the_release_is_found_whole_and_tells_how_it_starts(installed: Node) -> None:
    done = doctor(*on(installed), "-o", "json")
    found = results(done)
    assert done.returncode == 1  # the node has no agent
    well = ("node-installed", "node-bundle", "node-image", "node-plugin-answers", "node-plugin-ours", "node-conflist")
    assert {name: found[name] for name in well} == dict.fromkeys(well, "ok")
    assert found["node-agent"] == "failure"
    assert {found[check.id] for check in CHECKS if check.part != "node"} == {"skipped", "not-checked"}
    assert found["bgp-router-view"] == "not-checked"  # --router was not given


def test_a_damaged_image_is_found_with_its_bundle(installed: Node) -> None:
    requirements.need_image()
    image = installed.bin / ".spiderpool/current/_internal/spiderpool.image"
    image.write_bytes(image.read_bytes()[:100_000])
    found = results(doctor(*on(installed), "--json"))
    assert (found["node-image"], found["node-bundle"], found["node-plugin-answers"]) == ("warning", "failure", "ok")


def test_a_bundle_is_checked_as_its_node_was(installed: Node, tmp_path: Path) -> None:
    path = tmp_path / "b.tar.gz"
    first = doctor(*on(installed), "--json", "--bundle", str(path))
    second = doctor("--from", str(path), "--json")
    made = {name: result for name, result in results(first).items() if result != "skipped"}
    assert made == {name: results(second)[name] for name in made}
    assert (first.returncode, second.returncode) == (1, 1)
    assert f"{path} holds what was read" in first.stderr
    with tarfile.open(path) as archive:
        assert archive.getnames() == ["README.txt", "facts.json", "report.json", "spiderpool.log", "watch.log"]


def test_the_guides_cluster_is_well(tmp_path: Path) -> None:
    path = saved(tmp_path, guide(CLUSTER))
    done = doctor("--from", path, "-o", "short")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{len(CHECKS)} ok\n", "")
    assert doctor("--from", path, "--suggest").stdout == ""


def test_what_is_wrong_is_told_with_its_mend(tmp_path: Path) -> None:
    path = saved(tmp_path, guide({**CLUSTER, "ip_pools": [ip_pool("x", "10.244.0.0/16", disableBGPExport=True)]}))
    done = doctor("--from", path, "--only", "calico-pool-exports")
    assert done.returncode == 1
    assert "IPPool/x" in done.stdout
    assert "disableBGPExport" in done.stdout
    suggested = doctor("--from", path, "--suggest")
    assert suggested.stdout.startswith("---\n# calico-pool-covers: calicoctl apply -f -\n")


def test_what_the_router_says_is_read_from_stdin(node: Node, tmp_path: Path) -> None:
    said = '{"peers": {"10.0.0.1": {"state": "Established", "peerState": "Policy", "pfxRcd": 0}}, "as": 23000}'
    done = doctor(*on(node), "--router", "-", "--bundle", str(tmp_path / "b"), stdin=said)
    assert done.returncode == 1
    facts: Any = bundle.read(tmp_path / "b")
    assert facts["cluster"]["router"]["neighbors"]["10.0.0.1"]["peer_state"] == "Policy"


def test_it_tries_again_until_what_was_found_is_mended(installed: Node) -> None:
    installed.write()
    command = [str(requirements.need_frozen("spiderpool-ipam")), "doctor", *on(installed)]
    options = ["--only", "node-conflist", "--wait", "60", "--json"]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True, env=NO_HOME, cwd="/") as waiting:
        time.sleep(1)
        assert waiting.poll() is None
        installed.install()
        output, _ = waiting.communicate(timeout=60)
    assert waiting.returncode == 0
    assert {check["id"]: check["result"] for check in json.loads(output)["checks"]}["node-conflist"] == "ok"


def test_no_secret_of_a_node_gets_into_its_bundle(installed: Node, tmp_path: Path) -> None:
    conflist = json.loads(installed.conflist.read_text())
    conflist["plugins"][0] |= {"etcd_password": SECRET, "policy": {"k8s_auth_token": SECRET}, SECRET: SECRET}
    conflist["plugins"][0]["ipam"] |= {"password": SECRET}
    installed.conflist.write_text(json.dumps(conflist))
    (installed.conf / "00-multus.conf").write_text(
        json.dumps({"cniVersion": "1.0.0", "name": "m", "type": "multus", "kubeconfig": SECRET, "token": SECRET})
    )
    (installed.conf / "calico-kubeconfig").write_text(f"users:\n- user:\n    token: e30.{SECRET}.{SECRET}\n")
    ours = {"time": "2026-01-01T00:00:00.000Z", "level": "info", "command": "ADD", "outcome": "ok", "code": 0, "ms": 3}
    lines = [json.dumps(ours | {"agent_ms": 2}), json.dumps({"level": "debug", "stdin": SECRET}), f"noise {SECRET}"]
    (installed.root / "var/log/spidernet/spiderpool.log").write_text("\n".join(lines))
    installed.cache_result("a", {"plugins": [{"type": "calico", "ipam": {"type": "spiderpool", "x": SECRET}}]})
    program, path = requirements.need_frozen("spiderpool-ipam"), tmp_path / "b.tar.gz"
    environment = {**NO_HOME, "TOKEN": SECRET, "LD_SECRET": SECRET}
    done = subprocess.run(
        [program, "doctor", *on(installed), "--bundle", path], env=environment, capture_output=True, text=True, cwd="/"
    )
    assert "node-conflist" in done.stdout
    assert SECRET not in done.stdout + done.stderr
    facts: Any = bundle.read(path)
    assert facts["node"]["log"]
    assert facts["node"]["local_addresses"] == []
    with tarfile.open(path) as archive:
        for member in archive:
            file = archive.extractfile(member)
            assert file
            assert SECRET.encode() not in file.read(), member.name


@pytest.mark.parametrize(("severity", "status"), [("failure", 0), ("warning", 1)])
def test_a_warning_fails_only_where_that_is_asked_for(tmp_path: Path, severity: str, status: int) -> None:
    path = saved(tmp_path, changed(guide(CLUSTER), "node.agent.seconds", 1.5))
    assert doctor("--from", path, "--fail-on", severity).returncode == status
