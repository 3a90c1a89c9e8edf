"""The laws of the lease store, held against a model: no address twice, freed ones last, for any sequence of calls."""

import tempfile
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import cast

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from cni.agent.allocator import AllocationError
from cni.agent.lease_store import LeaseStore
from cni.agent.pools import read_pools
from cni.contracts.agent_api import IpamAddArgs, IpamDelArgs
from tests.agent.agent_process import add_args, pool, write_pools

_UID = st.sampled_from(["a", "b", "c"])
_IFNAME = st.sampled_from(["eth0", "net1"])
_NETWORK = st.sampled_from(["n1", "n2"])
_CONTAINER = st.sampled_from(["1", "2", "3"])
_RANGES = st.tuples(st.integers(1, 9), st.integers(1, 9)).map(lambda ends: (min(ends), max(ends)))

Key = tuple[str, str, str]


class Leases(RuleBasedStateMachine):
    """The store beside a model: who holds what, what was ever used, what was freed in which order."""

    @initialize(ends=_RANGES)
    def begin(self, ends: tuple[int, int]) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.held: dict[Key, int] = {}
        self.holders: dict[Key, set[str]] = {}
        self.freed: list[int] = []
        self._open(ends)

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    def _open(self, ends: tuple[int, int]) -> None:
        self.ends = ends
        manifest = pool("p", f"10.244.0.{ends[0]}-10.244.0.{ends[1]}", default=True)
        pools = read_pools([write_pools(Path(self.folder.name, "pools.yaml"), manifest)], print)
        self.store = LeaseStore(Path(self.folder.name, "leases.db"), pools)

    def _next(self) -> Iterator[int]:
        listed = range(self.ends[0], self.ends[1] + 1)
        used = {*self.held.values(), *self.freed}
        yield from (number for number in listed if number not in used)
        yield from (number for number in self.freed if number in listed)

    def _let_go(self, key: Key, container: str) -> list[str]:
        self.holders[key].discard(container)
        if self.holders[key]:
            return []
        del self.holders[key]
        self.freed.append(self.held.pop(key))
        return [f"10.244.0.{self.freed[-1]}"]

    @rule(uid=_UID, ifname=_IFNAME, network=_NETWORK, container=_CONTAINER)
    def add(self, uid: str, ifname: str, network: str, container: str) -> None:
        args = cast("IpamAddArgs", add_args(uid, container, ifname, network))
        key = (uid, ifname, network)
        number = self.held.get(key) or next(self._next(), None)
        try:
            held, _ = self.store.allocate(args)
        except AllocationError:
            assert number is None
            return
        own = [one for one in held if (one.ifname, one.network) == (ifname, network)]
        assert [lease.address for one in own for lease in one.leases] == [f"10.244.0.{number}"]
        assert number is not None
        if number in self.freed:
            self.freed.remove(number)
        self.held[key] = number
        self.holders.setdefault(key, set()).add(container)

    @rule(uid=_UID, ifname=_IFNAME, network=_NETWORK, container=_CONTAINER)
    def delete(self, uid: str, ifname: str, network: str, container: str) -> None:
        key = (uid, ifname, network)
        expected = self._let_go(key, container) if container in self.holders.get(key, ()) else []
        assert self.store.release(cast("IpamDelArgs", add_args(uid, container, ifname, network))) == expected

    @rule(network=_NETWORK, valid=st.sets(st.tuples(_CONTAINER, _IFNAME)))
    def collect_garbage(self, network: str, valid: set[tuple[str, str]]) -> None:
        order = [(uid, held.ifname, held.network) for held in self.store.all_held() for uid in [held.pod_uid]]
        expected = []
        for key in order:
            gone = [one for one in self.holders[key] if key[2] == network and (one, key[1]) not in valid]
            expected += [address for one in gone for address in self._let_go(key, one)]
        attachments = [{"containerID": container, "ifname": ifname} for container, ifname in valid]
        freed = self.store.collect_garbage({"network": network, "validAttachments": attachments})  # type: ignore[typeddict-item]
        assert freed == expected

    @rule()
    def restart(self) -> None:
        self.store.close()
        self._open(self.ends)

    @rule(ends=_RANGES)
    def restart_with_another_manifest(self, ends: tuple[int, int]) -> None:
        self.store.close()
        self._open(ends)

    @invariant()
    def the_store_holds_what_the_model_holds(self) -> None:
        held = self.store.all_held()
        addresses = [str(IPv4Address(lease.address)) for one in held for lease in one.leases]
        assert len(addresses) == len(set(addresses))
        keys = {(one.pod_uid, one.ifname, one.network): set(one.container_ids) for one in held}
        assert keys == self.holders
        assert sorted(addresses) == sorted(f"10.244.0.{number}" for number in self.held.values())


TestLeases = Leases.TestCase
TestLeases.settings = settings(max_examples=40, stateful_step_count=30)
