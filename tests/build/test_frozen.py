"""The frozen tree: what it contains, and which files an ADD opens."""

import hashlib
import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from cni.cni_versions import SUPPORTED
from tests import requirements, vectors

# The files of the bundle that an ADD may open.
BUNDLE_MAY = re.compile(
    r"spiderpool|_internal/("
    r"spiderpool\.(bin|image)|ld-[\w-]+\.so\.\d|lib[\w.-]+\.so[.\d]*|pydantic_core/_pydantic_core\.[\w-]+\.so"
    r"|plugin/(encodings\.pyc|libpython[\d.]+\.so[.\d]*)"
    # absent where the distribution compiles these modules into Python, as Debian does
    r"|python3\.\d+/lib-dynload/_(socket|datetime)\.[\w-]+\.so)"
)
# The files of the host that an ADD may open: C's local time, for the log.
HOST_MAY = {"/etc/localtime"}


def test_it_lists_seven_versions() -> None:
    plugin = requirements.need_frozen("spiderpool")
    done = subprocess.run([plugin], env={"CNI_COMMAND": "VERSION"}, stdin=subprocess.DEVNULL, capture_output=True)
    assert json.loads(done.stdout)["supportedVersions"] == list(SUPPORTED)
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_operator_program_runs_with_an_empty_environment() -> None:
    program = requirements.need_frozen("spiderpool-ipam")
    done = subprocess.run([program, "version", "--json"], env={}, capture_output=True, text=True)
    assert json.loads(done.stdout)["cniVersions"] == list(SUPPORTED)


def test_the_tarball_holds_the_tree_under_its_checksum() -> None:
    tarball = requirements.need_tarball()
    checksum = Path(f"{tarball}.sha256").read_text()
    assert checksum == f"{hashlib.sha256(tarball.read_bytes()).hexdigest()}  {tarball.name}\n"
    with tarfile.open(tarball) as archive:
        names = set(archive.getnames())
    assert {"spiderpool-ipam/spiderpool", "spiderpool-ipam/spiderpool-ipam", "spiderpool-ipam/_internal"} <= names
    assert not [name for name in names if not name.startswith("spiderpool-ipam")]


@pytest.fixture(params=["from its image", "without its image"])
def bundle(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of the bundle that starts in one way."""
    requirements.need_frozen("_internal/spiderpool.image" if request.param == "from its image" else "spiderpool")
    copy = Path(shutil.copytree(requirements.TREE, tmp_path / "bundle", symlinks=True))
    if request.param == "without its image":
        (copy / "_internal/spiderpool.image").unlink(missing_ok=True)
    return copy


def test_an_add_opens_its_bundle_and_its_log_and_nothing_of_the_host(bundle: Path, tmp_path: Path) -> None:
    strace = requirements.need_program("strace")
    plugin = bundle / "spiderpool"
    trace = tmp_path / "trace"

    def main(environment: Mapping[bytes, bytes], stdin: int, stdout: int, stderr: int) -> int:
        command = [strace, "-f", "-e", "trace=open,openat,execve", "-o", str(trace), str(plugin)]
        return subprocess.run(command, env=environment, stdin=stdin, stdout=stdout, stderr=stderr).returncode

    (vector,) = [v for v in vectors.load() if v.name == "1.1.0/add-chunked-answer-with-60-routes"]
    assert not vectors.fault(vector, vectors.run(vector, main))
    opened = re.findall(r'(?:openat\([^,]+, |open\(|execve\()"([^"]+)".*= \d+$', trace.read_text(), re.MULTILINE)
    files = {path for path in opened if not Path(path).is_dir()}
    of_bundle = {path.removeprefix(f"{plugin.parent}/") for path in files if path.startswith(str(plugin.parent))}
    is_image = (bundle / "_internal/spiderpool.image").exists()
    assert [path for path in of_bundle if ("spiderpool.image" if is_image else "_pydantic_core") in path]
    assert not [path for path in of_bundle if not BUNDLE_MAY.fullmatch(path)]
    of_host = {path for path in files if not path.startswith(str(plugin.parent))} - HOST_MAY
    # The plugin opens the log by its name, relative to the folder's descriptor.
    assert "log" in of_host
    assert [Path(path).parent for path in of_host - {"log"}] == [Path("/tmp")], of_host


def test_the_plugins_home_holds_one_module_and_the_librarys_name() -> None:
    internal = requirements.need_frozen("spiderpool").parent / "_internal"
    encodings, library = sorted((internal / "plugin").iterdir())
    assert encodings.name == "encodings.pyc"
    assert library.samefile(internal / library.name)


@pytest.mark.parametrize("locale", ["C", "POSIX", "de_DE.ISO-8859-1", "C.UTF-8"])
def test_text_is_utf8_whatever_the_locale(locale: str, tmp_path: Path) -> None:
    plugin = requirements.need_frozen("spiderpool")
    # CHECK leaves nothing on the machine.
    environ = {"CNI_COMMAND": "CHECK", "CNI_CONTAINERID": "c", "CNI_IFNAME": "e", "CNI_PATH": "/", "LC_ALL": locale}
    environ |= {"CNI_NETNS": "/n"}
    encoded = {key.encode(): value.encode() for key, value in {**environ, "CNI_ARGS": "K8S_POD_NAME=ä"}.items()}
    ipam = {"log_file_path": f"{tmp_path}/ö", "ipam_unix_socket_path": "/nowhere"}
    stdin = json.dumps({"cniVersion": "1.0.0", "name": "net", "ipam": ipam}, ensure_ascii=False).encode()
    assert subprocess.run([plugin], env=encoded, input=stdin, capture_output=True).returncode == 1
    assert json.loads((tmp_path / "ö").read_bytes())["podName"] == "ä"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ([], "Operate spiderpool"),
        (["attach"], "Release the pod's addresses"),
        (["attach", "add"], "Allocate addresses"),
        (["agent"], "Serve the embedded agent"),
    ],
)
def test_the_operator_program_has_kept_its_help(command: list[str], words: str) -> None:
    program = requirements.need_frozen("spiderpool-ipam")
    done = subprocess.run([program, *command, "--help"], capture_output=True, text=True)
    assert words in done.stdout


def test_a_bundle_without_the_extension_answers_code_999_and_no_traceback(tmp_path: Path) -> None:
    tree = shutil.copytree(requirements.need_frozen("spiderpool").parent, tmp_path / "tree")
    shutil.rmtree(tree / "_internal/pydantic_core")
    (tree / "_internal/spiderpool.image").unlink(missing_ok=True)  # which has the extension in it
    environ = {"CNI_COMMAND": "STATUS", "CNI_PATH": "/"}
    done = subprocess.run([tree / "spiderpool"], env=environ, input=b"{}", capture_output=True)
    assert (done.returncode, done.stderr, json.loads(done.stdout)["code"]) == (1, b"", 999)


@pytest.mark.parametrize("name", ["a:b", "a;b", "$ORIGIN"])
def test_a_folder_that_the_loader_would_read_otherwise_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    plugin = shutil.copy(requirements.need_frozen("spiderpool"), tmp_path / name)
    done = subprocess.run([plugin], env={"CNI_COMMAND": "VERSION"}, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (127, "")
    assert done.stderr == "spiderpool: cannot run in a folder with ':', ';' or '$' in its name: install it elsewhere\n"
