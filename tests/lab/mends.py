"""Has doctor name what is broken, and mends that as doctor says, by the tools that it names.

Commands are given to a shell on the node that they were found on, as a person would type them: calicoctl, vtysh, ip,
spiderpool-ipam, and kubectl. helm is the exception: SpiderPool's chart is rendered by it with the values that doctor
names, and what differs then of the agents is applied. Side effects: those of the mends.
"""

import re
import shlex
import time
from itertools import pairwise

from tests.lab import diagnosis, objects
from tests.lab.agents import Upstream
from tests.lab.diagnosis import Check, Diagnosis, Finding
from tests.lab.node import Node
from tests.lab.processes import FOLDER, PATH, LabError, wait_until
from tests.lab.topology import Lab

_FOLLOWED = 30  # seconds in which BIRD, and so doctor, has followed a change; seen: below 12, on a busy machine
_PAUSE = 2  # seconds, between questions of which the answer takes long
_SILENCE = 45  # seconds; from 30 on, a router that has sent nothing is called silent
# These do the same on each node. What else doctor says is to be done where it says it.
_ANYWHERE = ("calicoctl", "helm", "kubectl", "vtysh")


def diagnose(causes: set[str], lab: Lab) -> tuple[list[Diagnosis], str]:
    """Wait until doctor names these causes and no others; return what it says, and a sentence.

    LabError: it names others, or symptoms of others.
    """
    names = ", ".join(sorted(causes)) or "nothing"
    found: list[Diagnosis] = []

    def is_named() -> bool:
        found[:] = diagnosis.ask(lab)
        if diagnosis.named(found) != causes:
            raise LabError(f"doctor says {diagnosis.words(found) or 'nothing'}")
        return True

    wait_until(is_named, f"doctor to name {names}", _FOLLOWED)
    symptoms = {pair for one in found for pair in one.symptoms}
    if strangers := {pair for pair in symptoms if pair[1] not in causes}:
        raise LabError(f"symptoms of others: {strangers}")
    under = sorted({check for check, _ in symptoms} - causes)
    listed = f", and under it {', '.join(under)}" if under else ""
    return found, f"doctor names {names}{listed}"


def see_information(check_id: str, lab: Lab) -> str:
    """Wait until doctor, without a word of the router, tells something of which it cannot know that it is a fault."""

    def is_told() -> bool:
        found = diagnosis.ask(lab, with_router=False)
        if others := diagnosis.named(found):
            raise LabError(f"doctor names {others}")
        if all(one.information(check_id) for one in found):
            return True
        time.sleep(_PAUSE)
        return False

    took = wait_until(is_told, f"doctor to tell {check_id} without --router", _SILENCE)
    return f"without --router it tells {check_id} after {took:.0f} s"


def mend(lab: Lab, diagnosed: list[Diagnosis]) -> str:
    """Do what doctor has said, and says then, until it is silent; return a sentence. LabError: it is not."""
    done: dict[tuple[str, str], str] = {}
    _take_first(lab, diagnosed, done)

    def is_silent() -> bool:
        found = diagnosis.ask(lab)
        _take_first(lab, found, done)
        if any(one.failed for one in found):
            raise LabError(f"after {list(done.values())} doctor says {diagnosis.words(found)}")
        return True

    took = wait_until(is_silent, "doctor to be silent", _FOLLOWED)
    tools = ", ".join(dict.fromkeys(done.values()))
    return f"{f'mended by {tools}' if tools else 'nothing to mend'}: silent after {took:.1f} s"


def _take_first(lab: Lab, found: list[Diagnosis], done: dict[tuple[str, str], str]) -> None:
    """Do what the first check that has found something says, on all nodes: what others say may be of no use then."""
    for name in dict.fromkeys(check["id"] for one in found for check, _ in one.causes):
        before = len(done)
        for one in found:
            for check, finding in one.causes:
                if check["id"] == name:
                    _take(lab, one.node, check, finding, done)
        if len(done) > before:
            return


def _take(lab: Lab, node: Node, check: Check, finding: Finding, done: dict[tuple[str, str], str]) -> None:
    """Do what a finding says, if that was not done yet."""
    how = finding.get("mend")
    if not how:
        return
    is_anywhere = how["kind"] == "manifest" or how["text"].startswith(_ANYWHERE)
    key = ("" if is_anywhere else node.name, how["text"])
    if key in done:
        return
    if how["kind"] == "manifest":
        done[key] = _apply_suggestion(lab, node, check["id"])
    elif how["text"].startswith("helm "):
        done[key] = _upgrade(lab, how["text"])
    else:
        done[key] = _type(node, how["text"])
    if isinstance(lab.agent, Upstream):
        lab.agent.follow()


def _type(node: Node, line: str) -> str:
    """Have a shell on the node run a command; return the words by which people know it."""
    environ = {"PATH": f"{FOLDER}/bin:{PATH}", "KUBECONFIG": objects.DATASTORE["KUBECONFIG"]}
    node.run("bash", "-c", f"cd {FOLDER}\n{line}", environ=environ)  # a command may keep in a file what it deletes
    parts = line.partition("<<")[0].split(" && ")
    return " && ".join(f"`{' '.join(part.strip('{ ').split()[:3])}`" for part in parts)


def _apply_suggestion(lab: Lab, node: Node, check_id: str) -> str:
    """Give what `doctor --suggest` prints for a check to the program that it names."""
    stream = diagnosis.run(lab, node, "--suggest", "--only", check_id)
    programs = set(re.findall(rf"^# {check_id}: (\S+ apply -f -)$", stream, flags=re.MULTILINE))
    if len(programs) != 1:
        raise LabError(f"doctor --suggest names {programs or 'no program'}: {stream[-300:]}")
    line = programs.pop()
    _type(node, f"{line} <<'END'\n{stream}END")
    return f"`doctor --suggest | {line}`"


def _upgrade(lab: Lab, line: str) -> str:
    """Have helm render what a `helm upgrade` would change, and apply that of the agents."""
    words = shlex.split(line)
    values = [value for option, value in pairwise(words) if option == "--set"]
    if words[1] != "upgrade" or "--reuse-values" not in words or not isinstance(lab.agent, Upstream):
        raise LabError(f"this is no upgrade of SpiderPool: {line}")
    lab.agent.upgrade(values)
    return f"`helm template --set {' --set '.join(values)}` in the place of `helm upgrade`"
