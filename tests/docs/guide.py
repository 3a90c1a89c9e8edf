"""Follows docs/guide-calico-bgp.md in the lab: runs the blocks that are marked, and compares what they print.

    python -m tests.docs.guide PAGE [--print]

To be run as root in namespaces of its own, as test_guide.py does it. A block's mark says where it is run: on the
`router`, on `node1`, on the `nodes`, or as `admin`, who has the cluster's kubeconfig. Four things differ from a real
cluster. helm renders SpiderPool's chart, and this program does with it what a cluster would. It makes a Deployment's
pods. kubectl is tests/docs/kubectl.py. And install.sh runs without --systemd, so `watch` is started here.
"""

import re
import shlex
import subprocess
import sys
import time
from itertools import count, pairwise
from pathlib import Path

from tests.docs.blocks import Block, is_as_said, marked
from tests.lab import chart, look_around, objects, programs, router, sandbox, spiderpool
from tests.lab.agents import Upstream
from tests.lab.node import Node
from tests.lab.objects import Object
from tests.lab.processes import FOLDER, PATH, LabError, environment
from tests.lab.topology import NODES, Lab
from tests.waiting import SLACK

_HOME = FOLDER / "home"  # where blocks are run
_PLACES = ("router", "admin", *NODES)
_SETTLED = 20  # seconds in which what a block brings about is to be seen
_PAUSE = 0.5  # seconds, between two looks
_PODS = ("n7ttd", "6lsmm", "x2k8p", "98rcg")
_CALICOS = ("coredns-9ffd646b7-hhw77", "coredns-9ffd646b7-pnwzk")


def main(page: str, *options: str) -> int:
    """Follow a page; return the exit status."""
    lab = prepare()
    for block in marked(Path(page).read_text()):
        try:
            printed = run(lab, block)
        except LabError as failure:
            print(f"{page}:{block.line}: {failure}", flush=True)
            return 1
        print(f"{page}:{block.line}: as the page says", flush=True)
        if options:
            print(block.text, printed, sep="---\n", flush=True)
    return 0


def prepare() -> Lab:
    """Have what the guide begins with: a cluster with Calico and two pods, a router with FRR, our tarball."""
    sandbox.furnish()
    lab = Lab(Upstream)
    lab.open()
    look_around.add_commands(lab.nodes)
    kubectl = FOLDER / "bin/kubectl"
    kubectl.write_text(f'#!/bin/bash\nPYTHONPATH={programs.ROOT} exec {sys.executable} -m tests.docs.kubectl "$@"\n')
    kubectl.chmod(0o755)
    for number, name in enumerate(_CALICOS):
        lab.add_pod(number, name, "kube-system")
    router.open_daemons()
    for place in _PLACES:
        (_HOME / place).mkdir(parents=True)
        folder_file(place).write_text(str(_HOME / place))
        for tarball in programs.TREE.parent.glob("*.tar.gz"):
            (_HOME / place / tarball.name).symlink_to(tarball)
    (_HOME / "router/frr.json").symlink_to(_HOME / "admin/frr.json")  # the page has people copy it
    return lab


def run(lab: Lab, block: Block) -> str:
    """Do what a block says, and what a cluster does then; return what was printed. LabError: it is not as said."""
    if "helm install" in block.text:
        return install_spiderpool(lab, block.text)
    nodes = {node.name: node for node in lab.nodes}
    places = list(nodes) if block.place == "nodes" else [block.place]
    printed = ""
    for place in places:
        printed = wait_for_output(place, nodes.get(place), block)
        if "install.sh" in block.text:
            nodes[place].start_watch()
    if "kind: Deployment" in block.text:
        roll_out(lab)
    return printed


def wait_for_output(place: str, node: Node | None, block: Block) -> str:
    """Run a block until it prints what the page says; return that."""
    last = time.monotonic() + _SETTLED + SLACK
    while True:
        status, printed = type_in(place, node, block.text)
        wanted = int("FAILURE" in (block.printed or ""))
        is_good = status == wanted and (block.printed is None or is_as_said(block.printed, printed))
        if is_good and not re.search(r"^% ", printed, re.MULTILINE):  # so vtysh answers what it does not understand
            return printed
        # What a block brings about may need a moment to be seen. One that brings something about is not repeated.
        if block.printed is None or "<<" in block.text or time.monotonic() > last:
            raise LabError(f"on {place} it ended with {status}, not {wanted}, and printed\n{printed}")
        time.sleep(_PAUSE)


def type_in(place: str, node: Node | None, text: str) -> tuple[int, str]:
    """Have a shell run some lines at a place; return its exit status and what it printed."""
    environ = {"PATH": f"{FOLDER}/bin:{PATH}", "KUBECONFIG": objects.DATASTORE["KUBECONFIG"]}
    # Each block begins in the folder in which the one before it has ended, as in one terminal.
    kept = folder_file(place)
    begin = f"set -eo pipefail; cd $(cat {kept}); trap 'pwd >{kept}' EXIT\n"
    lines = begin + text.replace(" --systemd", "")
    command = [*(node.before if node else []), "bash", "-c", lines]
    done = subprocess.run(
        command, env=environment(environ), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, timeout=120,
    )  # fmt: skip
    return done.returncode, done.stdout


def folder_file(place: str) -> Path:
    """Return the file that keeps the folder in which the last block of a place has ended."""
    return _HOME / f"{place}.folder"


def install_spiderpool(lab: Lab, text: str) -> str:
    """Do what `helm install` with the values of a block would bring about in a cluster."""
    words = shlex.split(text, comments=True)
    values = [value for word, value in pairwise(words) if word == "--set"]
    rendered = chart.render(values)
    pools = chart.pools(rendered)
    for one in rendered:
        if (one["kind"], one["metadata"]["name"]) == ("DaemonSet", "spiderpool-agent"):
            objects.request("POST", "/apis/apps/v1/namespaces/kube-system/daemonsets", one)
    for pool in pools:
        objects.request("POST", f"{objects.SPIDERPOOL}/spiderippools", pool)
    try:
        spiderpool.start_controller(FOLDER / "kubeconfig", FOLDER / "spiderpool-controller")
        for node in lab.nodes:
            start_agent(node, chart.cluster_network(rendered))
    except spiderpool.SpiderpoolError as error:
        raise LabError(str(error)) from None
    return f"the pools {', '.join(pool['metadata']['name'] for pool in pools)}\n"


def start_agent(node: Node, cluster_network: str) -> None:
    """Start the agent of a node. SpiderpoolError."""
    folder = FOLDER / f"agent-{node.name}"
    folder.mkdir()
    node.run("mount", "--bind", folder, "/run/spidernet")
    place = (node.name, folder / "spiderpool.sock", FOLDER / "kubeconfig", folder)
    spiderpool.start_agent(*place, within=node.before, cluster_network=cluster_network)


def roll_out(lab: Lab) -> None:
    """Make the pods of all Deployments, on one node after the other, as controllers, scheduler and kubelets do."""
    numbers = count()
    for deployment in objects.listed("/apis/apps/v1/deployments"):
        template = deployment["spec"]["template"]
        for suffix in _PODS[: deployment["spec"]["replicas"]]:
            name = f"{deployment['metadata']['name']}-644659db67-{suffix}"
            annotations = template["metadata"].get("annotations", {})
            pod = lab.add_pod(next(numbers) % len(lab.nodes), name, **annotations)
            report_running(f"/api/v1/namespaces/default/pods/{name}", list(pod.addresses.values()))


def report_running(path: str, addresses: list[str]) -> None:
    """Say of a pod that it runs, as its kubelet would."""
    ready = {"type": "Ready", "status": "True"}
    status: Object = {"phase": "Running", "podIP": addresses[0], "podIPs": [{"ip": one} for one in addresses]}
    body = {"status": {**status, "conditions": [ready]}}
    objects.request("PATCH", f"{path}/status", body, "application/merge-patch+json")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
