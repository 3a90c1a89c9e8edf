"""The manifests of build/kubernetes follow Kubernetes' schemas, and the program accepts the arguments in them."""

import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml

from cni.defaults import AGENT_SOCKET, RESULT_CACHE_FOLDER, STATE_FOLDER
from tests import requirements
from tests.build import manifests
from tests.build.manifests import containers
from tests.requirements import ROOT

# The paths that install, watch and uninstall use on a usual node, and whether they write to them; and what doctor reads
# before an installation.
REACHED = {
    "/opt/cni/bin": True,
    "/etc/cni/net.d": True,
    STATE_FOLDER: True,
    RESULT_CACHE_FOLDER: False,
    AGENT_SOCKET: False,
}
READ = dict.fromkeys(("/opt/cni/bin", "/etc/cni/net.d", STATE_FOLDER, AGENT_SOCKET), False)


@pytest.mark.parametrize("name", manifests.NAMES)
@pytest.mark.slow
def test_they_follow_the_schemas_of_every_kubernetes_version(name: str, show: Callable[[str], None]) -> None:
    schemas = requirements.need_package("kubernetes_validate")
    versions = schemas.utils.all_versions()
    documents = manifests.render(name)
    assert {document["kind"] for document in documents} == {"ServiceAccount", "DaemonSet"}
    for version in versions:
        for document in documents:
            schemas.validate(document, version, strict=True)
    show(f"build/kubernetes/{name}: valid for Kubernetes {versions[0]} to {versions[-1]}")


@pytest.mark.parametrize("fault", [{"hostNetwrok": True}, {"hostNetwork": "yes"}, {"containers": [{"image": "x"}]}])
@pytest.mark.slow
def test_the_schemas_do_find_faults(fault: dict[str, Any]) -> None:
    schemas = requirements.need_package("kubernetes_validate")
    document = manifests.daemon_set("install")
    document["spec"]["template"]["spec"].update(fault)
    with pytest.raises(schemas.ValidationError):
        schemas.validate(document, schemas.utils.all_versions()[-1], strict=True)


@pytest.mark.parametrize("name", manifests.NAMES)
def test_the_program_takes_the_arguments(name: str) -> None:
    manifests.require_arguments(manifests.pod_spec(name))


def test_watch_writes_the_readiness_file_that_the_probe_asks_for() -> None:
    spec = manifests.pod_spec("install")
    (watch,) = spec["containers"]
    (written,) = [argument for argument in watch["args"] if argument.startswith("--readiness-file=")]
    assert written in watch["readinessProbe"]["exec"]["command"]
    folder = PurePosixPath(written.partition("=")[2]).parent
    (volume,) = [mount["name"] for mount in watch["volumeMounts"] if mount["mountPath"] == str(folder)]
    assert [one for one in spec["volumes"] if one["name"] == volume and "emptyDir" in one]


@pytest.mark.parametrize("name", manifests.NAMES)
def test_every_folder_that_is_reached_is_mounted_where_it_is_looked_for(name: str) -> None:
    spec = manifests.pod_spec(name)
    for container in containers(spec):
        mounts = manifests.node_mounts(spec, container)
        paths = READ if container["name"] == "doctor" else REACHED
        assert len(mounts) == len(paths)
        for mount in mounts:
            assert mount.container == manifests.HOST / mount.node.relative_to("/")
            reached = [write for path, write in paths.items() if PurePosixPath(path).is_relative_to(mount.node)]
            assert reached == [not mount.read_only], mount


@pytest.mark.parametrize("name", manifests.NAMES)
def test_it_runs_on_every_linux_node_before_the_pod_network_does(name: str) -> None:
    spec = manifests.pod_spec(name)
    assert spec["hostNetwork"] is True
    assert spec["priorityClassName"] == "system-node-critical"
    assert spec["tolerations"] == [{"operator": "Exists"}]
    assert spec["nodeSelector"] == {"kubernetes.io/os": "linux"}
    assert manifests.daemon_set(name)["metadata"]["namespace"] == "kube-system"


@pytest.mark.parametrize("name", manifests.NAMES)
def test_it_holds_no_more_rights_than_it_needs(name: str) -> None:
    spec = manifests.pod_spec(name)
    assert spec["automountServiceAccountToken"] is False
    assert {document["kind"] for document in manifests.render(name)} == {"ServiceAccount", "DaemonSet"}  # no roles
    for container in containers(spec):
        security = container["securityContext"]
        assert (security["allowPrivilegeEscalation"], security["readOnlyRootFilesystem"]) == (False, True)
        assert security["capabilities"]["drop"] == ["ALL"]
        assert "privileged" not in security
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}


def test_a_joining_node_is_waited_for_and_not_started_again_all_the_time() -> None:
    install = manifests.init_container(manifests.pod_spec("install"), "install")
    assert "--wait-agent=10m" in install["args"]


def test_what_has_to_hold_is_told_before_an_installation_and_stops_nothing() -> None:
    first, second = manifests.pod_spec("install")["initContainers"]
    assert (first["name"], second["name"]) == ("doctor", "install")
    assert set(first["args"]) >= {"--pre", "--node-only", "--fail-on=nothing"}
    assert [one["name"] for one in manifests.pod_spec("uninstall")["initContainers"]] == ["uninstall"]


def test_a_kustomization_of_ones_own_holds_for_the_way_back(tmp_path: Path) -> None:
    """The one in docs/install.md, for k3s; with an image of its own."""
    page = (ROOT / "docs/install.md").read_text()
    (own,) = [text for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "rancher/k3s" in text]
    kustomize = requirements.need_tool("kustomize")
    specs = []
    shutil.copytree(ROOT / "build/kubernetes", tmp_path / "build/kubernetes")
    for name in manifests.NAMES:
        text = own.replace("build/kubernetes/install", f"build/kubernetes/{name}")
        image = "images: [{name: spiderpool-ipam, newName: registry.example.org/x, newTag: 1.2.3}]"
        (tmp_path / "kustomization.yaml").write_text(f"{text}{image}\n")
        done = subprocess.run([kustomize, "build", tmp_path], capture_output=True, text=True, timeout=60)
        (found,) = [one for one in yaml.safe_load_all(done.stdout) if one["kind"] == "DaemonSet"]
        specs.append(found["spec"]["template"]["spec"])
    assert specs[0]["volumes"] == specs[1]["volumes"]
    assert "/var/lib/rancher/k3s/data/cni" in [one.get("hostPath", {}).get("path") for one in specs[0]["volumes"]]
    assert {one["image"] for spec in specs for one in containers(spec)} == {"registry.example.org/x:1.2.3"}
    assert {one["args"][0] for one in containers(specs[1])} == {"uninstall"}


def test_uninstalling_takes_the_place_of_installing() -> None:
    install, uninstall = manifests.daemon_set("install"), manifests.daemon_set("uninstall")
    assert install["metadata"] == uninstall["metadata"]
    assert install["spec"]["selector"] == uninstall["spec"]["selector"]
    commands = {container["args"][0] for container in containers(uninstall["spec"]["template"]["spec"])}
    assert commands == {"uninstall"}


def test_the_image_has_the_version_of_the_release() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for name in manifests.NAMES:
        images = {container["image"] for container in containers(manifests.pod_spec(name))}
        assert images == {f"spiderpool-ipam:{version}"}
