"""The launcher finds its bundle, passes everything on, loads nothing of the host, and reports a broken bundle."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import requirements
from tests.portability import traps, witness
from tests.portability.place import Place
from tests.portability.places import PLACES
from tests.portability.witness import Account

BUSYBOX = "/bin/busybox"
WITNESS = "/bundle/witness"

DROPPED = (
    "LD_PRELOAD=/traps/preload.so", "LD_LIBRARY_PATH=/lib", "LD_AUDIT=x", "LD_=", "GLIBC_TUNABLES=glibc.malloc.check=3",
    "GCONV_PATH=/lib", "LOCPATH=/lib", "LANG=xx", "LANGUAGE=xx", "LC_ALL=xx", "LC_CTYPE=xx", "OPENSSL_CONF=/x",
    "OPENSSL_MODULES=/x", "PYINSTALLER_RESET_ENVIRONMENT=1", "_PYI_ARCHIVE_FILE=/x", "_PYI_PARENT_PROCESS_LEVEL=1",
)  # fmt: skip
KEPT = (
    "PATH=/bin", "HOME=", "CNI_ARGS=a=b;c=d", "LD=1", "LDAP=1", "xLD_PRELOAD=1", "GLIBC=1", "LANGLEY=1", "LOC=1", "L=1",
    "PYTHONPATH=/x", "ß=\udcff\n",
)  # fmt: skip

texts = st.binary(max_size=50).map(lambda text: os.fsdecode(text.replace(b"\0", b"")))


@pytest.fixture(scope="module", params=["empty", "empty-without-proc"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A chroot with the bundle of the witness, once with /proc and once without."""
    with PLACES[request.param]() as place:
        witness.build(place.root / "bundle")
        yield place


def call(place: Place, *program: str, folder: str = "/", stdin: bytes = b"") -> Account:
    done = subprocess.run(place.command(*program, folder=folder), env={}, input=stdin, capture_output=True, timeout=20)
    return witness.account(done)


@settings(max_examples=60)
@given(st.lists(texts, max_size=20))
def test_arguments_arrive_as_they_are(place: Place, arguments: list[str]) -> None:
    received = call(place, WITNESS, *arguments).arguments
    assert received == [b"/bundle/_internal/witness.bin", *map(os.fsencode, arguments)]


def test_a_thousand_arguments_arrive(place: Place) -> None:
    assert len(call(place, WITNESS, *["x"] * 1000).arguments) == 1001


@settings(max_examples=30)
@given(st.dictionaries(st.from_regex("[A-KM-Zx-z][A-Z_]*", fullmatch=True), texts, max_size=20))
def test_variables_arrive_as_they_are(place: Place, environ: dict[str, str]) -> None:
    variables = [f"{name}={value}" for name, value in environ.items()]
    assert set(map(os.fsencode, variables)) <= set(call(place, BUSYBOX, "env", *variables, WITNESS).environment)


def test_variables_that_steer_loader_and_interpreter_are_dropped_and_no_others(place: Place) -> None:
    received = call(place, BUSYBOX, "env", *DROPPED, *KEPT, WITNESS).environment
    assert not set(map(os.fsencode, DROPPED)) & set(received)
    assert set(map(os.fsencode, KEPT)) <= set(received)
    (archive,) = [variable for variable in received if variable.startswith(b"_PYI_ARCHIVE_FILE=")]
    assert archive == b"_PYI_ARCHIVE_FILE=/bundle/_internal/witness.bin"


def test_stdin_arrives_as_it_is(place: Place) -> None:
    stdin = os.urandom(1 << 20)
    assert call(place, WITNESS, stdin=stdin).stdin == stdin


# how it is called -> (working folder, command line of a shell)
CALLS = {
    "absolute": ("/", "/bundle/witness"),
    "with needless slashes and dots": ("/", "//bundle/.//witness"),
    "relative": ("/", "bundle/witness"),
    "in its folder": ("/bundle", "./witness"),
    "from a folder below": ("/bundle/_internal", "../witness"),
    "found in PATH": ("/", "PATH=/bin:/bundle; witness"),
    "found in a relative PATH": ("/", "PATH=bundle; witness"),
    "found by an empty PATH": ("/bundle", "PATH=; witness"),
    "absolute link": ("/", "/links/absolute"),
    "relative link": ("/", "/links/relative"),
    "link in the working folder": ("/links", "./relative"),
    "link found by an empty PATH": ("/links", "PATH=; relative"),
    "link through a folder's link": ("/links/below", "./up"),
    "link with dots behind a folder's link": ("/", "links/winding"),
    "dots behind a folder's link": ("/links", "folder/_internal/../witness"),
    "dots behind a link into the bundle": ("/links", "inner/../witness"),
    "39 links": ("/links", "./1"),
}
LINKS = {
    "absolute": WITNESS,
    "relative": "../bundle/witness",
    "folder": "/bundle",
    "inner": "../bundle/_internal",
    "below/up": "../folder/witness",
    "winding": "folder/../bundle/./witness",
    "39": "relative",
    **{f"{number}": f"{number + 1}" for number in range(1, 39)},
}


@pytest.fixture(scope="module")
def links(place: Place) -> None:
    for name, target in LINKS.items():
        link = place.root / "links" / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)


@pytest.mark.usefixtures("links")
@pytest.mark.parametrize(("folder", "line"), CALLS.values(), ids=CALLS.keys())
def test_it_finds_its_bundle_and_keeps_the_working_folder(place: Place, folder: str, line: str) -> None:
    told = call(place, BUSYBOX, "sh", "-c", line, folder=folder)
    assert told.arguments == [b"/bundle/_internal/witness.bin"]
    assert told.folder == folder.encode()


@pytest.mark.parametrize("folder", ["/with blanks", "/ä\udcff", "/\n", "/" + "/".join(["x" * 200] * 19)])
def test_the_bundle_may_lie_in_any_folder(place: Place, folder: str) -> None:
    assert place.run(BUSYBOX, "mkdir", "-p", folder).returncode == 0
    assert place.run(BUSYBOX, "cp", "-r", "/bundle", folder).returncode == 0
    bundle = f"{folder}/bundle"
    assert call(place, f"{bundle}/witness").arguments == [os.fsencode(f"{bundle}/_internal/witness.bin")]


def test_a_path_that_gets_too_long_is_a_broken_bundle(place: Place) -> None:
    folder = "/" + "y" * 185 + "/".join(["", *["x" * 200] * 19]) + "/" + "z" * 70
    assert place.run(BUSYBOX, "mkdir", "-p", folder).returncode == 0
    assert place.run(BUSYBOX, "cp", "/bundle/witness", folder).returncode == 0
    assert len(f"{folder}/witness") < 4096 < len(f"{folder}/_internal/witness.bin")
    done = place.run(f"{folder}/witness")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (127, "", 1)
    assert "broken bundle" in done.stderr


def loader_missing(bundle: Path) -> None:
    witness.loader_of(bundle).unlink()


def loader_not_executable(bundle: Path) -> None:
    witness.loader_of(bundle).chmod(0o644)


def loader_empty(bundle: Path) -> None:
    os.truncate(witness.loader_of(bundle), 0)


def program_missing(bundle: Path) -> None:
    (bundle / "_internal/witness.bin").unlink()


def program_cut(bundle: Path) -> None:
    os.truncate(bundle / "_internal/witness.bin", 10)


def c_library_missing(bundle: Path) -> None:
    (bundle / "_internal/libc.so.6").unlink()


def c_library_cut(bundle: Path) -> None:
    os.truncate(bundle / "_internal/libc.so.6", 10)


def launcher_copied_alone(bundle: Path) -> None:
    shutil.rmtree(bundle / "_internal")


@pytest.mark.parametrize(
    "damage",
    [
        loader_missing, loader_not_executable, loader_empty, program_missing, program_cut, c_library_missing,
        c_library_cut, launcher_copied_alone,
    ],
)  # fmt: skip
def test_a_broken_bundle_is_one_line_and_status_127(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    launcher = witness.build(tmp_path / "bundle")
    damage(launcher.parent)
    done = subprocess.run([launcher], env={}, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (127, "", 1), done.stderr
    assert f"{launcher.parent}/_internal/" in done.stderr


def test_the_c_library_takes_no_plugin_from_the_host(tmp_path: Path) -> None:
    """To look up a user, the C library loads what /etc/nsswitch.conf names from the loader's default folders."""
    with PLACES["empty"]() as place:
        witness.build(place.root / "bundle")
        library = place.root / "lib/libnss_trap.so.2"
        library.parent.mkdir()
        shutil.copy(traps.lay(tmp_path) / "preload.so", library)
        (place.root / "lib64").symlink_to("lib")
        (place.root / "etc").mkdir()
        (place.root / "etc/nsswitch.conf").write_text("passwd: trap\n")
        shutil.copy(hosts_loader(), place.root / "loader")
        look_up = ["/bundle/_internal/witness.bin", "--look-up-a-user"]
        with_the_hosts = place.run("/loader", "--library-path", "/bundle/_internal", *look_up)
        assert with_the_hosts.returncode == traps.STATUS
        done = place.run(WITNESS, "--look-up-a-user")
        assert (done.returncode, done.stderr) == (0, "")


def hosts_loader() -> Path:
    """Return the host's dynamic loader, of which the bundle's is a changed copy."""
    text = subprocess.run(["ldd", "/bin/true"], capture_output=True, text=True).stdout
    (path,) = re.findall(r"^\t(/\S*/ld-\S+) \(", text, re.MULTILINE)
    return Path(path)


TRACED = {
    "spiderpool": ["spiderpool"],
    "version": ["spiderpool-ipam", "version", "--json"],
    "attach": ["spiderpool-ipam", "attach", "status", "--conf", "/nowhere"],
    "agent": ["spiderpool-ipam", "agent", "--pool", "/nowhere"],
}


@pytest.mark.parametrize("arguments", TRACED.values(), ids=TRACED.keys())
def test_there_are_two_execs_and_nothing_of_the_hosts_libraries_is_opened(arguments: list[str], tmp_path: Path) -> None:
    strace = requirements.need_program("strace")
    tree = Path(shutil.copytree(requirements.need_frozen(arguments[0]).parent, tmp_path / "tree", symlinks=True))
    (tree / "_internal/spiderpool.image").unlink(missing_ok=True)  # with it, there is one exec (tests/image)
    trace = tmp_path / "trace"
    hostile = {"LD_LIBRARY_PATH": "/usr/lib", "PYINSTALLER_RESET_ENVIRONMENT": "1"}
    subprocess.run(
        [
            strace, "-f", "-e", "trace=execve,open,openat", "-o", trace,
            *[f"--env={name}={value}" for name, value in hostile.items()],
            tree / arguments[0], *arguments[1:],
        ],
        env={"CNI_COMMAND": "VERSION"}, stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
    )  # fmt: skip
    done = trace.read_text()
    assert re.findall(r'execve\("([^"]+)"', done) == [str(tree / arguments[0]), str(witness.loader_of(tree))]
    opened = re.findall(r'open(?:at)?\((?:AT_FDCWD, )?"([^"]+)".*= \d+$', done, re.MULTILINE)
    assert str(tree / "_internal/libc.so.6") in opened
    assert not [path for path in opened if re.match("(/usr)?/lib", path)]


def test_the_operator_program_gets_its_arguments() -> None:
    program = requirements.need_frozen("spiderpool-ipam")
    done = subprocess.run([program, "attach", "--help"], env={}, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: spiderpool-ipam attach ")
    for argument in ("", "a b", "a\nb", "ä"):
        done = subprocess.run([program, argument], env={}, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (2, "")
        assert f"No such command {argument!r}" in done.stderr
