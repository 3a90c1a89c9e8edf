"""SpiderPool as helm has installed it: its agent, its version, and the commands that change it. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from cni.contracts.workload_objects import Container, Workload
from cni.doctor.check import Mend, command, in_turn
from cni.doctor.facts import FactReader

AGENT = "spiderpool-agent"
CONTROLLER = "spiderpool-controller"
_COMPONENT = "app.kubernetes.io/component"
_REPOSITORY = "https://spidernet-io.github.io/spiderpool"
_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")
# For helm, before SpiderPool is there. The second setting is what every agent since 1.1.0 needs.
INSTALL = command(
    "helm install spiderpool spiderpool --repo {} --namespace kube-system"
    " --set multus.multusCNI.install=false --set multus.multusCNI.defaultCniCRName=k8s-pod-network",
    _REPOSITORY,
)


@dataclass(frozen=True)
class Release:
    """A release of helm's."""

    name: str
    namespace: str
    version: str  # of the chart; "" where it is not told

    def upgrade(self, *values: str, restart: str = "") -> Mend:
        """Return the command that sets these values of the chart, and nothing else.

        A change of conf.yml alone restarts no pod: `restart` is the DaemonSet that is to be restarted then.
        """
        version = [command("--version {}", self.version)] if self.version else []
        options = [*version, command("--reuse-values"), *(command("--set {}", value) for value in values)]
        where = (self.name, _REPOSITORY, self.namespace)
        upgrade = command("helm upgrade {} spiderpool --repo {} --namespace {} {}", *where, options)
        if not restart:
            return upgrade
        return in_turn([upgrade, command("kubectl -n {} rollout restart daemonset {}", self.namespace, restart)])


def component(workloads: Iterable[Workload], name: str) -> Workload | None:
    """Return SpiderPool's workload of this name; None if there is none."""
    for workload in workloads:
        metadata = workload["metadata"]
        if metadata.get("labels", {}).get(_COMPONENT, metadata["name"]) == name:
            return workload
    return None


def release(workload: Workload | None) -> Release:
    """Return the release that a workload is of; the guide's, where that is not told."""
    labels = workload["metadata"].get("labels", {}) if workload else {}
    chart = labels.get("helm.sh/chart", "")
    return Release(
        labels.get("app.kubernetes.io/instance", "spiderpool"),
        workload["metadata"].get("namespace", "kube-system") if workload else "kube-system",
        chart.removeprefix("spiderpool-") if chart.startswith("spiderpool-") else "",
    )


def container(workload: Workload, name: str) -> Container | None:
    """Return the container that has the workload's own program: beside it there may be Multus'."""
    containers = workload.get("spec", {}).get("template", {}).get("spec", {}).get("containers", [])
    named = [one for one in containers if one["name"] == name]
    return next(iter(named or containers), None)


def version(workload: Workload, name: str) -> tuple[int, int, int] | None:
    """Return the version of a workload's program, by its image or else its labels; None where nothing tells it."""
    own = container(workload, name)
    image = own.get("image", "") if own else ""
    tag = image.partition("@")[0].rpartition("/")[2].partition(":")[2]
    labels = workload["metadata"].get("labels", {})
    for text in (tag, labels.get("app.kubernetes.io/version", "")):
        if match := _VERSION.match(text):
            return int(match[1]), int(match[2]), int(match[3])
    return None


def agent(facts: FactReader) -> Workload | None:
    """Return the DaemonSet of the agent; None if there is none. NotKnown."""
    return component(facts.value("cluster.daemon_sets"), AGENT)


def helm(facts: FactReader) -> Release:
    """Return the release, as far as it is known."""
    return release(component(facts.value_or("cluster.daemon_sets", []), AGENT))
