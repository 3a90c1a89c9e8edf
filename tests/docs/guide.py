"""Follows docs/guide-calico-bgp.md in the lab: runs the blocks that are marked, and compares what they print.

    python -m tests.docs.guide PAGE [--print]

To be run as root in namespaces of its own, as test_guide.py does it. A block's mark says where it is run: on the
`router`, on `node1`, on the `nodes`, or as `admin`, who has the cluster's kubeconfig. Four things differ from a real
cluster. helm renders SpiderPool's chart, and this program does with it what a cluster would. It makes a Deployment's
pods. kubectl is tests/docs/kubectl.py. And install.sh runs without --systemd, so `watch` is started here.
"""

import shlex
import sys
from collections.abc import Iterable
from itertools import pairwise

import yaml

from tests.docs import kubectl
from tests.docs.blocks import Block
from tests.docs.terminal import PageError, Terminal, follow_page
from tests.lab import chart, look_around, objects, programs, router, sandbox, spiderpool, workloads
from tests.lab.agents import Upstream
from tests.lab.network import ROUTER
from tests.lab.node import Node
from tests.lab.objects import Object
from tests.lab.processes import FOLDER, PATH, LabError, environment
from tests.lab.topology import Lab

_HOME = FOLDER / "home"  # where blocks are run
_PODS = (
    "n7ttd",
    "6lsmm",
)  # the ends of pods' names, and the middles: of a Deployment's first template, and of its second
_FIRST, _RESTARTED = "644659db67", "7d9c5b8f4d"
_RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
_CALICOS = ("coredns-9ffd646b7-hhw77", "coredns-9ffd646b7-pnwzk")
# What runs before the guide begins.
_WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: nginx}]}}
"""


def main(page: str, *options: str) -> int:
    """Follow a page; return the exit status."""
    lab = prepare()
    terminals = open_terminals(lab)
    return follow_page(page, lambda block: run(lab, terminals, block), (PageError, LabError), show=bool(options))


def prepare() -> Lab:
    """Have what the guide begins with: a cluster with Calico and three pods, and a router with FRR."""
    sandbox.furnish()
    lab = Lab(Upstream)
    lab.open()
    look_around.add_commands(lab.nodes)
    program = FOLDER / "bin/kubectl"
    program.write_text(f'#!/bin/bash\nPYTHONPATH={programs.ROOT} exec {sys.executable} -m tests.docs.kubectl "$@"\n')
    program.chmod(0o755)
    for number, name in enumerate(_CALICOS):
        lab.add_pod(number, name, "kube-system")
    kubectl.apply(yaml.safe_load(_WEB))
    roll_out(lab)
    router.open_daemons()
    return lab


def open_terminals(lab: Lab) -> dict[str, Terminal]:
    """Open a terminal for each place, in a folder that has the release's tarball."""
    environ = environment({"PATH": f"{FOLDER}/bin:{PATH}", "KUBECONFIG": objects.DATASTORE["KUBECONFIG"]})
    before = {"router": [], "admin": [], **{node.name: node.before for node in lab.nodes}}
    terminals = {place: Terminal(_HOME / place, environ, words) for place, words in before.items()}
    for place in terminals:
        for tarball in programs.TREE.parent.glob("*.tar.gz"):
            (_HOME / place / tarball.name).symlink_to(tarball)
    (_HOME / "router/frr.json").symlink_to(_HOME / "node1/frr.json")  # the page has people copy it
    return terminals


def run(lab: Lab, terminals: dict[str, Terminal], block: Block) -> str:
    """Do what a block says, and what a cluster does then; return what was printed. PageError, LabError."""
    if "helm install" in block.text:
        return install_spiderpool(lab, block.text)
    nodes = {node.name: node for node in lab.nodes}
    printed = ""
    for place in list(nodes) if block.place == "nodes" else [block.place]:
        printed = terminals[place].follow(block._replace(text=block.text.replace(" --systemd", "")))
        if "install.sh" in block.text:
            nodes[place].start_watch()
    if "kind: Deployment" in block.text or "rollout restart" in block.text:
        roll_out(lab)
    return printed


def install_spiderpool(lab: Lab, text: str) -> str:
    """Do what `helm install` with the values of a block would bring about in a cluster."""
    words = shlex.split(text, comments=True)
    values = [value for word, value in pairwise(words) if word == "--set"]
    require_values(value.partition("=")[0] for value in values)
    rendered = chart.render(values)
    pools = chart.pools(rendered)
    workloads.apply(rendered)
    for pool in pools:
        objects.request("POST", f"{objects.SPIDERPOOL}/spiderippools", pool)
    try:
        spiderpool.start_controller(FOLDER / "kubeconfig", FOLDER / "spiderpool-controller")
        workloads.report_controller(ROUTER[4])
        for node in lab.nodes:
            start_agent(node, chart.cluster_network(rendered))
            workloads.report_agent(node.name)
    except spiderpool.SpiderpoolError as error:
        raise LabError(str(error)) from None
    return f"the pools {', '.join(pool['metadata']['name'] for pool in pools)}\n"


def require_values(keys: Iterable[str]) -> None:
    """Require that the chart has these values, of which helm says nothing. LabError."""
    for key in keys:
        known = yaml.safe_load((programs.CHART / "values.yaml").read_text())
        for word in key.split("."):
            if word not in known:
                raise LabError(f"SpiderPool's chart has no value {key}")
            known = known[word]


def start_agent(node: Node, cluster_network: str) -> None:
    """Start the agent of a node. SpiderpoolError."""
    folder = FOLDER / f"agent-{node.name}"
    folder.mkdir()
    node.run("mount", "--bind", folder, "/run/spidernet")
    place = (node.name, folder / "spiderpool.sock", FOLDER / "kubeconfig", folder)
    spiderpool.start_agent(*place, within=node.before, cluster_network=cluster_network)


def roll_out(lab: Lab) -> None:
    """Make the pods of the Deployments in the namespace default, and end former ones, as a cluster does."""
    for deployment in objects.listed("/apis/apps/v1/namespaces/default/deployments"):
        name, template = deployment["metadata"]["name"], deployment["spec"]["template"]
        annotations = template["metadata"].get("annotations", {})
        prefix = f"{name}-{_RESTARTED if _RESTARTED_AT in annotations else _FIRST}"
        wanted = [f"{prefix}-{suffix}" for suffix in _PODS[: deployment["spec"]["replicas"]]]
        former = [pod for pod in lab.pods.values() if pod.name.startswith(f"{name}-") and pod.name not in wanted]
        for number, new in enumerate(wanted):
            if new not in lab.pods:
                pod = lab.add_pod(number % len(lab.nodes), new, **annotations)
                report_running(f"/api/v1/namespaces/default/pods/{new}", list(pod.addresses.values()))
        for pod in former:
            lab.delete_pod(pod)


def report_running(path: str, addresses: list[str]) -> None:
    """Say of a pod that it runs, as its kubelet would."""
    ready = {"type": "Ready", "status": "True"}
    status: Object = {"phase": "Running", "podIP": addresses[0], "podIPs": [{"ip": one} for one in addresses]}
    body = {"status": {**status, "conditions": [ready]}}
    objects.request("PATCH", f"{path}/status", body, "application/merge-patch+json")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
