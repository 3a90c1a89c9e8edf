"""docs/guide-calico-bgp.md is true: its marked blocks run in the lab, and print what it says; mistakes are found."""

import fcntl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests import requirements
from tests.docs.blocks import is_as_said, marked
from tests.lab import chart, programs, test_lab

PAGE = requirements.ROOT / "docs/guide-calico-bgp.md"
# What the sandbox of the lab consists of. All ends with the process that is started here.
SANDBOX = ["setpriv", "--pdeathsig=KILL", "unshare", "--net", "--mount", "--propagation=private", "--pid", "--fork",
           "--kill-child", "--ipc", "--uts"]  # fmt: skip
STEP = "as the page says"
DOCTOR = """\
calico
  FAILURE      calico-pool-covers
[…]
  see docs/doctor/calico.md
20 ok, 1 failure, 36 skipped
"""


@pytest.fixture
def lab() -> Iterator[None]:
    """Have no other test run a lab meanwhile, because they would slow each other down."""
    requirements.need_package("kubernetes_validate")
    if reasons := programs.missing():
        requirements.missing("; ".join(reasons))
    with Path(test_lab.__file__).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # it ends with its holder, and each test has a limit
        yield


def follow(page: Path) -> "subprocess.CompletedProcess[str]":
    command = [*SANDBOX, sys.executable, "-m", "tests.docs.guide", str(page)]
    return subprocess.run(command, cwd=requirements.ROOT, capture_output=True, text=True, timeout=400)


@pytest.mark.slow
def test_every_marked_block_of_the_guide_does_what_the_page_says(lab: None) -> None:
    followed = follow(PAGE)
    assert followed.returncode == 0, followed.stdout + followed.stderr
    assert followed.stdout.count(STEP) == len(marked(PAGE.read_text()))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("right", "wrong", "reason"),
    [
        ("  disabled: true\n", "  disable: true\n", "not recognized or is in the wrong location: disable"),
        ("    --set multus.multusCNI.defaultCniCRName=k8s-pod-network \\\n", "", "sp-multus-network"),
        ("clusterDefaultPool.ipv4Subnet", "clusterDefaultPool.ipv4SubNet", "chart has no value"),
        (" remote-as 64512\n", " remote-us 64512\n", "% Unknown command"),
    ],
)
def test_a_mistake_in_the_guide_is_found_where_it_is(
    right: str, wrong: str, reason: str, lab: None, tmp_path: Path
) -> None:
    page = tmp_path / "guide.md"
    page.write_text(PAGE.read_text().replace(right, wrong))
    followed = follow(page)
    assert followed.returncode == 1, followed.stdout
    assert reason in followed.stdout, followed.stdout + followed.stderr


def test_an_upgrade_of_the_chart_is_as_the_guide_says_to_those_who_have_another_one() -> None:
    if reasons := programs.missing():
        requirements.missing("; ".join(reasons))
    objects = {
        (one["kind"], one["metadata"]["name"]): one
        for one in chart.render([*chart.GUIDE, *chart.IPV6, "multus.multusCNI.uninstall=true"])
    }
    others = PAGE.read_text().partition("\n## What the other guides get wrong\n")[2]
    pool = yaml.safe_load(others.partition("<<'EOF'\n")[2].partition("\nEOF\n")[0])
    *_, by_chart = chart.pools(list(objects.values()))
    assert pool["metadata"] == by_chart["metadata"]
    assert {"ipVersion": 6, **pool["spec"]} == by_chart["spec"]
    # What makes the pools runs after an installation, and not after an upgrade.
    assert objects["Job", "spiderpool-init"]["metadata"]["annotations"]["helm.sh/hook"] == "post-install"
    # The chart removes Multus' files where it was told so before: while Multus still runs.
    containers = objects["DaemonSet", "spiderpool-agent"]["spec"]["template"]["spec"]["containers"]
    (multus,) = [one for one in containers if one["name"] == "multus-cni"]
    assert "rm -f /host/etc/cni/net.d/00-multus.conf" in multus["lifecycle"]["preStop"]["exec"]["command"][-1]
    upgrades = [block for block in others.split("```sh\n")[1:] if block.startswith("helm upgrade")]
    removed = [block.partition("```")[0].count("multusCNI.uninstall") for block in upgrades]
    assert removed == [0, 2], "Multus is taken away by two upgrades"


def test_the_guide_goes_from_helm_to_the_ping() -> None:
    blocks = marked(PAGE.read_text())
    texts = "".join(block.text for block in blocks)
    for word in ("helm install", "vtysh", "kind: BGPPeer", "kind: IPPool", "install.sh", "replicas: 2", "ping"):
        assert word in texts
    assert {block.place for block in blocks} == {"router", "admin", "node1", "nodes"}


def test_a_block_is_run_where_its_mark_says_and_prints_the_text_behind_it() -> None:
    page = (
        "```sh\nno\n```\n\n```sh node1\nyes\n```\nprints\n```text\nit\n```\n```sh router\nmore\n```\n```json\n{}\n```\n"
    )
    assert marked(page) == [(5, "node1", "yes\n", "it\n"), (12, "router", "more\n", None)]


@pytest.mark.parametrize(
    ("change", "is_good"),
    [
        (("20 ok", "21 ok"), True),
        (("[…]", "why\nmend"), True),
        (("[…]\n", ""), True),
        (("1 failure", "2 failure"), False),
        (("FAILURE", "warning"), False),
        (("calico\n", "node\ncalico\n"), False),
        (("36 skipped\n", "36 skipped\nmore\n"), False),
    ],
)
def test_only_what_is_another_each_time_may_differ(change: tuple[str, str], is_good: bool) -> None:
    assert is_as_said(DOCTOR, DOCTOR.replace(*change)) is is_good


def test_a_neighbour_of_the_router_is_compared_by_its_state() -> None:
    said = "172.16.13.11    4      64512         4         4        0    0    0 00:00:07            2        2 N/A"
    later = "172.16.13.11    4      64512        12         9        0    0    0 00:01:30            3        4 N/A"
    never = "172.16.13.11    4      64512        12         9        0    0    0    never       Active        0 N/A"
    assert is_as_said(said, later)
    assert not is_as_said(said, never)
