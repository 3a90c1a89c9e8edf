"""The export verdict equals what a real BIRD says that it exports, configured by the real confd, for generated objects.

`EXPORT_SETS=500` has it try as many sets. A set has nodes, IPPools, BGPPeers, BGPFilters, BGPConfigurations and
BlockAffinities; the node has pods' routes, other nodes' blocks, tunnels, and what eBGP peers announce. confd's static
routes are there too. The verdict is asked about each route that BIRD has, for each session that confd gives it.

Not generated, because the confd that can be had is older: prefixLength of a rule (here BIRD is asked about the
condition that later templates write), peerType, communities, asPathPrefix and priority of a rule, localWorkloadSelector
of a peer, programClusterRoutes, and the metric that lets a /32 out of its block from 3.33 on. Nor are Services, whose
addresses are no pods', and CALICO_ADVERTISE_CLUSTER_IPS and USE_POD_CIDR, which are not in the API. Nor a node that has
two sessions with this one on two ports: both wait to be connected to, and BIRD cannot tell which one is.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, get_args

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from cni.doctor.ranges import network
from cni.doctor.sessions import Session, sessions
from cni.doctor.verdict import Route, Rule, first_match, of_route
from tests.doctor import bird_node
from tests.doctor.bird_node import FAMILIES, BirdNode
from tests.doctor.exports import calico
from tests.doctor.generated_objects import NODE, cidrs, sets

SETS = int(os.environ.get("EXPORT_SETS", "25"))
Test = TypeVar("Test", bound=Callable[..., None])


def generated(number: int) -> Callable[[Test], Test]:
    """Try so many examples, always the same ones; a smaller one is not looked for, because each takes its time."""
    return settings(
        max_examples=number,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BirdNode]:
    with bird_node.running(tmp_path_factory.mktemp("node")) as running:
        yield running


def test_the_verdict_equals_what_bird_exports_for_generated_objects(node: BirdNode) -> None:
    said: Counter[tuple[Rule, bool]] = Counter()

    @generated(SETS)
    @given(sets())
    def compare(objects: list[Any]) -> None:
        node.configure(objects)
        for family in FAMILIES:
            said.update(compared(node, objects, family))

    compare()
    assert {rule for rule, _ in said} == set(get_args(Rule)) - {"no-session"}
    print(f"{SETS} sets, {sum(said.values())} verdicts: {said}")


def compared(node: BirdNode, objects: list[Any], family: int) -> Iterator[tuple[Rule, bool]]:
    """Yield the verdicts on all of BIRD's routes. AssertionError: one is not what BIRD does."""
    read = calico(objects)
    protocols = {(one.address, one.port): one for one in node.firsts(family)}
    found = {(session.address, session.port): session for session in sessions(read, NODE, family)}
    assert set(found) == set(protocols)
    routes = node.routes(family)
    for peer, session in found.items():
        name = protocols[peer].name
        exported = node.exported(family, name)
        for by, route in routes:
            if by != name:  # no BGP tells a route to whom it has it from
                verdict = of_route(read, NODE, session, route)
                assert verdict.is_exported == (str(route.prefix) in exported), (name, session, route, verdict)
                yield verdict.rule, verdict.is_exported


OPERATORS = {"In": "~", "NotIn": "!~", "Equal": "=", "NotEqual": "!="}


def test_a_prefix_length_means_what_bird_makes_of_the_set_that_confd_writes_for_it(node: BirdNode) -> None:
    lengths = st.fixed_dictionaries({}, optional={"min": st.integers(0, 32), "max": st.integers(0, 32)})

    @generated(200)
    @given(cidrs(4), st.sampled_from(sorted(OPERATORS)), lengths)
    def compare(cidr: str, operator: str, told: dict[str, int]) -> None:
        low, high = max(network(cidr).prefixlen, told.get("min", 0)), min(32, told.get("max", 32))
        if low > high:
            return  # BIRD refuses the whole configuration
        condition = f"net {OPERATORS[operator]} [ {cidr}{{{low},{high}}} ]"
        seen = {line.split()[0] for line in node.ask(4, f"show route where {condition}") if "/" in line.split()[0]}
        rule: Any = {"action": "Accept", "cidr": cidr, "matchOperator": operator, "prefixLength": told}
        session = Session("BGPPeer/router", "172.16.13.1", is_internal=False)
        known = [network(line.split()[0]) for line in node.ask(4, "show route") if "/" in line.split()[0]]
        assert {str(one) for one in known if first_match([rule], session, Route(one))} == seen

    compare()
