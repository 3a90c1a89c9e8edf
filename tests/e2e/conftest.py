"""What several end-to-end tests run on: a node, a machine, the embedded agent, a folder of CNI plugins."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cni.installer.bundle import plugin_links as bundle
from tests import requirements
from tests.e2e.frozen_agent import Agent, running_agent
from tests.e2e.machine import Machine
from tests.e2e.node import Node


@pytest.fixture
def node() -> Iterator[Node]:
    requirements.need_root()
    requirements.need_program("nsenter")
    requirements.need_program("ip")
    node = Node()
    node.open()
    yield node
    node.close()


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    yield from running_agent(tmp_path)


@pytest.fixture(scope="session")
def cni_bin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give a CNI folder with Debian's plugins, and with ours as the installer puts it there."""
    requirements.need_frozen("spiderpool")
    folder = add_debians_plugins(tmp_path_factory.mktemp("cni-bin"))
    bundle.install(requirements.TREE, folder, "e2e")
    yield folder
    shutil.rmtree(folder)


def add_debians_plugins(folder: Path) -> Path:
    """Put the plugins that the runtimes' tests need into a CNI folder."""
    for name in ("ptp", "host-local", "loopback"):
        (folder / name).symlink_to(requirements.need_program(f"/usr/lib/cni/{name}"))
    return folder


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    requirements.need_root()
    for program in ("unshare", "nsenter", "ip", "ping"):
        requirements.need_program(program)
    machine = Machine(tmp_path)
    yield machine
    machine.close()
