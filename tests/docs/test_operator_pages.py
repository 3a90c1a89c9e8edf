"""The pages for operators are true: their commands run; what they name of ids, codes, messages and tests is there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from cni import errors
from cni.doctor.checks import CHECKS
from cni.plugin import agent_errors
from cni.plugin.http1 import CutError, ProtocolError
from tests import requirements
from tests.docs.blocks import marked
from tests.docs.test_guide import SANDBOX, STEP
from tests.test_documents import FENCE

DOCS = requirements.ROOT / "docs"
ON_A_MACHINE = [DOCS / "without-kubernetes.md", DOCS / "custom-conflists.md"]
TROUBLESHOOTING = DOCS / "troubleshooting.md"
PAGES = [DOCS / f"{name}.md" for name in ("guide-calico-bgp", "troubleshooting", "compare")] + ON_A_MACHINE
CHECK_LINK = re.compile(r"\[([a-z0-9-]+)\]\(doctor/(\w+)\.md#([a-z0-9-]+)\)")
# What others say: Calico's plugin, the CNI library, SpiderPool's own plugin.
OF_OTHERS = {
    "Link not found",
    "Unauthorized",
    "cluster-network multus isn't set",
    "connection is unauthorized",
    "failed to find plugin",
    'failed to find plugin "spiderpool"',
    "ipAddrs is not compatible with configured IPAM",
    "no pool selection rules of any type are specified",
    "stat /var/lib/calico/nodename",
}


def section(page: Path, heading: str) -> str:
    """Return what is below a heading, up to the next heading of any kind."""
    return re.split(r"^#", page.read_text().partition(f"# {heading}\n")[2], flags=re.MULTILINE)[0]


def follow(page: Path) -> "subprocess.CompletedProcess[str]":
    command = [*SANDBOX, "--mount-proc", sys.executable, "-m", "tests.docs.machine", str(page)]
    return subprocess.run(command, cwd=requirements.ROOT, capture_output=True, text=True, timeout=300)


@pytest.fixture
def machine() -> None:
    """Require what the pages run on a machine without Kubernetes."""
    requirements.need_root()
    requirements.need_frozen("spiderpool")
    for name in ("cnitool", "ptp", "bridge", "macvlan", "portmap"):
        requirements.need_tool(name)
    for name in ("unshare", "setpriv", "ip", "ping", "curl"):
        requirements.need_program(name)


@pytest.mark.slow
@pytest.mark.parametrize("page", ON_A_MACHINE, ids=lambda page: page.stem)
def test_every_marked_block_does_what_the_page_says(page: Path, machine: None) -> None:
    followed = follow(page)
    assert followed.returncode == 0, followed.stdout + followed.stderr
    assert followed.stdout.count(STEP) == len(marked(page.read_text()))


@pytest.mark.slow
def test_a_conflist_that_the_plugin_refuses_is_found(machine: None, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(ON_A_MACHINE[1].read_text().replace('["vlan100-v4"]', '["vlan-100"]'))
    followed = follow(page)
    assert followed.returncode == 1, followed.stdout
    assert "vlan-100" in followed.stdout, followed.stdout + followed.stderr


def test_troubleshooting_lists_every_check_of_doctor_in_its_order_and_no_other() -> None:
    listed = CHECK_LINK.findall(section(TROUBLESHOOTING, "By doctor's ids"))
    assert listed == [(check.id, check.part, check.id) for check in CHECKS]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_link_to_a_check_says_which_and_leads_to_its_page(page: Path) -> None:
    parts = {check.id: check.part for check in CHECKS}
    for text, part, anchor in CHECK_LINK.findall(FENCE.sub("", page.read_text())):
        assert (text, parts.get(text)) == (anchor, part)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_check_that_is_named_is_one_of_doctors(page: Path) -> None:
    text = page.read_text()
    named = set(re.findall(r"`((?:node|sp|calico|bgp|felix|ipam)-[a-z-]+)`", FENCE.sub("", text)))
    named |= set(re.findall(r"--(?:only|skip|explain) ([a-z0-9-]+)", text))
    assert named - {"calico-ipam", "calico-node"} <= {check.id for check in CHECKS}


def test_troubleshooting_lists_every_error_code_and_no_other() -> None:
    cells = [row.split("|")[1] for row in section(TROUBLESHOOTING, "By error code").splitlines() if row.startswith("|")]
    codes = {value for name, value in vars(errors).items() if name.isupper() and isinstance(value, int)}
    assert {int(code) for cell in cells[2:] for code in cell.split(",")} == codes


def test_the_contents_of_troubleshooting_list_what_a_reader_sees() -> None:
    headings = re.findall(r"^### (.+)$", FENCE.sub("", TROUBLESHOOTING.read_text()), re.MULTILINE)
    assert re.findall(r"^  - \[(.+?)\]", TROUBLESHOOTING.read_text(), re.MULTILINE) == headings


def test_a_page_whose_commands_need_the_sources_says_where_these_are() -> None:
    pages = [page for page in DOCS.glob("*.md") if re.search(r"^[^`]* build/\w", page.read_text(), re.MULTILINE)]
    assert {page.stem for page in pages} >= {"chart", "install", "operate"}
    assert [page for page in pages if "this project's sources" not in " ".join(page.read_text().split())] == []


def symptoms() -> set[str]:
    """Return what the events of pods have, by the table of troubleshooting.md."""
    cells = section(TROUBLESHOOTING, "A pod stays in ContainerCreating").split("\n| ")[2:]
    return {message for cell in cells for message in re.findall(r"`([^`]+)`", cell.partition(" | ")[0])}


def test_a_reader_finds_each_error_of_talking_to_the_agent() -> None:
    texts = {
        error(why, "POST /v1/ipam/ip", "/socket", seconds).msg
        for error in (agent_errors.of_connecting, agent_errors.of_exchange)
        for why in (TimeoutError(), FileNotFoundError(), PermissionError(), CutError(""), ProtocolError(""))
        for seconds in (0.0, 1.0)
    }
    assert len(texts) > 6
    assert {text for text in texts if not any(symptom in text for symptom in symptoms())} == set()


def test_every_message_by_which_a_reader_finds_a_row_is_one_that_is_printed() -> None:
    messages = symptoms()
    sources = "".join(path.read_text() for path in (requirements.ROOT / "cni").rglob("*.py"))
    # The name of an interface is put in.
    unknown = {one for one in messages - OF_OTHERS if one.replace("eth0", "{ifname}") not in sources}
    assert (unknown, OF_OTHERS - messages) == (set(), set())


def test_the_tests_that_compare_names_are_there() -> None:
    named = set(re.findall(r"`(test_\w+)`", (DOCS / "compare.md").read_text()))
    files = (requirements.ROOT / "tests").rglob("test_*.py")
    present = {name for path in files for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)}
    assert named - present == set()
    assert len(named) > 5


def test_the_figures_of_the_comparison_are_those_of_the_benchmarks() -> None:
    rows = re.findall(r"^\| 1[456] \|.*$", (DOCS / "compare.md").read_text(), re.MULTILINE)
    figures = {figure for row in rows for figure in re.findall(r"\d[\d.]* (?:ms|MB)", row)}
    benchmarks = (DOCS / "design/benchmarks.md").read_text()
    assert len(figures) == 8
    assert {figure for figure in figures if figure not in benchmarks} == set()
