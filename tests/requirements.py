"""What a test needs of the machine. A test whose needs are not met is skipped, and the reason says what to install."""

import importlib
import os
import platform
import shutil
import stat
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import pytest

ROOT = Path(__file__).parents[1]
TREE = Path(os.environ.get("FROZEN_TREE") or ROOT / "dist/spiderpool-ipam")  # CONTRIBUTING.md and test_arm64.py set it
TOOLS = ROOT / ".tools/bin"
LAB_TOOLS = ROOT / ".tools/lab"
# Whether qemu runs all programs here (build/debian_root.py): /proc shows that of another process than one's own.
EMULATED = platform.machine() == "aarch64" and b"qemu" in Path(f"/proc/{os.getppid()}/cmdline").read_bytes()
# Debian's packages of programs whose names differ from their package's.
_PACKAGES = {
    "/usr/lib/cni": "containernetworking-plugins",
    "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu",
    "busybox": "busybox-static",
    "chattr": "e2fsprogs",
    "dot": "graphviz",
    "fc-list": "fontconfig",
    "gcore": "gdb",
    "groff": "groff-base",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "ping": "iputils-ping",
    "ps": "procps",
    "objcopy": "binutils",
    "objdump": "binutils",
    "qemu-aarch64-static": "qemu-user-static",
    "qemu-x86_64-static": "qemu-user-static",
    "readelf": "binutils",
    "setarch": "util-linux",
    "setpriv": "util-linux",
    "/lib/systemd/systemd": "systemd",
    "unshare": "util-linux",
}


def missing(reason: str) -> NoReturn:
    """Skip the test. (With REQUIRE_E2E=1, tests/conftest.py makes that a failure.)"""
    pytest.skip(reason)


def need_root() -> None:
    if os.geteuid():
        missing("the test needs root, for namespaces and mounts: run the tests as root")


def need_no_emulator(fault: str) -> None:
    """Require that no emulator runs the programs, because of what it does wrong."""
    if EMULATED:
        missing(f"an emulator runs all programs here, and {fault}")


def make_device(path: Path, minor: int) -> None:
    """Make one of the devices that stand for memory, as /dev/zero."""
    need_root()
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, minor))
    except PermissionError:
        missing("devices cannot be made here, as in a user namespace")


def need_program(name: str) -> str:
    """Return the path of a program that the distribution has; the name may also be a path."""
    path = shutil.which(name)
    if not path:
        package = _PACKAGES.get(name) or _PACKAGES.get(str(Path(name).parent)) or name
        missing(f"{name} is not installed: apt-get install --no-install-recommends {package}")
    return path


def need_package(module: str) -> ModuleType:
    """Import and return a Python package that `make test-all` installs and `make test` does not."""
    try:
        return importlib.import_module(module)
    except ImportError:
        missing(f"{module} is not in .venv: `make test-all` installs it where there is one for this machine")


def need_tool(name: str) -> Path:
    """Return the path of a Go program that `make tools` builds."""
    if not (TOOLS / name).exists():
        missing(f"{name} is not built: run `make tools`")
    return TOOLS / name


def need_lab_tool(name: str) -> Path:
    """Return the path of a program or folder that `make lab-tools` puts there."""
    if not (LAB_TOOLS / name).exists():
        missing(f"{name} is not built: run `make lab-tools`")
    return LAB_TOOLS / name


def need_image() -> Path:
    """Return the image that the frozen plugin starts from. Only amd64 has one."""
    path = need_frozen("spiderpool").parent / "_internal/spiderpool.image"
    if not path.exists():
        missing("the plugin has no image: run `make build` on amd64, where ptrace and chroot are allowed")
    return path


def need_tarball(architecture: str = "") -> Path:
    """Return the tarball of the frozen programs, or of another architecture, which `make release` puts beside it."""
    tree = need_frozen("spiderpool").parent
    own = "arm64" if list(tree.glob("_internal/ld-linux-aarch64*")) else "amd64"
    found = list(tree.parent.glob(f"spiderpool-ipam-*-linux-{architecture or own}.tar.gz"))
    if not found:
        missing(f"there is no release for {architecture or own}: run `make release ARCH={architecture or own}`")
    return found[0]


def need_frozen(name: str) -> Path:
    """Return the path of a frozen program."""
    if not (TREE / name).exists():
        missing(f"{name} is not frozen: run `make build`")
    return TREE / name
