"""The documents by which a client finds out what is served. Pure."""

from tests.lab.kube_api import reviews
from tests.lab.kube_api.objects import Object
from tests.lab.kube_api.resources import Resources

VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
VERSION = {
    "major": "1",
    "minor": "29",
    "gitVersion": "v1.29.0",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "2024-01-01T00:00:00Z",
    "goVersion": "go1.22",
    "compiler": "gc",
    "platform": "linux/amd64",
}
# Stubs: no client of ours reads schemas, but kubectl-like ones ask whether there are any.
OPENAPI_V2 = {"swagger": "2.0", "info": {"title": "Kubernetes", "version": "v1.29.0"}, "paths": {}}
OPENAPI_V3: Object = {"paths": {}}


def core_versions() -> Object:
    """Return what is at /api."""
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}


def group_list(resources: Resources) -> Object:
    """Return what is at /apis."""
    groups = [group_document(resources, name) for name in _versions(resources) if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def group_document(resources: Resources, name: str) -> Object | None:
    """Return what is at /apis/GROUP."""
    versions = [
        {"groupVersion": f"{name}/{version}", "version": version} for version in _versions(resources).get(name, [])
    ]
    if not versions:
        return None
    return {"kind": "APIGroup", "apiVersion": "v1", "name": name, "versions": versions, "preferredVersion": versions[0]}


def resource_list(resources: Resources, group: str, version: str) -> Object | None:
    """Return what is at /api/VERSION or /apis/GROUP/VERSION."""
    if version not in _versions(resources).get(group, []):
        return None
    found = reviews.resources(group)
    for resource in resources:
        if (resource.group, resource.version) == (group, version):
            common = {"namespaced": resource.namespaced, "kind": resource.kind}
            names = {"singularName": resource.singular, "shortNames": list(resource.short_names)}
            found.append({"name": resource.plural, **names, **common, "verbs": VERBS})
            if resource.has_status:
                verbs = ["get", "patch", "update"]
                found.append({"name": f"{resource.plural}/status", "singularName": "", **common, "verbs": verbs})
    group_version = f"{group}/{version}" if group else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": found}


def _versions(resources: Resources) -> dict[str, list[str]]:
    return {**{group: [version] for group, version in reviews.GROUPS.items()}, **resources.versions()}
