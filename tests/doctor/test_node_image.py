"""How the plugin starts: what is found of it, by each of the launcher's reasons, and what is read of a real one."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from cni.doctor.checks.node_image import REASONS
from cni.doctor.collect.node import collect
from cni.installer.bundle import trial
from tests import requirements
from tests.doctor.documents import changed, guide, made
from tests.installer.sample_node import Node
from tests.requirements import ROOT

WITHOUT = "without its image: "
CHOSEN = {"there is none for this architecture", "this release has none", trial.ASKED_FOR}


def starting(how: str) -> Any:
    return made(changed(guide(), "node.start.how", how), "node-image")


def test_a_plugin_that_starts_from_its_image_is_well() -> None:
    assert (starting("from its image")["result"], starting("from its image")["findings"]) == ("ok", [])


@pytest.mark.parametrize("why", sorted(CHOSEN))
def test_without_an_image_by_choice_or_on_arm64_all_is_well_too_and_it_is_told(why: str) -> None:
    report = starting(WITHOUT + why)
    (finding,) = report["findings"]
    assert (report["result"], finding["severity"]) == ("ok", "information")
    assert why in finding["seen"]


@pytest.mark.parametrize("why", sorted(REASONS))
def test_each_other_reason_is_a_warning_with_its_meaning(why: str) -> None:
    report = starting(WITHOUT + why)
    (finding,) = report["findings"]
    assert report["result"] == "warning"
    assert f"{why}; {REASONS[why].meaning}" in finding["seen"]


def test_an_image_that_went_wrong_on_this_node_is_tried_again_by_the_mend() -> None:
    said = "on this node, an ADD from it is ended by signal 11 (no output), and one without it exits with 0 ({})"
    (finding,) = starting(WITHOUT + said)["findings"]
    assert said in finding["seen"]
    assert finding["mend"]["text"] == "spiderpool-ipam install --no-image && spiderpool-ipam install --image"


def test_a_damaged_image_is_a_symptom_of_the_damaged_bundle() -> None:
    (finding,) = starting(WITHOUT + "it is cut off")["findings"]
    assert finding["cause"] == "node-bundle"


def test_a_reason_of_a_later_release_is_told_as_it_is() -> None:
    (finding,) = starting(WITHOUT + "the moon is full")["findings"]
    assert "the moon is full" in finding["seen"]


def test_a_plugin_that_does_not_say_is_not_checked() -> None:
    report = starting("unknown: the plugin does not say")
    assert (report["result"], report["findings"]) == ("not-checked", [])
    assert "the plugin does not say" in report.get("because", "")


def test_the_table_has_every_reason_that_the_launcher_gives() -> None:
    text = "".join((ROOT / "build" / name).read_text() for name in ("launcher.c", "image.c"))
    told = set(re.findall(r'(?:return|fault =) "([^"]+)"', text))
    assert len(told) > len(CHOSEN)
    assert told <= REASONS.keys() | CHOSEN


def installed_start(node: Node) -> str:
    return str(collect(node.find, {"start"}, before_install=False)["start"]["how"])


def test_of_a_real_plugin_its_own_reason_is_read(node: Node) -> None:
    tree = requirements.need_image().parents[1]
    node.tree = Path(shutil.copytree(tree, node.root / "frozen", symlinks=True))
    node.install(no_image=True)
    assert installed_start(node) == WITHOUT + trial.ASKED_FOR
    node.install()
    assert installed_start(node) == "from its image"
    image = node.bin / ".spiderpool/current/_internal/spiderpool.image"
    image.write_bytes(image.read_bytes()[:5000])
    assert installed_start(node).removeprefix(WITHOUT) in REASONS
    image.unlink()
    assert installed_start(node) == f"{WITHOUT}it is not there"
