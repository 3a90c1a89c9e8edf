"""Run a command among these sources in a Debian 12 of either architecture. Usage: debian_root.py ARCH FOLDER COMMAND…

FOLDER gets a copy of the sources, and keeps what the command makes of them; FOLDER/packages lists the root's packages.
In the root, the copy is in /usr/src/spiderpool-ipam. debootstrap makes the root from the mirrors that apt uses, with
what the README asks of a machine, and nothing else. It is kept in the user's cache, with pip's downloads and the last
.venv; its name has a hash of what it is made of. Remove it there, and it is made anew with Debian's updates.
"""

import fcntl
import hashlib
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO

SOURCES = Path(__file__).resolve().parents[1]
EMULATION, IN_ROOT = (str(SOURCES / "build" / name) for name in ("emulation.py", "debian_root.sh"))
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spiderpool-ipam"
ROOTS = CACHE / "debians"
NATIVE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
PLACE = "/usr/src/spiderpool-ipam"  # of the sources, in a root
ARCHITECTURES, SUITE = ("amd64", "arm64"), "bookworm"
PACKAGES = ("python3", "python3-venv", "libpython3-dev", "make", "gcc", "libc6-dev", "binutils")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")  # debootstrap checks the mirrors' signatures with it
PATIENCE = 60 * 60.0  # seconds that a build in the same root may take
KEPT_VENVS = 3  # of branches that differ in what they install
VENV_IS_OF = ("pyproject.toml", "constraints.txt", "build/find_python.sh")
# What the command is told of the caller's environment: how the network and the package index are reached.
TOLD = re.compile(r"(https?|no)_proxy|PIP_(INDEX_URL|EXTRA_INDEX_URL|TRUSTED_HOST|CERT|PROXY|DEFAULT_TIMEOUT)", re.I)
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
FURNISH = """
export DEBIAN_FRONTEND=noninteractive
apt-get -q update
apt-get -qy upgrade
apt-get -qy install --no-install-recommends "$@"
apt-get clean
dpkg-query --show >/packages
"""


class NotMadeError(Exception):
    """A root cannot be made; the text says why."""


def make(suite: str, architecture: str = NATIVE, packages: Iterable[str] = ()) -> Path:
    """Return the root folder of a Debian release, which the first call makes. Raises NotMadeError.

    With packages, it has these and Debian's updates, and is one to build in.
    """
    digest = hashlib.sha256("\0".join([suite, *packages, FURNISH]).encode()).hexdigest()[:12]
    root = ROOTS / (f"{suite}-{architecture}-{digest}" if packages else suite)
    with locked(root) as lock:
        if root.exists():
            return root
        if not KEYRING.exists():
            raise NotMadeError(f"{KEYRING} is missing: apt-get install debian-archive-keyring")
        complaints = []
        for site in sites():
            partial = root.with_name(f"{root.name}.partial")
            if partial.exists():
                shutil.rmtree(partial)
            complaint = bootstrap(partial, suite, architecture, packages, site, lock)
            if not complaint:
                partial.rename(root)
                if packages:
                    remove_others(root, f"{suite}-{architecture}")
                return root
            complaints.append(f"{site}: {complaint}")
        raise NotMadeError("; ".join(complaints) or "apt names no mirror")


def locked(root: Path) -> IO[str]:
    """Wait for the lock of a root. It holds until the file is closed by this process and those that inherited it.

    Raises NotMadeError if another process has it for too long.
    """
    ROOTS.mkdir(parents=True, exist_ok=True)
    lock = root.with_name(f"{root.name}.lock").open("a")
    limit, end = f"{PATIENCE / 60:.0f} minutes", time.monotonic() + PATIENCE
    if not acquire(lock):
        print(f"waiting for another build in {root}, {limit} at most", file=sys.stderr, flush=True)
        while not acquire(lock):
            if time.monotonic() > end:
                lock.close()
                raise NotMadeError(f"another build has been in {root} for {limit}")
            time.sleep(1)
    return lock


def acquire(lock: IO[str]) -> bool:
    """Take a lock if nobody has it; tell whether it is ours."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def remove_others(root: Path, kind: str) -> None:
    """Remove the roots of a kind that were made of something else, and are not in use."""
    for path in ROOTS.glob(f"{kind}*.lock"):
        other = path.with_suffix("")
        with path.open("a") as lock:
            if other != root and acquire(lock):
                for ending in ("", ".partial", ".venvs"):
                    shutil.rmtree(f"{other}{ending}", ignore_errors=True)


def sites() -> list[str]:
    """Return the mirrors that apt uses."""
    command = ["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603
    return list(dict.fromkeys(done.stdout.split()))


def complaint_of(command: list[str], lock: IO[str], environ: Mapping[str, str] | None = None) -> str:
    """Run a command, which keeps the lock if this process is killed; return what went wrong, if anything."""
    done = subprocess.run(  # noqa: S603
        command, check=False, env=environ, capture_output=True, text=True, pass_fds=[lock.fileno()]
    )
    return (done.stdout + done.stderr).strip().rpartition("\n")[2] if done.returncode else ""


def bootstrap(partial: Path, suite: str, architecture: str, packages: Iterable[str], site: str, lock: IO[str]) -> str:
    """Have debootstrap make a root from one mirror; return what went wrong, if anything."""
    # debootstrap mounts /proc, so it gets a mount namespace.
    here, options = ["unshare", "--mount"], ["--variant=minbase", "--force-check-gpg", f"--arch={architecture}"]
    if architecture == NATIVE:
        steps = [[*here, "debootstrap", *options, suite, str(partial), site]]
    else:
        # In a container, the second stage does not try whether it can make devices, which the first one has made.
        second = ["env", "container=lxc", "chroot", str(partial), "/debootstrap/debootstrap", "--second-stage"]
        steps = [
            [*here, "debootstrap", "--foreign", *options, suite, str(partial), site],
            [sys.executable, EMULATION, *here, *second],
        ]
    complaints = (complaint_of(step, lock) for step in steps)
    return next(filter(None, complaints), "") or (
        furnish(partial, suite, architecture, packages, site, lock) if packages else ""
    )


def furnish(partial: Path, suite: str, architecture: str, packages: Iterable[str], site: str, lock: IO[str]) -> str:
    """Put Debian's updates and packages into a root, and list all in /packages; return what went wrong, if anything."""
    lines = [f"deb {site} {suite} main", f"deb {site} {suite}-updates main"]
    lines += [f"deb {other} {suite}-security main" for other in sites() if other.endswith("-security")]
    (partial / "etc/apt/sources.list").write_text("\n".join(lines) + "\n")
    make_places(partial)
    command, environ = entering(partial, architecture, "sh", "-euc", FURNISH, "sh", *packages)
    return complaint_of(command, lock, environ)


def make_places(root: Path) -> None:
    """Make the folders on which those of the caller are mounted. A root of another version of this may lack one."""
    for folder in (PLACE, "/root/.cache/pip", "/etc/ssl/certs"):
        Path(f"{root}{folder}").mkdir(parents=True, exist_ok=True)


def entering(root: Path, architecture: str, *command: str, **folders: Path) -> tuple[list[str], dict[str, str]]:
    """Return the command that runs another one in a root, and its environment.

    When this process or that command is killed, all that runs in the root is.
    """
    told = [f"{name}={value}" for name, value in os.environ.items() if TOLD.fullmatch(name)]
    inside = ["env", "-i", f"PATH={PATH}", "HOME=/root", *told, *command]
    namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    variables = {"root": root, **folders}
    environ = {"PATH": os.environ["PATH"], **{name: str(path) for name, path in variables.items()}}
    emulation = [sys.executable, EMULATION] if architecture != NATIVE else []
    return ["setpriv", "--pdeathsig=KILL", *emulation, *namespaces, "sh", IN_ROOT, *inside], environ


def copy_sources(folder: Path) -> None:
    """Replace the sources in a folder by copies of ours, with their dates; what was made of others there stays."""
    folder.mkdir(parents=True, exist_ok=True)
    ignored = [line.strip("/") for line in (SOURCES / ".gitignore").read_text().split()]
    for entry in folder.iterdir():
        if entry.name not in ignored:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    shutil.copytree(SOURCES, folder, ignore=shutil.ignore_patterns(".git", *ignored), symlinks=True, dirs_exist_ok=True)


def keep_venv(root: Path) -> Path:
    """Return the folder of the .venv for these sources, empty if there is none yet; of others, the last ones stay."""
    made_for = [root / "packages", *(SOURCES / name for name in VENV_IS_OF)]
    digest = hashlib.sha256(b"\0".join([PLACE.encode(), *(path.read_bytes() for path in made_for)])).hexdigest()
    venv = root.with_name(f"{root.name}.venvs") / digest[:12]
    venv.mkdir(parents=True, exist_ok=True)
    os.utime(venv)
    for old in sorted(venv.parent.iterdir(), key=lambda folder: folder.stat().st_mtime)[:-KEPT_VENVS]:
        shutil.rmtree(old)
    newest = max(path.stat().st_mtime_ns for path in made_for)
    for stamp in venv.glob(".*"):  # make compares its date with theirs, and that of what was built with its own
        os.utime(stamp, ns=(newest, newest))
    return venv


def main(architecture: str, folder: Path, command: list[str]) -> None:
    """Make the root if it is missing, copy the sources, run the command, and exit with its status."""
    if architecture not in ARCHITECTURES:
        sys.exit(f"there is no release for {architecture}: ARCH is {' or '.join(ARCHITECTURES)}")
    if architecture not in (NATIVE, "arm64"):
        sys.exit(f"a release for {architecture} is made on such a machine only: its image is made under ptrace")
    if os.geteuid():
        sys.exit("only root can make a Debian of its own and enter it: run this as root")
    try:
        root = make(SUITE, architecture, PACKAGES)
        lock = locked(root)
    except NotMadeError as error:
        sys.exit(f"Debian {SUITE} for {architecture} is not there to build in: {error}")
    make_places(root)
    copy_sources(folder)
    shutil.copyfile(root / "packages", folder / "packages")
    pip = CACHE / "pip"
    pip.mkdir(exist_ok=True)
    dated = ["env", f"--chdir={PLACE}", f"SOURCE_DATE_EPOCH={source_date()}", *command]
    program, environ = entering(root, architecture, *dated, build=folder.resolve(), venv=keep_venv(root), pip=pip)
    process = subprocess.Popen(program, env=environ, pass_fds=[lock.fileno()])  # noqa: S603
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: process.kill())
    sys.exit(abs(process.wait()))


def source_date() -> str:
    """Return the release's date, which git does not tell in the root."""
    command = ["/bin/bash", str(SOURCES / "build/source_date.sh")]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()  # noqa: S603


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
