"""Who holds which address: keys and holders, restarts and changed manifests, what an ADD costs."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from cni.agent.allocator import AllocationError
from cni.agent.lease_store import LeaseStore
from cni.agent.pools import read_pools
from cni.contracts.agent_api import IpamAddArgs, IpamBatchDelArgs, IpamDelArgs
from tests.agent.agent_process import add_args, pool, write_pools

FOUR = pool("four", "10.244.0.1-10.244.0.3", default=True)
SIX = pool("six", "fd00:244::1-fd00:244::2", subnet="fd00:244::/64", default=True)


@contextmanager
def _opened(folder: Path, *manifests: dict[str, Any]) -> Iterator[LeaseStore]:
    pools = read_pools([write_pools(folder / "pools.yaml", *manifests)], print)
    with closing(LeaseStore(folder / "leases.db", pools)) as store:
        yield store


def _add(store: LeaseStore, uid: str, **more: Any) -> list[str]:
    """ADD; return the interface's addresses."""
    args = cast("IpamAddArgs", add_args(uid, **more))
    held, _ = store.allocate(args)
    key = (args.get("network", ""), args["ifName"])
    (own,) = [interface for interface in held if (interface.network, interface.ifname) == key]
    return [lease.address for lease in own.leases]


def _delete(store: LeaseStore, uid: str, **more: Any) -> list[str]:
    return store.release(cast("IpamDelArgs", add_args(uid, **more)))


def _delete_pod(store: LeaseStore, uid: str, **more: Any) -> list[str]:
    args = add_args(uid, **more)
    if "network" not in more:
        del args["network"]
    return store.release_pod(cast("IpamBatchDelArgs", args))


def _gc(store: LeaseStore, network: str, *valid: tuple[str, str]) -> list[str]:
    attachments = [{"containerID": container, "ifname": ifname} for container, ifname in valid]
    return store.collect_garbage({"network": network, "validAttachments": attachments})  # type: ignore[typeddict-item]


def _all(store: LeaseStore) -> list[str]:
    return [lease.address for held in store.all_held() for lease in held.leases]


def test_the_same_key_gets_the_same_address_also_under_a_new_container(tmp_path: Path) -> None:
    with _opened(tmp_path, FOUR) as store:
        assert _add(store, "u") == _add(store, "u") == _add(store, "u", container="new") == ["10.244.0.1"]
        assert [held.container_ids for held in store.all_held()] == [["c-u", "new"]]


def test_another_pod_interface_or_network_is_another_key(tmp_path: Path) -> None:
    with _opened(tmp_path, FOUR) as store:
        assert _add(store, "u") == ["10.244.0.1"]
        assert _add(store, "u", ifname="net1") == ["10.244.0.2"]
        assert _add(store, "u", network="other") == ["10.244.0.3"]
        with pytest.raises(AllocationError, match="all IP addresses used out"):
            _add(store, "v")


def test_without_a_pod_uid_the_container_is_the_key(tmp_path: Path) -> None:
    with _opened(tmp_path, FOUR) as store:
        assert _add(store, "", container="a") == _add(store, "", container="a") == ["10.244.0.1"]
        assert _add(store, "", container="b") == ["10.244.0.2"]
        assert _add(store, "a", container="b") == ["10.244.0.3"], "a pod UID is no container ID"


def test_an_allocation_is_freed_when_its_last_container_lets_it_go(tmp_path: Path) -> None:
    with _opened(tmp_path, FOUR) as store:
        _add(store, "u", container="old")
        _add(store, "u", container="new")
        assert _delete(store, "u", container="old") == []
        assert _delete(store, "u", container="old") == []
        assert _delete(store, "u", container="new") == ["10.244.0.1"]
        assert _all(store) == []


def test_a_release_by_a_stranger_frees_nothing(tmp_path: Path) -> None:
    with _opened(tmp_path, FOUR) as store:
        _add(store, "u")
        for strange in ({"container": "x"}, {"ifname": "net1"}, {"network": "other"}):
            assert _delete(store, "u", **strange) == []
        assert _delete(store, "v", container="c-u") == []
        assert _all(store) == ["10.244.0.1"]


@pytest.mark.parametrize(("at_add", "at_del"), [("u", ""), ("", "u")])
def test_a_release_without_the_pod_uid_of_the_add_goes_by_the_container(
    tmp_path: Path, at_add: str, at_del: str
) -> None:
    with _opened(tmp_path, FOUR) as store:
        _add(store, at_add, container="c")
        assert _delete(store, at_del, container="x") == []
        assert _delete(store, at_del, container="c") == ["10.244.0.1"]


def test_dual_stack_is_held_and_freed_together_or_not_at_all(tmp_path: Path) -> None:
    with _opened(tmp_path, FOUR, SIX) as store:
        assert _add(store, "a") == ["10.244.0.1", "fd00:244::1"]
        assert _add(store, "b") == ["10.244.0.2", "fd00:244::2"]
        with pytest.raises(AllocationError, match="any IPv6 IP address"):
            _add(store, "c")
        assert len(_all(store)) == 4
        assert _delete(store, "a") == ["10.244.0.1", "fd00:244::1"]
        # The IPv4 address of the refused pod was not used up either.
        assert _add(store, "c") == ["10.244.0.3", "fd00:244::1"]


def test_releasing_a_pod_frees_all_its_interfaces_whoever_holds_them(tmp_path: Path) -> None:
    with _opened(tmp_path, pool("four", "10.244.0.1-10.244.0.9", default=True)) as store:
        for key in ({}, {"container": "new"}, {"ifname": "net1"}, {"network": "other"}):
            _add(store, "u", **key)
        _add(store, "v")
        assert _delete_pod(store, "u", network="other") == ["10.244.0.3"]
        assert _delete_pod(store, "", container="x") == []
        assert _delete_pod(store, "", container="new") == ["10.244.0.1", "10.244.0.2"]
        assert _delete_pod(store, "v") == ["10.244.0.4"]


def test_garbage_collection_frees_what_is_not_valid_in_its_network_only(tmp_path: Path) -> None:
    with _opened(tmp_path, pool("four", "10.244.0.1-10.244.0.9", default=True)) as store:
        for uid in ("a", "b", "c"):
            _add(store, uid)
        _add(store, "d", network="other")
        _add(store, "b", container="older")
        _add(store, "b", ifname="net1")
        assert _gc(store, "net", ("c-a", "eth0"), ("c-b", "eth0")) == ["10.244.0.3", "10.244.0.5"]
        assert _all(store) == ["10.244.0.1", "10.244.0.2", "10.244.0.4"]
        assert _gc(store, "net") == ["10.244.0.1", "10.244.0.2"]


def test_of_pods_with_one_name_the_containers_is_found_else_the_newest(tmp_path: Path) -> None:
    with _opened(tmp_path, FOUR) as store:
        _add(store, "old", podName="web-0")
        _add(store, "new", podName="web-0")
        for container, uid in (("c-old", "old"), ("c-new", "new"), ("", "new"), ("x", "new")):
            assert [held.pod_uid for held in store.held_by_pod("default", "web-0", container)] == [uid]
        assert [held.pod_uid for held in store.held_by_pod("", "", "c-old")] == ["old"]
        assert store.held_by_pod("default", "nobody", "c-old") == store.held_by_pod("", "", "x") == []


def test_what_is_held_and_the_order_of_what_was_freed_outlive_a_restart(tmp_path: Path) -> None:
    with _opened(tmp_path, FOUR) as store:
        for uid in ("a", "b"):
            _add(store, uid)
        _delete(store, "b")
        _delete(store, "a")
    with _opened(tmp_path, FOUR) as store:
        assert [_add(store, uid) for uid in ("c", "d", "e")] == [["10.244.0.3"], ["10.244.0.2"], ["10.244.0.1"]]


def test_a_manifest_may_change_in_any_way_between_two_starts(tmp_path: Path) -> None:
    with _opened(tmp_path, pool("four", "10.244.0.5-10.244.0.8", default=True)) as store:
        for uid in ("a", "b", "c", "d"):
            _add(store, uid)
        _delete(store, "a")  # .5
        _delete(store, "b")  # .6
    # Grown downwards, .6 and the held .7 excluded, and of another name.
    changed = pool("five", "10.244.0.4-10.244.0.8", excludeIPs=["10.244.0.6-10.244.0.7"], default=True)
    with _opened(tmp_path, changed) as store:
        assert _add(store, "c") == ["10.244.0.7"], "held outside of the ranges"
        assert [held.leases[0].pool for held in store.all_held()] == ["four", "four"]
        assert [_add(store, uid) for uid in ("e", "f")] == [["10.244.0.4"], ["10.244.0.5"]]
        with pytest.raises(AllocationError):
            _add(store, "g")
        _delete(store, "c")
        with pytest.raises(AllocationError):
            _add(store, "g")
    with _opened(tmp_path, pool("four", "10.244.0.5-10.244.0.9", default=True)) as store:
        assert [_add(store, uid) for uid in ("h", "i", "j")] == [["10.244.0.9"], ["10.244.0.6"], ["10.244.0.7"]]


def test_no_address_is_given_twice_when_pools_exchange_their_ranges(tmp_path: Path) -> None:
    with _opened(tmp_path, pool("a", "10.244.0.1", default=True), pool("b", "10.244.0.2")) as store:
        _add(store, "u")
    with _opened(tmp_path, pool("a", "10.244.0.2", default=True), pool("b", "10.244.0.1")) as store:
        assert _add(store, "v") == ["10.244.0.2"]
        with pytest.raises(AllocationError):
            _add(store, "w", defaultIPv4IPPool=["b"])


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    with _opened(tmp_path, FOUR):
        pass
    with closing(sqlite3.connect(tmp_path / "leases.db")) as database:
        database.execute("PRAGMA user_version = 2")
    with (
        pytest.raises(sqlite3.DatabaseError, match="schema version 2 is newer than this agent's, 1"),
        _opened(tmp_path, FOUR),
    ):
        pass


def test_the_database_is_in_wal_mode_and_fully_synchronous(tmp_path: Path) -> None:
    with _opened(tmp_path, FOUR) as store:
        assert store._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert store._db.execute("PRAGMA synchronous").fetchone() == (2,)


def _fill(file: Path, held: int) -> None:
    """Hold the first addresses of 10.0.0.0/8 for as many pods; by ADDs it would take minutes."""
    numbers = range(1, held + 1)
    with closing(sqlite3.connect(file)) as database, database:
        database.executemany(
            "INSERT INTO allocation VALUES (?1, 'pod ' || ?1, 'net', 'eth0', 'default', 'pod-' || ?1, ?1)",
            [(number,) for number in numbers],
        )
        database.executemany(
            "INSERT INTO lease VALUES (?2, ?1, 4, 8, 'four', NULL, 0, '[]')",
            [(number, f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}") for number in numbers],
        )
        database.executemany("INSERT INTO holder VALUES ('c-' || ?1, ?1)", [(number,) for number in numbers])


def _steps_of_an_add(store: LeaseStore, uid: str) -> int:
    """Count SQLite's virtual machine instructions."""
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    store._db.set_progress_handler(step, 1)
    _add(store, uid)
    store._db.set_progress_handler(None, 0)
    return steps


def _steps(folder: Path, held: int) -> tuple[int, int]:
    """Return the steps of an ADD of a never used address, and of one of a freed address, with so many held."""
    folder.mkdir()
    with _opened(folder, FOUR):
        pass
    _fill(folder / "leases.db", held)
    last = f"10.{held + 1 >> 16}.{held + 1 >> 8 & 255}.{held + 1 & 255}"
    six = pool("six", "fd00::-fd00::ffff:ffff:ffff:ffff", subnet="fd00::/64", default=True)
    with _opened(folder, pool("four", f"10.0.0.1-{last}", subnet="10.0.0.0/8", default=True), six) as store:
        never_used = _steps_of_an_add(store, "x")
        _delete(store, "x")
        return never_used, _steps_of_an_add(store, "y")


def test_an_add_with_100000_addresses_held_takes_as_many_sqlite_steps_as_with_100(
    tmp_path: Path, show: Callable[[str], None]
) -> None:
    few, many = _steps(tmp_path / "few", 100), _steps(tmp_path / "many", 100_000)
    show(f"SQLite VM steps of a dual-stack ADD (never used, freed address): 100 held {few}, 100,000 held {many}")
    for steps_few, steps_many in zip(few, many, strict=True):
        assert steps_many <= 1.2 * steps_few
