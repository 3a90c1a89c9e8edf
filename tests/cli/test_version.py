import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from click.testing import CliRunner

from cni.cli.version import version
from cni.cni_versions import SUPPORTED
from cni.installer.bundle import own
from tests import requirements


def run(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "cni.cli", *args], capture_output=True, text=True, timeout=30)


def test_version_tells_the_package_and_the_cni_versions() -> None:
    report = json.loads(run("version", "--json").stdout)
    assert report["version"] == metadata.version("spiderpool-ipam")
    assert report["cniVersions"] == list(SUPPORTED)


def test_a_source_tree_bundles_nothing_and_says_so() -> None:
    assert json.loads(run("version", "--json").stdout)["components"] == []
    line = f"spiderpool-ipam {metadata.version('spiderpool-ipam')}, CNI {' '.join(SUPPORTED)}, from a source tree\n"
    assert run("version").stdout == line


def test_help_lists_every_command_without_loading_it() -> None:
    script = (
        "import sys; from cni.cli.__main__ import main\ntry: main()\nexcept SystemExit: print(*sys.modules, sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", script, "--help"], capture_output=True, text=True, timeout=30)
    assert all(command in done.stdout for command in ("attach", "agent", "version"))
    assert not {"starlette", "pydantic", "rich", "httpx", "cni.cli.attach"} & set(done.stdout.split())


@pytest.mark.parametrize("command", ["attach", "agent", "version"])
def test_every_command_has_help(command: str) -> None:
    done = run(command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: spiderpool-ipam " + command in done.stdout


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["instal"], "No such command 'instal'. (Did you mean one of: 'install', 'uninstall'?)"),
        (["--versoin"], "No such option '--versoin'. Did you mean '--version'?"),
        (["attach", "chekc"], "No such command 'chekc'. Did you mean 'check'?"),
        (["install", "--drry-run"], "No such option '--drry-run'. Did you mean '--dry-run'?"),
        (["frobnicate"], "No such command 'frobnicate'."),
        (["detcet"], "No such command 'detcet'."),  # the plugin runs it, and nobody else
    ],
)
def test_what_is_mistyped_is_wrong_usage_and_what_may_be_meant_is_told(words: list[str], meant: str) -> None:
    done = run(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1] == f"Error: {meant}"


def test_the_version_is_one_line_by_the_option_as_well() -> None:
    done = run("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"spiderpool-ipam {metadata.version('spiderpool-ipam')}\n"


@pytest.mark.parametrize("environ", [{}, {"LANG": "de_DE.UTF-8", "PATH": "/usr/bin"}])
def test_both_frozen_programs_tell_the_version_of_their_release(environ: dict[str, str]) -> None:
    for name in ("spiderpool-ipam", "spiderpool"):
        program = requirements.need_frozen(name)
        done = subprocess.run([program, "--version"], env=environ, capture_output=True, text=True, timeout=30)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == f"spiderpool-ipam {metadata.version('spiderpool-ipam')}\n"


def test_without_a_runtime_the_plugin_says_what_it_is() -> None:
    program = requirements.need_frozen("spiderpool")
    done = subprocess.run([program], env={}, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (0, "")
    assert f"CNI protocol versions supported: {', '.join(SUPPORTED)}\n" in done.stderr


RELEASE = '"metadata": {"component": {"name": "spiderpool-ipam", "version": "1.2.3"}}'


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (None, "No such file or directory"),
        ("", "Invalid JSON"),
        ("[]", "Input should be an object"),
        ("{}", "metadata: Field required"),
        ('{"metadata": {}, "components": []}', "metadata.component: Field required"),
        (f"{{{RELEASE}}}", "components: Field required"),
        (f'{{{RELEASE}, "components": [{{"name": "zlib"}}]}}', "components.0.version: Field required"),
        (f'{{{RELEASE}, "components": [{{"name": "zlib", "version": 1}}]}}', "components.0.version: "),
    ],
)
@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "json"])
def test_an_sbom_that_cannot_be_used_is_a_broken_bundle(
    text: str | None, fault: str, options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own, "tree", lambda: tmp_path)
    if text is not None:
        (tmp_path / "sbom.cdx.json").write_text(text)
    done = CliRunner().invoke(version, options)
    assert (done.exit_code, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert done.stderr.startswith(f"Error: broken bundle, install it again: {tmp_path}/sbom.cdx.json: ")
    assert fault in done.stderr


def test_of_the_sbom_the_names_and_versions_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "tree", lambda: tmp_path)
    part = '{"name": "zlib", "version": "1.3", "purl": "pkg:generic/zlib@1.3"}'
    (tmp_path / "sbom.cdx.json").write_text(f'{{"bomFormat": "CycloneDX", {RELEASE}, "components": [{part}]}}')
    report = json.loads(CliRunner().invoke(version, ["--json"]).stdout)
    assert (report["version"], report["components"]) == ("1.2.3", [{"name": "zlib", "version": "1.3"}])
    assert CliRunner().invoke(version, []).stdout.endswith(", with 1 component (--json lists it)\n")
