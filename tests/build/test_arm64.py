"""The release for arm64, made by `make release ARCH=arm64`, does there what the one for amd64 does here.

On other machines, qemu's user emulation runs it. That shows nothing of times, page faults, seccomp and ptrace, and it
answers for /proc/self/exe itself. The tests are those of the native release; this Python runs them, among programs for
both architectures.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import requirements
from tests.build.recipes import load
from tests.installer.sample_conflists import CALICO
from tests.requirements import ROOT

FOLDER = ROOT / "dist/arm64"  # of `make release`
TREE = FOLDER / "dist/spiderpool-ipam"
EMULATED = (sys.executable, ROOT / "build/emulation.py")
IN_DEBIAN = (sys.executable, ROOT / "build/debian_root.py")
TESTS = (
    "tests/portability/test_places.py",
    "tests/portability/test_traps.py",
    "tests/build/test_frozen.py",
    "tests/build/test_sbom.py",
    "tests/build/test_page_sizes.py",
    "tests/build/test_bind_symbols.py",
    "tests/build/test_release.py",
    "tests/build/test_demo.py",
    "tests/cli/test_version.py",
)
# A place shows what another one does; there is no image; strace sees the emulator; the build has a test of its own.
LEFT_OUT = "debian or flips or from_its_image or opens_its_bundle or another_build or (vector and (proc or trapped))"
# One worker runs all of these, because each waits for the root.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("arm64")]


def run(*command: str | Path, environ: dict[str, str] | None = None) -> str:
    """Run a command; return what it printed, or fail with the end of that."""
    done = subprocess.run(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout[-5000:]
    return done.stdout


@pytest.fixture(autouse=True)
def _release() -> None:
    requirements.need_root()
    requirements.need_program("qemu-aarch64-static")
    if not (TREE / "spiderpool").exists():
        requirements.missing("there is no release for arm64: run `make release ARCH=arm64`")


def test_what_holds_of_the_native_release_holds_of_it(show: Callable[[str], None]) -> None:
    environ = {**os.environ, "FROZEN_TREE": str(TREE), "REQUIRE_E2E": "1"}
    options = ("-q", "-p", "no:cacheprovider", f"-knot ({LEFT_OUT})")
    lines = run(*EMULATED, sys.executable, "-m", "pytest", *options, *TESTS, environ=environ).splitlines()
    show(f"arm64, emulated: {lines[-1]}")


@pytest.mark.parametrize("size", [16384, 65536])
def test_it_runs_with_pages_of_another_size(size: int) -> None:
    """The dynamic loader maps nothing that is aligned to less than the page size that it is told."""
    environ = {"QEMU_PAGESIZE": str(size), "CNI_COMMAND": "VERSION"}
    assert '"supportedVersions"' in run(*EMULATED, TREE / "spiderpool", environ=environ)
    assert "components" in run(*EMULATED, TREE / "spiderpool-ipam", "version", environ=environ)


def test_with_such_pages_a_library_that_is_aligned_to_less_is_not_loaded(tmp_path: Path) -> None:
    compiler = requirements.need_program("aarch64-linux-gnu-gcc")
    (tmp_path / "a.c").write_text("int a(void) { return 1; }\n")
    loader = next((TREE / "_internal").glob("ld-linux-*"))
    for size, status in ((4096, 127), (65536, 0)):
        library = tmp_path / f"{size}.so"
        command: list[str | Path] = [
            compiler,
            "-shared",
            "-nostdlib",
            f"-Wl,-z,max-page-size={size}",
            "-o",
            library,
            tmp_path / "a.c",
        ]
        subprocess.run(command, check=True)
        done = subprocess.run(["qemu-aarch64-static", "-p", "65536", loader, "--list", library], capture_output=True)
        assert done.returncode == status, done.stderr


@pytest.mark.parametrize("architecture", sorted({load("debian_root").NATIVE, "arm64"}))
def test_the_readmes_demo_works_in_a_debian_with_what_the_readme_asks_for(architecture: str) -> None:
    shown = run(*IN_DEBIAN, architecture, ROOT / "dist" / architecture, "make", "demo")
    assert len(set(re.findall(r"default/spiderpool-deploy-\d eth0 +10\.244\.100\.(\d+)/32", shown))) == 2


INSTALL = """
mkdir -p /tmp/node/opt/cni/bin /tmp/node/etc/cni/net.d
printf %s "$1" >/tmp/node/etc/cni/net.d/10-calico.conflist
dist/spiderpool-ipam/install.sh --host-root /tmp/node --wait-agent 0
dist/spiderpool-ipam/install.sh --host-root /tmp/node --uninstall
printf %s "$1" | cmp - /tmp/node/etc/cni/net.d/10-calico.conflist
"""


def test_its_script_installs_it_on_such_a_machine_and_tells_how_it_starts() -> None:
    shown = run(*IN_DEBIAN, "arm64", FOLDER, "sh", "-euc", INSTALL, "sh", CALICO)
    assert "starts    without its image: there is none for this architecture\n" in shown
    assert "swapped (ipam.type is calico-ipam)" in shown
    assert "its original ipam is restored" in shown


BUILD_AGAIN = """
mkdir "/tmp/another folder"
cp -r build cni pyproject.toml constraints.txt LICENSE "/tmp/another folder"
ln -s "$PWD/.venv" "/tmp/another folder/.venv"
umask 077
taskset --cpu-list 0 "/tmp/another folder/build/freeze.sh"
sha256sum dist/*.tar.gz "/tmp/another folder/dist/"*.tar.gz
"""


def test_another_build_elsewhere_gives_the_same_tarball() -> None:
    surroundings = ("env", "TZ=Asia/Tokyo", "LC_ALL=tr_TR.UTF-8", "PYTHONHASHSEED=7", "PYTHONOPTIMIZE=1")
    shown = run(*IN_DEBIAN, "arm64", FOLDER, *surroundings, "sh", "-euc", BUILD_AGAIN)
    sums = re.findall(r"^([0-9a-f]{64})  ", shown, re.MULTILINE)
    assert len(sums) == 2 and len(set(sums)) == 1
