"""SpiderPool's own agent takes the pools that doctor says it does for a pod, and others not for the same reasons."""

import json
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from pydantic import TypeAdapter

from cni.contracts.api_objects import Pod
from cni.doctor import pool_filters, subjects
from cni.doctor.facts import FactReader
from cni.doctor.pool_names import AnnotationError
from cni.doctor.pool_selection import MISSING, TWICE, Choice, choices
from tests.doctor.documents import CLUSTER, agent, guide
from tests.lab import spiderpool
from tests.lab.api_process import Api, create, made, running_api
from tests.lab.test_real_programs import free_ports
from tests.requirements import need_lab_tool

pytestmark = pytest.mark.slow

CASES = 40  # of 6,000 that were asked once, doctor and agent said the same, too
POOLS = "/apis/spiderpool.spidernet.io/v2beta1/spiderippools"
NETWORK = "kube-system/k8s-pod-network"
NODES = {"node1": {"zone": "a"}, "node2": {"zone": "b", "gpu": "yes"}}
OF_NODE, OF_NAMESPACE, OF_POD = "nodeAffinity", "namespaceAffinity", "podAffinity"
SPECS: Mapping[str, dict[str, Any]] = {
    "v4-any-a": {"default": True},
    "v4-any-b": {},
    "v4-off": {"disable": True, "default": True},
    "v4-going": {"default": True},
    "v4-node1": {"nodeName": ["node1"], OF_NODE: {"matchLabels": {"zone": "b"}}},
    "v4-zone-b": {OF_NODE: {"matchLabels": {"zone": "b"}}, "default": True},
    "v4-no-gpu": {OF_NODE: {"matchExpressions": [{"key": "gpu", "operator": "DoesNotExist"}]}},
    "v4-team-a": {"namespaceName": ["team-a"], "default": True},
    "v4-prod": {OF_NAMESPACE: {"matchLabels": {"stage": "prod"}}},
    "v4-web": {OF_POD: {"matchLabels": {"app": "web"}}, "default": True},
    "v4-not-web": {OF_POD: {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}},
    "v4-wrong": {OF_POD: {"matchExpressions": [{"key": "app", "operator": "In", "values": []}]}},
    "v4-own-net": {"multusName": ["k8s-pod-network"]},
    "v4-other-net": {"multusName": ["default/other", "kube-system/another"]},
    "v6-any": {"default": True},
    "v6-web": {OF_POD: {"matchLabels": {"app": "web"}}},
    "v6-off": {"disable": True},
}
NAMESPACES: Mapping[str, tuple[dict[str, str], dict[str, str]]] = {
    "team-a": ({"stage": "prod"}, {"ipam.spidernet.io/default-ipv4-ippool": '["v4-any-b", "v4-prod"]'}),
    "team-b": ({}, {"ipam.spidernet.io/default-ipv4-ippool": "[]", "ipam.spidernet.io/default-ipv6-ippool": "null"}),
    "team-c": ({"stage": "prod"}, {"ipam.spidernet.io/default-ipv6-ippool": '["v6-*"]'}),
    "team-d": ({}, {"ipam.spidernet.io/default-ipv4-ippool": "v4-any-a"}),
    "team-e": ({}, {}),
}
PATTERNS = (
    "v4-*",
    "v?-any*",
    "v4-[a-n]*",
    "v4-[^a-n]*",
    "*-web",
    "v4-\\any-[ab]",
    "v4-[b-a]*",
    "x*",
    "[]a]*",
    "v6-[a-]*",
)
TEXTS = (
    "",
    "v4-any-a",
    "{}",
    "[]",
    "null",
    '{"ipv4": null}',
    '{"IPv4": ["v4-any-a"]}',
    '{"ipv4": "v4-any-a"}',
    '{"a": 1}',
)
# What the agent says of a pool that it filters out, by the beginning of what doctor says.
WORDS: Mapping[str, str | tuple[str, ...]] = {
    "it is being deleted": "terminating IPPool",
    "it is disabled": "disabled IPPool",
    "it is an IPv": "expect an IPv",
    "its nodeName": "unmatched Node name",
    "its nodeAffinity": "unmatched Node affinity",
    "its namespaceName": "unmatched Namespace name",
    "its namespaceAffinity": "unmatched Namespace affinity",
    "its podAffinity": ("unmatched Pod affinity", "values: Invalid value"),  # the second of a selector that is none
    "its multusName": "the spec.multusName",
}


def names(chance: random.Random, family: int) -> list[str]:
    of_family = [name for name in SPECS if name.startswith(f"v{family}")]
    found = chance.sample(of_family, chance.randint(1, 3))
    if chance.random() < 0.3:
        found.append(chance.choice(PATTERNS))
    if chance.random() < 0.2:
        found.append(chance.choice(["no-such-pool", found[0], "v4-any-a", "v6-any", "v6-web"]))
    return found


def item(chance: random.Random) -> dict[str, Any]:
    families = chance.choice([("ipv4",), ("ipv6",), ("ipv4", "ipv6"), ("ipv4",)])
    return {family: names(chance, int(family[-1])) for family in families}


def items(chance: random.Random) -> list[dict[str, Any]]:
    """Return items for interfaces; of those beside eth0 doctor does not know the network, so no pool is for one."""
    interfaces = chance.choice([["eth0"], ["eth0", "net1"], ["", ""], [""], ["net1"], ["eth0", "eth0"], ["eth0", ""]])
    others = [name for name, spec in SPECS.items() if name.startswith("v4") and "multusName" not in spec]
    found = [item(chance), *({"ipv4": chance.sample(others, 2)} for _ in interfaces[1:])]
    return [{**one, **({"interface": name} if name else {})} for one, name in zip(found, interfaces, strict=True)]


def annotations(chance: random.Random) -> dict[str, str]:
    found = {"k8s.v1.cni.cncf.io/networks": "default/more@net1"}
    kind = chance.random()
    if kind < 0.45:
        found["ipam.spidernet.io/ippool"] = json.dumps(item(chance))
    elif kind < 0.7:
        found["ipam.spidernet.io/ippools"] = json.dumps(items(chance))
    elif kind < 0.8:
        found[f"ipam.spidernet.io/{chance.choice(['ippool', 'ippools'])}"] = chance.choice(TEXTS)
    if chance.random() < 0.1:
        found["ipam.spidernet.io/subnet"] = '{"ipv4": ["s"]}'  # which an agent without SpiderSubnets does not read
    if chance.random() < 0.2:
        networks = [
            "default/other",
            "another",
            "kube-system/another@eth0",
            '[{"name": "other", "namespace": "default"}]',
        ]
        found["v1.multus-cni.io/default-network"] = chance.choice(networks)
    return found


def make_pods(api: Api, count: int) -> list[Any]:
    chance = random.Random(15)
    found = []
    for number in range(count):
        labels = chance.choice([{}, {"app": "web"}, {"app": "db"}])
        metadata = {"labels": labels, "annotations": annotations(chance)}
        path = f"/api/v1/namespaces/{chance.choice(list(NAMESPACES))}/pods"
        spec = {"nodeName": chance.choice(list(NODES)), "containers": []}
        found.append(create(api, path, f"p{number}", metadata=metadata, spec=spec))
    return found


def make_pools(api: Api) -> None:
    for number, (name, spec) in enumerate(SPECS.items()):
        family = int(name[1])
        subnet, last = (
            ("10.244.0.0/16", f"10.244.{number}") if family == 4 else ("fd00:244::/64", f"fd00:244::{number}")
        )
        ips = [f"{last}.1-{last}.200"] if family == 4 else [f"{last}:1-{last}:fff"]
        whole = {"ipVersion": family, "subnet": subnet, "ips": ips, **spec}
        made(api.client.post(POOLS, json={"metadata": {"name": name, "finalizers": ["x/y"]}, "spec": whole}))
    api.client.delete(f"{POOLS}/v4-going")


@pytest.fixture
def cluster() -> Iterator[Api]:
    """Give a server that has the nodes, namespaces and pools."""
    with running_api(f"--load={need_lab_tool('spiderpool-crds')}") as api:
        for name, labels in NODES.items():
            create(api, "/api/v1/nodes", name, metadata={"labels": labels})
        for name, (labels, annotated) in NAMESPACES.items():
            create(api, "/api/v1/namespaces", name, metadata={"labels": labels, "annotations": annotated})
        make_pools(api)
        yield api


@contextmanager
def running_agent(api: Api, folder: Path, **settings: Any) -> Iterator[httpx.Client]:
    need_lab_tool("spiderpool-agent")
    path = folder / "spiderpool.sock"
    program = spiderpool.start_agent(
        "node1", path, api.kubeconfig(folder), folder, first_port=free_ports(2), cluster_network=NETWORK, **settings
    )
    try:
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://a/v1", timeout=60) as client:
            yield client
    finally:
        program.stop()


def facts_of(api: Api, **settings: bool) -> FactReader:
    listed = {"spider_ip_pools": POOLS, "namespaces": "/api/v1/namespaces", "nodes": "/api/v1/nodes"}
    cluster = {name: made(api.client.get(path), 200)["items"] for name, path in listed.items()}
    config = {"metadata": {"name": "spiderpool-conf"}, "data": {"conf.yml": {"enableSpiderSubnet": False, **settings}}}
    agents = [agent({"name": "MULTUS_CLUSTER_NETWORK", "value": NETWORK})]
    return FactReader(guide({**CLUSTER, **cluster, "spider_configs": [config], "daemon_sets": agents}))


def asked(client: httpx.Client, pod: Any) -> httpx.Response:
    metadata = pod["metadata"]
    body = {
        "containerID": f"c-{metadata['uid']}",
        "ifName": "eth0",
        "netNamespace": "/var/run/netns/x",
        "podNamespace": metadata["namespace"],
        "podName": metadata["name"],
        "podUID": metadata["uid"],
    }
    return client.post("/ipam/ip", json=body)


def filtered(log: str) -> set[tuple[str, str]]:
    """Return the pools that the agent says it has filtered out, and why, in doctor's words."""
    found = set()
    for line in log.splitlines():
        name, is_there, reason = line.partition("IPPool ")[2].partition(" is filtered by Pod: ")
        if is_there:
            ours = [words for words, its in WORDS.items() if reason.startswith(its)]
            assert len(ours) == 1, line
            found.add((name, ours[0]))
    return found


class Expected(NamedTuple):
    """What the agent is to answer, as doctor says."""

    taken: list[Choice] | None  # None: it refuses the pod
    filtered: set[tuple[str, str]]  # on its way to that answer


def expected(facts: FactReader, pod: Any) -> Expected:
    subject = subjects.of_pod(TypeAdapter(Pod).validate_python(pod))
    lines: set[tuple[str, str]] = set()
    try:
        chosen = [one for one in choices(subject, pool_filters.surroundings(facts)) if one.candidates]
    except AnnotationError:
        return Expected(None, lines)
    if any(each.reason in (MISSING, TWICE) for one in chosen for each in one.candidates):
        return Expected(None, lines)
    for one in chosen:
        reasons = [(each.name, each.reason) for each in one.candidates if each.reason]
        lines |= {(name, words) for name, reason in reasons for words in WORDS if reason.startswith(words)}
        if not one.taken:
            return Expected(None, lines)
    return Expected(chosen, lines)


def is_asked_first(name: str, taken: list[str]) -> bool:
    """Tell whether the agent may ask this pool first: of pools that are for equally many it takes any."""
    kinds = [SPECS[one].keys() - {"default"} for one in (name, taken[0])]
    return name in taken and kinds[0] == kinds[1]


def check(pod: Any, answer: httpx.Response, wanted: Expected, log: str) -> None:
    told = f"{json.dumps(pod['metadata'], indent=1)}\n{answer.text}\n{wanted}"
    assert filtered(log) == wanted.filtered, told
    assert answer.status_code == (500 if wanted.taken is None else 200), told
    if wanted.taken is None:
        return
    given = {(one["nic"], one["version"]): one["ipPool"] for one in answer.json()["ips"] or []}
    taken = {(one.interface, one.family): one.taken for one in wanted.taken}
    assert {("" if nic == "1" else "eth0" if nic == "0" else nic, version) for nic, version in given} == set(taken), (
        told
    )
    for (nic, version), name in given.items():
        whose = {"0": "eth0", "1": ""}.get(nic, nic)
        assert is_asked_first(name, taken[whose, version]), told


@pytest.mark.parametrize("has_ipv6", [True, False], ids=["both-families", "ipv4"])
def test_the_agent_takes_the_pools_that_doctor_says_it_does(cluster: Api, tmp_path: Path, has_ipv6: bool) -> None:
    facts, pods = facts_of(cluster, enableIPv6=has_ipv6), make_pods(cluster, CASES)
    answers, reasons = [], set()
    with running_agent(cluster, tmp_path, enableIPv6=has_ipv6) as client:
        for pod in pods:
            before = (tmp_path / "agent.log").stat().st_size
            answer, wanted = asked(client, pod), expected(facts, pod)
            with (tmp_path / "agent.log").open() as log:
                log.seek(before)
                check(pod, answer, wanted, log.read())
            answers.append(answer.status_code)
            reasons |= {reason for _, reason in wanted.filtered}
    assert {200, 500} == set(answers), "some pods have to be taken, and some to be refused"
    assert reasons == WORDS.keys(), "each filter has to be at work"
