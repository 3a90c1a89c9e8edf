"""A changed line of the plugin gives another image, with another build ID; and how far its calls may nest."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests import requirements
from tests.image import builds, changed, launchers
from tests.image.bundles import FROM_IMAGE, IMAGE, PROGRAM, copy_to, how_it_starts
from tests.image.calls import Calls

MAIN = "cni/plugin/__main__.py"
# What a call of a Python function, or of one in C, takes of the stack differs. Each of these would go on for ever.
NESTING = """
    if command == "NEST":
        class Attribute:
            def __getattr__(self, name):
                return getattr(self, name + "x")
        class Equal:
            def __eq__(self, other):
                return [self] == [other]
        class Key:
            def __call__(self, *rest):
                return max([1, 2], key=self)
        class Text:
            def __repr__(self):
                return "%r" % ([self.__class__()],)
        class Length:
            def __len__(self):
                return len(self)
            def __hash__(self):
                return hash((self.__class__(),))
            def __iter__(self):
                return iter(sorted([self, self], key=tuple))
        lists = []
        for _ in range(500000):
            lists = [lists]
        attempts = {
            "attributes": lambda: Attribute().x,
            "comparisons": lambda: Equal() == Equal(),
            "keys": lambda: Key()(),
            "texts": lambda: repr(Text()),
            "lengths": lambda: len(Length()),
            "hashes": lambda: hash(Length()),
            "iterators": lambda: list(Length()),
            "lists": lambda: repr(lists),
            "equal lists": lambda: lists == [lists],
        }
        for name, attempt in attempts.items():
            try:
                attempt()
                _tell(stdout, name + ": no end\\n")
            except RecursionError as error:
                _tell(stdout, name + ": RecursionError\\n")
        return 0
"""
ENDED = re.compile(r"^(.+): RecursionError$", re.MULTILINE)


class Changed(NamedTuple):
    program: Path
    image: Path


def make(folder: Path) -> None:
    """Change a line, add a command, and make a bundle of it with an image and a launcher of its own."""
    shutil.copytree(requirements.ROOT / "cni", folder / "root/cni", ignore=shutil.ignore_patterns("__pycache__"))
    source = folder / "root" / MAIN
    before = source.read_text()
    line = '    command = environ.get(b"CNI_COMMAND", b"").decode("utf-8", "replace")\n'
    assert before.count(line) == before.count('"internal error: please report it"') == 1
    source.write_text(before.replace(line, line + NESTING).replace("please report it", "please tell us"))
    image = builds.build(folder / "bundle", program=changed.pack(folder / "root", folder / "image.bin"))
    (image.parent / PROGRAM).unlink()
    program = folder / "bundle/spiderpool"
    launchers.link(program, *launchers.FIXED, "-Wl,-Ttext-segment=0x100000000000", image=image)


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Changed:
    bundle = builds.once(tmp_path_factory, "changed", make) / "bundle"
    return Changed(bundle / "spiderpool", bundle / "_internal" / IMAGE)


def test_a_changed_line_gives_another_image_with_another_build_id(plugin: Changed) -> None:
    frozen = requirements.need_image()
    assert launchers.build_id(plugin.image) != launchers.build_id(frozen)
    assert b"please tell us" in plugin.image.read_bytes()
    assert b"please tell us" not in frozen.read_bytes()
    assert how_it_starts(plugin.program) == FROM_IMAGE


def test_the_launcher_of_another_release_refuses_it(plugin: Changed, tmp_path: Path) -> None:
    program = copy_to(tmp_path / "bundle", IMAGE)
    shutil.copyfile(plugin.image, program.parent / "_internal" / IMAGE)
    assert how_it_starts(program) == "without its image: it belongs to another release"


def test_every_recursion_ends_in_an_error_of_python(plugin: Changed, calls: Calls, show: Callable[[str], None]) -> None:
    answer = calls.call(plugin.program, command="NEST")
    assert (answer.status, answer.stderr) == (0, b"")
    ended = ENDED.findall(answer.stdout.decode())
    assert len(ended) == answer.stdout.count(b"\n") == NESTING.count(": lambda: ")
    show(f"endless recursion by {', '.join(ended)}: ends in RecursionError, from the image")


def test_the_changed_plugin_still_answers(plugin: Changed, calls: Calls) -> None:
    answer = calls.call(plugin.program)
    assert (answer.status, "ips" in json.loads(answer.stdout)) == (0, True)
