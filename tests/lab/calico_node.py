"""What calico-node does on a node: it installs the CNI plugin, and runs confd and BIRD, which confd configures.

All are Calico's own, and BIRD is what Calico's was forked from. Two things depart from a real node. The `krt_tunnel`
lines are taken out of the copy of confd's templates, because only Calico's fork of BIRD knows that attribute (of
IP-in-IP routes). The kubeconfig of Calico's plugin is written here, because the installer makes one only out of a
service account's token. Side effects: processes and files on the node.
"""

import re
import shutil
from pathlib import Path

from tests.lab import bird, objects, programs
from tests.lab.node import CONFLIST, Node
from tests.lab.processes import FOLDER, IMAGE, PATH, run, wait_until

SOCKETS = {4: "/run/calico/bird.ctl", 6: "/run/calico/bird6.ctl"}
_CONFD = "/etc/calico/confd"
# confd has runit's `sv` make BIRD read its configuration again.
_SV = """#!/bin/sh
kill -HUP "$(cat "/run/calico/$2.pid")"
"""


def prepare() -> None:
    """Make what all nodes share: the installer's image, confd's templates without `krt_tunnel`, and `sv`."""
    plugins = IMAGE / "opt/cni/bin"
    for folder in (plugins, IMAGE / "host/etc/cni/net.d", IMAGE / "host/opt/cni/bin", FOLDER / "bin"):
        folder.mkdir(parents=True)
    image = {"calico": programs.CALICO, "calico-ipam": programs.CALICO, "install": programs.CALICO_INSTALL}
    for name, path in (image | {path.name: path for path in programs.REFERENCE_PLUGINS}).items():
        (plugins / name).touch()
        run("mount", "--bind", path.resolve(), plugins / name)
    shutil.copytree(programs.CONFD_TEMPLATES.resolve(), FOLDER / "confd")
    for template in (FOLDER / "confd/templates").glob("*.template"):
        template.chmod(0o644)
        template.write_text(re.sub(r"^.*krt_tunnel = .*\n", "", template.read_text(), flags=re.MULTILINE))
    (FOLDER / "bin/sv").write_text(_SV)
    (FOLDER / "bin/sv").chmod(0o755)


def start(node: Node) -> None:
    """Do what calico-node does when it starts."""
    node.path("/var/lib/calico/nodename").write_text(node.name)
    node.path("/etc/cni/net.d/calico-kubeconfig").write_text(objects.KUBECONFIG)
    install(node)
    shutil.copytree(FOLDER / "confd", node.path(_CONFD))
    node.path(f"{_CONFD}/config").mkdir(exist_ok=True)
    environ = {
        **objects.DATASTORE,
        "NODENAME": node.name,
        "PATH": f"{FOLDER}/bin:{programs.BIRD.parent}:{PATH}",  # confd runs `sv`, and `bird -p` for a check
    }
    node.run(programs.CONFD, f"-confdir={_CONFD}", "-onetime", environ=environ)
    node.start(programs.CONFD, f"-confdir={_CONFD}", log=node.log("confd"), environ=environ)
    for program, socket in ((programs.BIRD, SOCKETS[4]), (programs.BIRD6, SOCKETS[6])):
        name = program.name
        options = f"-d -R -c {_CONFD}/config/{name}.cfg -s {socket} -P /run/calico/{name}.pid".split()
        node.start(program, *options, log=node.log(name))
        wait_until(node.path(socket).exists, f"the socket of {name} on {node.name}", 5)


def install(node: Node) -> None:
    """Run Calico's installer, which writes the conflist, as it does at each start of calico-node."""
    environ = {
        "CNI_NETWORK_CONFIG": objects.manifest("calico.conflist"),
        "CNI_CONF_NAME": Path(CONFLIST).name,
        "KUBERNETES_NODE_NAME": node.name,
        "SLEEP": "false",
    }
    node.run("chroot", IMAGE, "/opt/cni/bin/install", environ=environ)


def sessions(node: Node) -> list[bird.Session]:
    """Return the BGP sessions of both families, as BIRD sees them."""
    return [session for socket in SOCKETS.values() for session in bird.sessions(node.path(socket))]


def exported(node: Node) -> dict[str, list[str]]:
    """Return what BIRD exports to the router, by family; nothing where there is no session."""
    found = {}
    for family, socket in SOCKETS.items():
        up = [one.name for one in bird.sessions(node.path(socket)) if one.info == "Established"]
        peers = [name for name in up if not name.startswith("Mesh_")]
        routes = {prefix for name in peers for prefix in bird.exported(node.path(socket), name)}
        found[f"ipv{family}"] = sorted(routes)
    return found
