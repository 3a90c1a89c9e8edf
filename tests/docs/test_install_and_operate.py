"""What install.md and operate.md have an operator do on a node does what they say, under a real systemd."""

import importlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from cni.cli.__main__ import COMMANDS
from tests import requirements
from tests.build.booted import Machine, booted
from tests.docs.blocks import Block, marked
from tests.docs.booted_page import SITUATIONS, follow, prepare
from tests.docs.terminal import PageError
from tests.test_documents import CODE_SPAN, FENCE

DOCS = requirements.ROOT / "docs"
INSTALL, OPERATE = (DOCS / name for name in ("install.md", "operate.md"))


@pytest.fixture
def node() -> Iterator[Machine]:
    with booted() as machine:
        prepare(machine)
        yield machine


def on_the_node(page: str) -> list[Block]:
    return [block for block in marked(page) if block.place != "cluster"]


def follow_page(machine: Machine, page: str) -> int:
    """Do the blocks of a page that are for a node, in their order; return how many there are."""
    blocks = on_the_node(page)
    present: set[str] = set()
    for block in blocks:
        if block.place not in present:
            SITUATIONS[block.place](machine)
            present.add(block.place)
        follow(machine, block)
    return len(blocks)


@pytest.mark.slow
def test_a_node_is_installed_and_uninstalled_as_the_page_says(node: Machine) -> None:
    assert follow_page(node, INSTALL.read_text()) == 6
    assert not node.path("/opt/cni/bin/.spiderpool").exists()


@pytest.mark.slow
def test_an_installed_node_is_operated_as_the_page_says(node: Machine) -> None:
    blocks = [block for block in on_the_node(INSTALL.read_text()) if block.place == "node"]
    for block in blocks[:2]:
        follow(node, block)
    assert follow_page(node, OPERATE.read_text()) == 9


@pytest.mark.slow
def test_a_page_that_says_something_else_than_is_printed_is_found(node: Machine) -> None:
    page = INSTALL.read_text().replace("options   none", "options   --no-image")
    with pytest.raises(PageError, match="options   none"):
        follow_page(node, page)


def test_the_options_that_the_pages_name_are_those_of_the_programs() -> None:
    commands = [getattr(importlib.import_module(module), name) for name, (module, *_) in COMMANDS.items()]
    commands += [nested for command in commands for nested in getattr(command, "commands", {}).values()]
    known = {
        option
        for command in commands
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    script = (requirements.ROOT / "build/install.sh").read_text()
    known |= {option for option in ("--systemd", "--uninstall", "--verify") if f"  {option} " in script}
    known |= {"--help", "--how-it-starts"}
    for page in (INSTALL, OPERATE):
        spans = [span for span in CODE_SPAN.findall(FENCE.sub("", page.read_text())) if "kubectl" not in span]
        assert {option for span in spans for option in re.findall(r"--[a-z-]+", span)} - known == set()


@pytest.mark.parametrize("page", [INSTALL, OPERATE], ids=lambda page: page.stem)
def test_what_kubectl_is_given_is_in_the_manifests(page: Path) -> None:
    text = "".join(block.text for block in marked(page.read_text()) if block.place == "cluster")
    folders = set(re.findall(r"kubectl (?:apply|delete) -k (\S+)", text))
    named = set(re.findall(r"daemonset/(spiderpool-\S+)|--clusterrole=(\S+)|create token (\S+?)\)", text))
    kustomize = requirements.need_tool("kustomize")
    made = set()
    for folder in folders:
        command = [kustomize, "build", requirements.ROOT / folder]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        made |= {one["metadata"]["name"] for one in yaml.safe_load_all(done.stdout)}
    assert {"".join(names) for names in named} - made == set()
    assert named
