"""Which resources are served: the table of built-in ones, and those that CustomResourceDefinitions add."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.lab.kube_api.objects import Object

DEFINITIONS = "customresourcedefinitions"
# group/version, plural, kind, "cluster" or "namespaced", "status" if it has that subresource
_BUILT_IN = """
v1 namespaces Namespace cluster status
v1 nodes Node cluster status
v1 pods Pod namespaced status
v1 services Service namespaced status
v1 endpoints Endpoints namespaced -
v1 configmaps ConfigMap namespaced -
v1 secrets Secret namespaced -
v1 serviceaccounts ServiceAccount namespaced -
v1 events Event namespaced -
v1 replicationcontrollers ReplicationController namespaced status
v1 persistentvolumes PersistentVolume cluster status
v1 persistentvolumeclaims PersistentVolumeClaim namespaced status
apps/v1 deployments Deployment namespaced status
apps/v1 replicasets ReplicaSet namespaced status
apps/v1 statefulsets StatefulSet namespaced status
apps/v1 daemonsets DaemonSet namespaced status
batch/v1 jobs Job namespaced status
batch/v1 cronjobs CronJob namespaced status
coordination.k8s.io/v1 leases Lease namespaced -
discovery.k8s.io/v1 endpointslices EndpointSlice namespaced -
events.k8s.io/v1 events Event namespaced -
policy/v1 poddisruptionbudgets PodDisruptionBudget namespaced status
networking.k8s.io/v1 networkpolicies NetworkPolicy namespaced -
networking.k8s.io/v1 ingresses Ingress namespaced status
rbac.authorization.k8s.io/v1 roles Role namespaced -
rbac.authorization.k8s.io/v1 rolebindings RoleBinding namespaced -
rbac.authorization.k8s.io/v1 clusterroles ClusterRole cluster -
rbac.authorization.k8s.io/v1 clusterrolebindings ClusterRoleBinding cluster -
storage.k8s.io/v1 storageclasses StorageClass cluster -
admissionregistration.k8s.io/v1 validatingwebhookconfigurations ValidatingWebhookConfiguration cluster -
admissionregistration.k8s.io/v1 mutatingwebhookconfigurations MutatingWebhookConfiguration cluster -
apiextensions.k8s.io/v1 customresourcedefinitions CustomResourceDefinition cluster status
"""


@dataclass(frozen=True)
class Resource:
    """One resource in one version."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    has_status: bool
    custom: bool = False
    singular: str = ""
    short_names: tuple[str, ...] = ()
    schema: Object = field(default_factory=dict, compare=False)

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def place(self) -> tuple[str, str]:
        """Where its objects are stored: the same place for all versions."""
        return self.group, self.plural

    @property
    def qualified_name(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def is_core(self, plural: str) -> bool:
        """Tell whether this is one of the resources of group ""."""
        return self.place == ("", plural)


class Resources:
    """The resources that are served at the moment."""

    def __init__(self) -> None:
        self._served: dict[tuple[str, str, str], Resource] = {}
        for line in _BUILT_IN.split("\n")[1:-1]:
            api_version, plural, kind, scope, status = line.split()
            group, _, version = api_version.rpartition("/")
            self._add(Resource(group, version, plural, kind, scope == "namespaced", status == "status"))

    def __iter__(self) -> Iterator[Resource]:
        return iter(list(self._served.values()))

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        return self._served.get((group, version, plural))

    def of_kind(self, api_version: str, kind: str) -> Resource | None:
        return next((found for found in self if (found.api_version, found.kind) == (api_version, kind)), None)

    def at(self, place: tuple[str, str]) -> Resource | None:
        return next((found for found in self if found.place == place), None)

    def versions(self) -> dict[str, list[str]]:
        """Return the versions of each group, the preferred one first."""
        groups: dict[str, list[str]] = {}
        for resource in self:
            versions = groups.setdefault(resource.group, [])
            if resource.version not in versions:
                versions.append(resource.version)
        return groups

    def define(self, definition: Object) -> None:
        """Serve what a CustomResourceDefinition asks for, in the place of what an earlier form of it did."""
        self.forget(definition)
        spec, names = definition["spec"], definition["spec"]["names"]
        for version in spec["versions"]:
            if version.get("served", True):
                resource = Resource(
                    group=spec["group"],
                    version=version["name"],
                    plural=names["plural"],
                    kind=names["kind"],
                    namespaced=spec["scope"] == "Namespaced",
                    has_status="status" in (version.get("subresources") or {}),
                    custom=True,
                    singular=names.get("singular", names["kind"].lower()),
                    short_names=tuple(names.get("shortNames") or ()),
                    schema=(version.get("schema") or {}).get("openAPIV3Schema") or {},
                )
                self._add(resource)

    def forget(self, definition: Object) -> None:
        """Serve no longer what a CustomResourceDefinition has asked for."""
        spec = definition["spec"]
        for resource in self:
            if resource.custom and resource.place == (spec["group"], spec["names"]["plural"]):
                del self._served[resource.group, resource.version, resource.plural]

    def _add(self, resource: Resource) -> None:
        self._served[resource.group, resource.version, resource.plural] = resource
