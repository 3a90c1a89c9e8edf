"""A node whose BIRDs the real confd configures, out of objects in the lab's test API server, and what they say.

Side effects: the processes of bgp_peers.py in namespaces of their own, one run of confd for each set of objects, and
files in a folder.
"""

import contextlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from cni.doctor.ranges import network
from cni.doctor.sessions import PORT
from cni.doctor.verdict import Route
from tests import requirements
from tests.doctor.bgp_peers import NODE, Peer
from tests.lab import bird
from tests.lab.api_process import Api, create, running_api
from tests.lab.processes import LabError
from tests.requirements import ROOT
from tests.waiting import wait_for

FAMILIES = (4, 6)
_CALICO = "/apis/crd.projectcalico.org/v1"
_PATHS = {
    "Node": "/api/v1/nodes",
    "IPPool": f"{_CALICO}/ippools",
    "BGPPeer": f"{_CALICO}/bgppeers",
    "BGPFilter": f"{_CALICO}/bgpfilters",
    "BGPConfiguration": f"{_CALICO}/bgpconfigurations",
    "BlockAffinity": f"{_CALICO}/blockaffinities",
}
_NAME = "node1"
_ALONE = {
    "kind": "Node",
    "metadata": {
        "name": _NAME,
        "annotations": {f"projectcalico.org/IPv{family}Address": NODE[family] for family in FAMILIES},
    },
    "spec": {},
}
_PROTOCOL = re.compile(r"^protocol bgp (?P<name>\w+) .*?^\}$", re.MULTILINE | re.DOTALL)
_NEIGHBOR = re.compile(r"^ *neighbor (?P<address>\S+) (?:port (?P<port>\d+) )?as (?P<as>\d+);", re.MULTILINE)
_ROUTE = re.compile(r"(?P<prefix>\S+/\d+)\s+(?:(?:via \S+ on|dev) (?P<interface>\S+)|\w+) \[(?P<by>\w+)")


class Protocol(NamedTuple):
    """A session, as confd has written it for BIRD."""

    name: str
    address: str
    port: int
    as_number: int


class BirdNode:
    """The node, a BIRD for each family, and the API that confd reads."""

    def __init__(self, folder: Path, api: Api) -> None:
        self._folder, self._api = folder, api
        self._tools = requirements.need_lab_tool("confd").parent
        shutil.copytree(self._tools / "confd-templates", folder, dirs_exist_ok=True)
        (folder / "config").mkdir(exist_ok=True)
        for path in (*(folder / "templates").glob("*.template"), *(folder / "conf.d").glob("*.toml")):
            path.chmod(0o644)
            path.write_text(_adapted(path.read_text(), folder))
        self._is_first = True
        self._write([_ALONE])
        command = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable]
        command += ["-m", "tests.doctor.bgp_peers", str(folder)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, bufsize=1
        )
        self._read("ready")
        wait_for(lambda: all(self._socket(family).exists() for family in FAMILIES), "the sockets of both BIRDs")

    def configure(self, objects: list[Any]) -> None:
        """Have confd write what these objects say, both BIRDs read it, and all sessions come up."""
        self._write(objects)
        assert self.process.stdin
        self.process.stdin.write(json.dumps([asdict(one) for one in self._peers()]) + "\n")
        self._read("told")
        for family in FAMILIES:
            self._start_sessions(family)

    def refuses(self, objects: list[Any]) -> bool:
        """Tell whether confd cannot write what these objects say, or BIRD does not read what it writes."""
        # confd has BIRD check some files, beside which are those that earlier objects have left. The second time, all
        # are of these objects.
        return all(self._refuses(objects) for _ in range(2))

    def _refuses(self, objects: list[Any]) -> bool:
        try:
            self._write(objects)
            return not all("Configuration OK" in self.ask(family, "configure check") for family in FAMILIES)
        except AssertionError as error:
            return "[FATAL]" in str(error)  # an [ERROR] may be about an object that confd leaves out
        except LabError:
            return True

    def _start_sessions(self, family: int) -> None:
        """Have a BIRD bring up the first session with each peer, as one that starts does."""
        firsts, told = self.firsts(family), self.protocols(family)
        for _ in range(3):
            if len(told) > len(firsts):
                # Of two sessions with one peer, BIRD keeps the one that is there. Then there has to be none before.
                self._reconfigure(family, f'configure "{self._quiet(family)}"')
            self._reconfigure(family, "configure")
            seconds = 25 if len(told) == len(firsts) else 5
            with contextlib.suppress(AssertionError):
                wait_for(lambda: self._up(family) == firsts, "the sessions to be up", seconds)
                return
        # A first session that fails once has lost its place to the second.
        raise AssertionError(self.ask(family, "show protocols"))

    def protocols(self, family: int) -> list[Protocol]:
        """Return the sessions that confd has written, in its order."""
        found = []
        for one in _PROTOCOL.finditer(self._config(family).read_text()):
            neighbor = _NEIGHBOR.search(one[0])
            assert neighbor, one[0]
            port = int(neighbor["port"] or PORT)
            found.append(Protocol(one["name"], neighbor["address"], port, int(neighbor["as"])))
        return found

    def firsts(self, family: int) -> set[Protocol]:
        """Return the first session with each peer, which is the one that a BIRD that starts brings up."""
        return set({(one.address, one.port): one for one in reversed(self.protocols(family))}.values())

    def routes(self, family: int) -> list[tuple[str, Route]]:
        """Return the routes that BIRD takes for the best, each with the protocol that it is of."""
        found: list[tuple[str, Route]] = []
        for line in self.ask(family, "show route primary all"):
            if match := _ROUTE.match(line):
                found.append((match["by"], Route(network(match["prefix"]), match["interface"] or "")))
            elif line.split()[:2] == ["Type:", "BGP"]:
                by, route = found.pop()
                found.append((by, Route(route.prefix, route.interface, is_remote=True)))
        return found

    def exported(self, family: int, name: str) -> set[str]:
        """Return the prefixes that BIRD exports on a session."""
        return set(bird.exported(self._socket(family), name))

    def ask(self, family: int, question: str) -> list[str]:
        """Return the lines of BIRD's answer."""
        return bird.ask(self._socket(family), question)

    def _write(self, objects: list[Any]) -> None:
        """Have these objects and no others in the API, and confd write what they say."""
        for path in _PATHS.values():
            assert self._api.client.delete(path).is_success
        for one in objects:
            create(self._api, _PATHS[one["kind"]], one["metadata"]["name"], metadata=one["metadata"], spec=one["spec"])
        environ = {
            "DATASTORE_TYPE": "kubernetes",
            "KUBECONFIG": str(self._api.kubeconfig(self._folder)),
            "NODENAME": _NAME,
            "PATH": f"{self._tools}/bird/usr/sbin:/usr/bin:/bin",  # confd has BIRD check what it writes
        }
        command = [str(self._tools / "confd"), f"-confdir={self._folder}", "-onetime"]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)
        wrong = [one for one in done.stderr.splitlines() if "[ERROR]" in one and "Couldn't parse selector" not in one]
        # The first time, what bird.cfg includes is not there yet. confd writes it all the same.
        assert done.returncode == 0 and (self._is_first or not wrong), done.stderr
        self._is_first = False

    def _peers(self) -> list[Peer]:
        """Return the peers that confd has written, as bgp_peers.py is told of them."""
        found = []
        for family in FAMILIES:
            own = re.search(r"local as (\d+)", self._config(family).read_text())
            for one in self.protocols(family):
                is_internal = own is not None and own[1] == str(one.as_number)
                found.append(Peer(one.address, one.port, one.as_number, is_internal))
        return found

    def _quiet(self, family: int) -> Path:
        """Return the path of the configuration without its sessions."""
        path = self._config(family).with_suffix(".quiet")
        path.write_text(_PROTOCOL.sub("", self._config(family).read_text()))
        return path

    def _reconfigure(self, family: int, command: str) -> None:
        said = self.ask(family, command)
        assert any(line.startswith("Reconfigur") for line in said), said
        wait_for(lambda: "progress" not in " ".join(self.ask(family, "show status")), "BIRD to be reconfigured")

    def _up(self, family: int) -> set[Protocol]:
        """Return the sessions that are Established."""
        names = {one.name for one in bird.sessions(self._socket(family)) if one.info == "Established"}
        return {one for one in self.protocols(family) if one.name in names}

    def _read(self, word: str) -> None:
        assert self.process.stdout
        assert self.process.stdout.readline() == f"{word}\n", "the namespaces' process ended: see its stderr"

    def _config(self, family: int) -> Path:
        return self._folder / "config" / ("bird.cfg" if family == 4 else "bird6.cfg")

    def _socket(self, family: int) -> Path:
        return self._folder / ("bird.ctl" if family == 4 else "bird6.ctl")


@contextlib.contextmanager
def running(folder: Path) -> Iterator[BirdNode]:
    """Run a node until the block ends. It ends with this process, too, however that ends."""
    requirements.need_root()
    for name in ("unshare", "nsenter", "ip"):
        requirements.need_program(name)
    requirements.need_lab_tool("bird")
    with running_api("--load", requirements.need_lab_tool("calico-crds.yaml")) as api:
        node = BirdNode(folder, api)
        with node.process:
            try:
                yield node
            finally:
                node.process.kill()


def _adapted(text: str, folder: Path) -> str:
    """Return a template, or its description, as it is used here.

    Only Calico's fork of BIRD knows krt_tunnel; another statement has to be in its place, because of the `if`s. It is
    not confd that has BIRD read its configuration, but this module. And a session may come up a second sooner.
    """
    text = re.sub(r'krt_tunnel = "[^;]*";', "preference = 10;", text)
    text = re.sub(r"^reload_cmd.*\n", "", text, flags=re.MULTILINE)
    text = text.replace("connect delay time 2", "connect delay time 1")
    return text.replace("/etc/calico/confd/config", str(folder / "config"))
