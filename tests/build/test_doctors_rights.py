"""The role of build/kubernetes/doctor lets doctor list what it lists, and nothing else."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cni.doctor.collect.cluster import LISTS, Listing
from tests import requirements
from tests.build import manifests

CALICO = ("crd.projectcalico.org", "projectcalico.org")


def needed() -> Iterator[tuple[str, str, str]]:
    """Yield group, resource, and the name that alone is asked for, of each list that doctor asks for."""
    for listing in LISTS.values():
        *_, group, _, resource = listing.path.replace("{calico}", "CALICO/v1").split("/")
        for one in CALICO if group == "CALICO" else ("",) if group == "api" else (group,):
            yield one, resource, name_of(listing)


def name_of(listing: Listing) -> str:
    """Return the name that a list is limited to: the API server lets in who may list the object of this name."""
    return listing.selector.get("fieldSelector", "").removeprefix("metadata.name=")


def by_kind() -> dict[str, Any]:
    return {document["kind"]: document for document in manifests.render("doctor")}


def test_the_role_allows_what_doctor_lists_and_nothing_else() -> None:
    rules = by_kind()["ClusterRole"]["rules"]
    assert {verb for rule in rules for verb in rule["verbs"]} == {"list"}
    allowed = {
        (group, resource, name)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
    }
    assert allowed == set(needed())
    assert ("", "configmaps", "") not in allowed
    assert not any(resource == "secrets" for _, resource, _ in allowed)


def test_the_account_has_that_role_and_the_daemonset_has_another_account() -> None:
    found = by_kind()
    assert found.keys() == {"ClusterRole", "ClusterRoleBinding", "ServiceAccount"}
    binding, account = found["ClusterRoleBinding"], found["ServiceAccount"]["metadata"]
    assert binding["roleRef"]["name"] == found["ClusterRole"]["metadata"]["name"]
    (subject,) = binding["subjects"]
    assert (subject["name"], subject["namespace"]) == (account["name"], account["namespace"])
    assert account["name"] != manifests.pod_spec("install")["serviceAccountName"]


@pytest.mark.slow
def test_it_follows_the_schemas_of_every_kubernetes_version(show: Callable[[str], None]) -> None:
    schemas = requirements.need_package("kubernetes_validate")
    versions = schemas.utils.all_versions()
    for document in manifests.render("doctor"):
        for version in versions:
            schemas.validate(document, version, strict=True)
    show(f"build/kubernetes/doctor: valid for Kubernetes {versions[0]} to {versions[-1]}")
