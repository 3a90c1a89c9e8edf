"""Nothing that the facts say is obeyed by the shell that a mend is pasted into: they may be a stranger's bundle.

The documents are those on which other tests find something that a command or a manifest mends.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from inspect import signature
from pathlib import Path
from shutil import which
from types import ModuleType
from typing import Any, NamedTuple

import pytest
import yaml
from pydantic import ValidationError

from cni.contracts.facts import FACTS, Facts
from cni.doctor import check as check_module
from cni.doctor import checks, pod_way, run
from cni.doctor.check import Check, Finding, Mend, command, in_turn, manifest
from cni.doctor.facts import FactReader, NotKnown
from tests.doctor import (
    test_bgp_checks,
    test_calico_checks,
    test_calico_setup,
    test_node_checks,
    test_node_netconf,
    test_node_routes,
    test_refused_values,
    test_spiderpool_addresses,
    test_spiderpool_annotations,
    test_spiderpool_parts,
    test_spiderpool_pools,
    test_upkeep,
)
from tests.doctor.documents import CLUSTER, bgp_peer, calico_node, guide, ip_pool

CHECK = Path(check_module.__file__)
DOCTOR = CHECK.parent
CHECKS = {check.id: check for check in checks.CHECKS}
SOURCES = {path: ast.parse(path.read_text()) for path in sorted(DOCTOR.rglob("*.py"))}
TESTS = (
    test_bgp_checks, test_calico_checks, test_calico_setup, test_node_checks, test_node_netconf, test_node_routes,
    test_refused_values, test_spiderpool_addresses, test_spiderpool_annotations, test_spiderpool_parts,
    test_spiderpool_pools, test_upkeep,
)  # fmt: skip
# What a text of the facts becomes, where the contract takes that: an IPv6 address may have any zone, after a %.
PLANTS: tuple[Callable[[str], str], ...] = (
    lambda text: f"{text}%x$(evil)`evil`';evil;\"; evil;#",
    lambda text: f"{text}%\nEND\nevil\n",
    lambda text: f"--evil={text}",
)


def declared(facts: Any, check: Check) -> Any:
    """Return those facts of a document that a check looks at."""
    parts = {
        part: {key: value for key, value in facts[part].items() if f"{part}.{key}" in check.declared}
        for part in ("node", "cluster")
    }
    return {**facts, **parts}


REFLECTOR = calico_node("node1", 11)
REFLECTOR["metadata"]["annotations"]["projectcalico.org/RouteReflectorClusterID"] = "244.0.0.1/32"
# What the other tests do not have, or only with a cluster: a subnet, a node and a router to be named in commands.
OWN: list[tuple[Any, Check]] = [
    (declared(guide({**CLUSTER, **cluster}), CHECKS[name]), CHECKS[name])
    for name, cluster in {
        "calico-pool-covers": {"ip_pools": [ip_pool("narrow", "fd00:244::/120")]},
        "bgp-as": {"bgp_peers": [bgp_peer("router", "fd00:16::1", asNumber=64512)]},
        "bgp-refused": {"nodes": [REFLECTOR]},
    }.items()
]
# Texts of commands that get no words of others, or none that were not looked at before.
OF_OURS = {
    "--set {}",
    "echo {} | {} apply -f -",
    "helm install spiderpool spiderpool --repo {} --namespace kube-system"
    " --set multus.multusCNI.install=false --set multus.multusCNI.defaultCniCRName=k8s-pod-network",
    "ip route add default via {}",
    "ip route add {} dev UPLINK",
    "{} apply -f ippools-before.yaml",
    "kubectl -n kube-system get configmap calico-config -o yaml | {} | kubectl replace -f -",
    "kubectl -n kube-system patch configmap calico-config --type=merge -p {}",
    "kubectl -n kube-system rollout restart daemonset/{}",
    "sed -E {}",
    "spiderpool-ipam install --as {}",
}
PROGRAMS = re.compile(r"\b(calicoctl|chmod|helm|kubectl|vtysh) [+a-z-]+ ")
# Each program that a command runs is taken for done, and `evil` is told, and an option of that name.
SHELL = """
command_not_found_handle() {
    for word; do case "$word" in evil|--evil*) echo "EVIL: $one" >&2 ;; esac; done
}
for one; do ( eval "$one" ) </dev/null || echo "BROKEN: $one"; done
"""


def calls(test: Any) -> Iterator[dict[str, Any]]:
    """Yield the arguments of each call of a test function; none for one that needs fixtures."""
    names = list(signature(test).parameters)
    marks = [mark for mark in getattr(test, "pytestmark", []) if mark.name == "parametrize"]
    if not names:
        yield {}
    elif len(marks) == 1:
        told = marks[0].args[0]
        of_mark = [one.strip() for one in told.split(",")] if isinstance(told, str) else list(told)
        if sorted(of_mark) == sorted(names):
            for values in marks[0].args[1]:
                yield dict(zip(of_mark, values if len(of_mark) > 1 else [values], strict=True))


def wanted(module: ModuleType, patch: pytest.MonkeyPatch) -> list[tuple[Any, Check]]:
    """Run a module's tests, and return what checks have found something in that a mend mends: once for each mend."""
    found: dict[tuple[str, str], tuple[Any, Check]] = {}
    report = run.report

    def record(made: Any, facts: Facts, *others: Any) -> Any:
        told = report(made, facts, *others)
        for one in told["checks"]:
            for mend in (finding["mend"]["text"] for finding in one["findings"] if "mend" in finding):
                if check := CHECKS.get(one["id"]):
                    found.setdefault((check.id, mend), (declared(facts, check), check))
        return told

    with patch.context() as patched:
        patched.setattr(run, "report", record)
        for name, test in vars(module).items():
            for arguments in calls(test) if name.startswith("test_") and callable(test) else ():
                test(**arguments)
    return list(found.values())


def texts_of(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, member in value.items():
            yield from (key, *texts_of(member))
    elif isinstance(value, list):
        for item in value:
            yield from texts_of(item)
    elif isinstance(value, str):
        yield from (value, *value.split("/"))


def planted(value: Any, text: str, other: str) -> Any:
    """Return a document with another text wherever this one is, also where it is a part of a path or NAMESPACE/NAME."""
    if isinstance(value, dict):
        return {other if key == text else key: planted(member, text, other) for key, member in value.items()}
    if isinstance(value, list):
        return [planted(item, text, other) for item in value]
    if not isinstance(value, str):
        return value
    return other if value == text else "/".join(other if part == text else part for part in value.split("/"))


def findings(documents: list[tuple[Any, Check]]) -> Iterator[Finding]:
    """Yield what is found on these documents while others have written one text of them after another."""
    for facts, check in documents:
        parts = {"node": facts["node"], "cluster": facts["cluster"]}
        for text in sorted(set(texts_of(parts))):
            for plant in PLANTS:
                try:
                    document = FACTS.validate_python({**facts, **planted(parts, text, plant(text))})
                except ValidationError:  # the contract lets no such text in
                    continue
                with suppress(NotKnown):
                    yield from check.find(FactReader(document, check.declared))


class Made(NamedTuple):
    """What was made of the facts: the mends, and the texts that commands were made of, with words of others in them."""

    mends: set[Mend]
    texts: set[str]

    def of(self, kind: str) -> list[str]:
        return sorted(one.text for one in self.mends if one.kind == kind)


@pytest.fixture(scope="module")
def made() -> Made:
    """Return what is made where others have written a text of the facts."""
    texts = set()

    def note(text: str, *values: object) -> Mend:
        if "evil" in str(values):
            texts.add(text)
        return command(text, *values)

    with pytest.MonkeyPatch.context() as patch:
        documents = [*OWN, *(one for module in TESTS for one in wanted(module, patch))]
        for module in [one for name, one in sys.modules.items() if name.startswith("cni.doctor")]:
            if hasattr(module, "command"):
                patch.setattr(module, "command", note)
        mends = {finding.mend for finding in findings(documents) if finding.mend}
        pods: list[Any] = [{"metadata": {"name": plant("a"), "namespace": plant("b")}} for plant in PLANTS]
        return Made({*mends, *(Mend("command", pod_way.look_at(pod)) for pod in pods)}, texts)


def obeyed(commands: Iterable[str], folder: Path) -> str:
    """Return of which commands a shell makes more than their own words, each as a line."""
    shell = [which("bash") or "bash", "--noprofile", "--norc", "-c", SHELL, "bash", *commands]
    done = subprocess.run(shell, env={"PATH": str(folder)}, cwd=folder, capture_output=True, text=True, timeout=60)
    return "\n".join([line for line in done.stdout.splitlines() if line.startswith("BROKEN")] + [done.stderr]).strip()


def test_no_command_has_the_shell_obey_what_the_facts_say(made: Made, tmp_path: Path) -> None:
    commands = made.of("command")
    assert len(commands) > 300  # 391 when this was written, and 153 of them with what the shell would obey
    assert len([one for one in commands if "evil" in one]) > 120
    assert obeyed(commands, tmp_path) == ""
    assert [one.name for one in tmp_path.iterdir()] == ["ippools-before.yaml"]  # where it is kept what a mend replaces


def test_each_text_of_a_command_was_made_with_words_of_others(made: Made) -> None:
    known = {text for path in SOURCES for text in texts_of_commands(path) if "{}" in text}
    assert known - made.texts == OF_OURS


def test_a_command_without_quotes_would_be_obeyed(tmp_path: Path) -> None:
    for name in ("$(evil)", "a; evil", "a\nevil", "--evil=a"):
        assert obeyed([f"kubectl delete pod {name}", "true"], tmp_path).startswith("EVIL: kubectl delete pod")
    for plant in PLANTS:
        assert obeyed([f"kubectl delete pod {plant('a')}", "true"], tmp_path)
    assert obeyed(["kubectl delete pod a'", "true"], tmp_path).startswith("BROKEN: kubectl delete pod a'")


def test_no_manifest_has_more_than_one_object_and_the_names_of_its_own(made: Made) -> None:
    manifests = made.of("manifest")
    assert len([one for one in manifests if "evil" in one]) > 10
    for text in manifests:
        (one,) = yaml.safe_load_all(text)
        assert one.keys() <= {"apiVersion", "kind", "metadata", "spec"}
        assert one["metadata"].keys() <= {"name", "namespace"}


def test_an_ordinary_value_stays_as_it_is_and_an_odd_one_is_quoted_or_left_out() -> None:
    ordinary = command("kubectl -n {} delete pod {}", "kube-system", "a-b.c_1:2/3")
    assert ordinary.text == "kubectl -n kube-system delete pod a-b.c_1:2/3"
    assert command("a {} {}", "b c", "it's").text == """a 'b c' 'it'"'"'s'"""
    assert command("a {} {} {} {}", "-A", "\x1b[31m", "a\nb", "").text == "a NAME NAME NAME ''"
    parts = [command("-c {}", "x y"), command("-c {}", "z")]
    assert in_turn([command("a {}", parts), command("b")]).text == "a -c 'x y' -c z && b"
    pool = manifest("name: {name}\nsize: {size}\n", name="END\nx", size=26)
    assert command("apply {}", pool).text == "apply <<'END'\nname: \"END\\nx\"\nsize: 26\nEND"


def imported(path: Path) -> Iterator[ast.alias]:
    """Yield what a module imports of the one that makes mends."""
    for node in ast.walk(SOURCES[path]):
        if isinstance(node, ast.ImportFrom) and node.module == "cni.doctor.check":
            yield from node.names


def texts_of_commands(path: Path) -> Iterator[str]:
    """Yield the texts of a module's commands. A text that is not written there is an error: only values are quoted."""
    is_user = path == CHECK or any(one.name == "command" for one in imported(path))
    calls_of = {id(node.func): node for node in ast.walk(SOURCES[path]) if isinstance(node, ast.Call)}
    for node in ast.walk(SOURCES[path]) if is_user else ():
        if isinstance(node, ast.Name) and node.id == "command":
            call = calls_of.get(id(node))
            first = call.args[0] if call and call.args else None
            text = first.value if isinstance(first, ast.Constant) else None
            assert isinstance(text, str), f"{path}:{node.lineno}: the text of this command is no literal"
            yield text


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(DOCTOR)))
def test_commands_are_made_of_literal_texts_and_of_values_and_in_one_place(path: Path) -> None:
    assert all(texts_of_commands(path))
    assert not any(one.asname for one in imported(path))
    for node in ast.walk(SOURCES[path]):
        place = f"{path}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.ImportFrom) and node.module == "cni.doctor":
            assert "check" not in [one.name for one in node.names], f"{place}: import what is in it by name"
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Mend":
            assert path == CHECK, f"{place}: command() and manifest() make mends"
        if isinstance(node, ast.JoinedStr) and any(isinstance(one, ast.FormattedValue) for one in node.values):
            assert not PROGRAMS.search(ast.unparse(node)), f"{place}: command() makes commands"


def test_a_mend_of_each_kind_is_made_once() -> None:
    made_as = [
        ast.unparse(node.args[0])
        for node in ast.walk(SOURCES[CHECK])
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Mend"
    ]
    assert sorted(made_as) == ["'command'", "'manifest'"]
