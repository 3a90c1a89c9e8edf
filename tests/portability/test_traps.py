"""The traps break the host's own programs, so they work; the bundle is not affected by them."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cni.cni_versions import SUPPORTED
from tests import requirements
from tests.portability import traps
from tests.portability.place import Place
from tests.portability.places import trapped


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with trapped() as place:
        yield place


@pytest.mark.parametrize("name", ["LD_PRELOAD", "LD_AUDIT", "LD_LIBRARY_PATH"])
def test_a_variable_springs_its_trap_on_a_program_of_the_host(tmp_path: Path, name: str) -> None:
    true = requirements.need_program("true")
    variables = traps.variables(str(traps.lay(tmp_path)))
    assert subprocess.run([true], env={}).returncode == 0
    assert subprocess.run([true], env={name: variables[name]}, capture_output=True).returncode != 0


@pytest.mark.parametrize("name", ["PYTHONHOME", "PYTHONPATH"])
def test_a_variable_springs_its_trap_on_the_hosts_python(tmp_path: Path, name: str) -> None:
    variables = traps.variables(str(traps.lay(tmp_path)))
    done = subprocess.run([sys.executable, "-c", ""], env={name: variables[name]}, capture_output=True)
    assert done.returncode != 0


def test_the_preload_file_springs_its_trap_on_a_program_of_the_place(place: Place) -> None:
    assert place.run("/bin/busybox", "env", "-i", "/usr/bin/true").returncode == traps.STATUS


@pytest.mark.parametrize("folder", ["", "/", "/closed"], ids=["deleted", "readable", "closed"])
def test_the_working_folder_does_not_matter(place: Place, folder: str) -> None:
    done = place.run(place.plugin, environ={"CNI_COMMAND": "VERSION"}, folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["supportedVersions"] == list(SUPPORTED)
    done = place.run(place.operator, "version", folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
