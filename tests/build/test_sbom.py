"""What the release tells about its components: SBOM, licence texts, `spiderpool-ipam version`."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests import requirements
from tests.requirements import ROOT


def read_sbom() -> dict[str, Any]:
    sbom: dict[str, Any] = json.loads((requirements.need_frozen("spiderpool").parent / "sbom.cdx.json").read_bytes())
    return sbom


def run_sbom(
    tmp_path: Path, sources: dict[str, str], environ: dict[str, str]
) -> tuple[subprocess.CompletedProcess[str], Path]:
    """Run build/sbom.py over an otherwise empty tree."""
    tree = tmp_path / "tree"
    (tree / "_internal").mkdir(parents=True)
    for place in filter(None, sources.values()):
        (tree / "_internal" / place).write_bytes(b"stripped")
    (tmp_path / "sources.json").write_text(json.dumps(sources))
    command = [sys.executable, str(ROOT / "build/sbom.py"), str(tmp_path / "sources.json"), str(tree)]
    environ = {"SOURCE_DATE_EPOCH": "1", **environ}
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60), tree / "sbom.cdx.json"


@pytest.mark.slow
def test_it_is_valid_cyclonedx() -> None:
    requirements.need_package("jsonschema")
    text = (requirements.need_frozen("spiderpool").parent / "sbom.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def test_it_accounts_for_every_library_of_the_bundle() -> None:
    tree = requirements.need_frozen("spiderpool").parent
    files = [path for path in tree.rglob("*.so*") if not path.is_symlink()]
    libraries = {str(path.relative_to(tree)) for path in files if re.search(r"\.so\b", path.name)}
    places = [
        occurrence["location"]
        for component in read_sbom()["components"]
        for occurrence in component.get("evidence", {}).get("occurrences", ())
    ]
    assert sorted(places) == sorted(libraries)
    assert any(re.match(r"_internal/ld-linux", place) for place in places)


def test_it_knows_where_everything_is_from() -> None:
    sbom = read_sbom()
    assert [part["name"] for part in sbom["components"] if "purl" not in part] == []
    names = {part["name"] for part in sbom["components"]}
    assert {"CPython", "pydantic_core", "pyinstaller", "click", "starlette"} <= names
    # The developers' tools are not part of the release.
    assert not {"attrs", "cyclonedx-python-lib", "hypothesis", "mypy", "pytest", "setuptools"} & names


def test_it_lists_what_pydantic_core_is_linked_with() -> None:
    (core,) = [part for part in read_sbom()["components"] if part["name"] == "pydantic_core"]
    assert "jiter" in {part["name"] for part in core["components"]}


def test_every_component_comes_with_its_licence() -> None:
    tree = requirements.need_frozen("spiderpool").parent
    sbom = read_sbom()
    for component in [sbom["metadata"]["component"], *sbom["components"]]:
        texts = [path for path in (tree / "licenses" / component["name"]).rglob("*") if path.is_file()]
        assert texts, component["name"]
        # pyroute2 has a short file in addition to its two texts.
        assert any(path.stat().st_size > 100 for path in texts), texts
        assert component["licenses"]


def test_what_is_linked_in_comes_with_the_texts_of_the_licences_that_it_names() -> None:
    tree = requirements.need_frozen("spiderpool").parent
    linked = [part for component in read_sbom()["components"] for part in component.get("components", ())]
    named = json.dumps([part["licenses"] for part in linked])
    texts = {path.stem: path.read_text() for path in (tree / "licenses/SPDX").iterdir()}
    assert set(re.findall(r"(?<![\w.+-])[A-Z][\w.+-]*-[\w.+-]*|MIT|ISC|Zlib", named)) <= set(texts)
    assert "Permission is hereby granted, free of charge" in texts["MIT"]
    assert min(len(text) for text in texts.values()) > 500
    assert {"pydantic_core", "watchfiles"} <= {
        part["name"] for part in read_sbom()["components"] if "components" in part
    }


def test_the_frozen_program_lists_the_components() -> None:
    program = requirements.need_frozen("spiderpool-ipam")
    report = json.loads(subprocess.run([program, "version", "--json"], capture_output=True, check=True).stdout)
    sbom = read_sbom()
    assert report["version"] == sbom["metadata"]["component"]["version"]
    assert report["components"] == [{"name": c["name"], "version": c["version"]} for c in sbom["components"]]
    line = subprocess.run([program, "version"], capture_output=True, check=True, text=True).stdout
    assert line.endswith(f", with {len(report['components'])} components (--json lists them)\n")


def test_a_tree_without_its_sbom_is_called_broken(tmp_path: Path) -> None:
    tree = requirements.need_frozen("spiderpool-ipam").parent
    shutil.copytree(tree, tmp_path / "tree", ignore=shutil.ignore_patterns("sbom.cdx.json"))
    done = subprocess.run([tmp_path / "tree/spiderpool-ipam", "version"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: broken bundle, install it again: ")


def test_the_same_files_give_the_same_sbom_in_every_run(tmp_path: Path) -> None:
    sources = {"/usr/bin/env": "a.so", "/usr/bin/true": "b.so", "/usr/bin/false": "c.so"}
    texts = set()
    for seed in ("1", "2"):
        done, sbom = run_sbom(tmp_path / seed, sources, {"PYTHONHASHSEED": seed, "PATH": os.environ["PATH"]})
        assert done.returncode == 0, done.stderr
        texts.add(sbom.read_text())
    assert len(texts) == 1


def test_without_dpkg_a_library_is_listed_by_its_name_and_digest(tmp_path: Path) -> None:
    done, sbom = run_sbom(tmp_path, {"/usr/bin/env": "libx.so.1"}, {"PATH": "/nonexistent"})
    assert done.returncode == 0, done.stderr
    assert "libx.so.1" in done.stderr
    (part,) = [part for part in json.loads(sbom.read_bytes())["components"] if part["type"] == "file"]
    assert (part["name"], part["hashes"][0]["alg"]) == ("libx.so.1", "SHA-256")


def test_a_component_without_a_licence_text_fails_the_build(tmp_path: Path) -> None:
    metadata = tmp_path / "site/bare-1.0.dist-info"
    metadata.mkdir(parents=True)
    (tmp_path / "site/bare.py").touch()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: bare\nVersion: 1.0\n")
    (metadata / "RECORD").write_text("bare.py,,\nbare-1.0.dist-info/METADATA,,\n")
    environ = {"PYTHONPATH": str(tmp_path / "site"), "PATH": os.environ["PATH"]}
    done, sbom = run_sbom(tmp_path, {str(tmp_path / "site/bare.py"): ""}, environ)
    assert done.returncode == 1
    assert done.stderr == "no licence text for: bare 1.0\n"
    assert not sbom.exists()
