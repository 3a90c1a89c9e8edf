"""Keeps who holds which address in SQLite. Side effects: the database, and its lock while a call lasts.

Two tables decide everything: `lease` has the addresses that are held, and `freed` has those that were held once, in
the order of their release. Which addresses are free follows from both and from the pools' present ranges. This is
computed at the start and kept in memory, so that an ADD looks at one address and scans no table; the memory changes
only after a commit.

So a manifest may change between two starts in any way. A held address outside of the new ranges stays held until it is
released, a freed address keeps its place in the queue, and a new range counts as never used.

`lease.address` is the primary key, so that the database itself refuses to hold an address twice.
"""

import json
import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from cni.agent.allocator import FreeByPool, choose_leases, free_addresses, select_pools
from cni.agent.lease_schema import open_database
from cni.agent.leases import HeldInterface, Lease
from cni.agent.pools import Pool
from cni.contracts.agent_api import IpamAddArgs, IpamBatchDelArgs, IpamDelArgs, IpamGcArgs

_HELD = """
SELECT allocation.id, owner, network, ifname, pod_namespace, pod_name, pod_uid,
    (SELECT json_group_array(container_id) FROM holder WHERE holder.allocation = allocation.id),
    version, address, prefix_length, pool, gateway, vlan, routes
FROM allocation JOIN lease ON lease.allocation = allocation.id
"""
_HELD_BY_OWNER = _HELD + "WHERE owner = ? ORDER BY allocation.id, version"
_HELD_BY_POD_NAME = _HELD + "WHERE pod_namespace = ? AND pod_name = ? ORDER BY allocation.id, version"
_HELD_BY_CONTAINER = _HELD + "JOIN holder USING (allocation) WHERE container_id = ? ORDER BY allocation.id, version"
_HELD_BY_ANYBODY = _HELD + "ORDER BY allocation.id, version"

_HOLDERS = "SELECT container_id, ifname, id FROM holder JOIN allocation ON id = allocation "
# Two pod UIDs must not contradict each other. Where one side does not know it, the container ID is enough.
_HOLDERS_BY_CONTAINER = _HOLDERS + (
    "WHERE container_id = :containerID AND network = :network AND ifname = :ifName"
    " AND (pod_uid IN ('', :podUID) OR :podUID = '')"
)
_HOLDERS_BY_OWNER = _HOLDERS + "WHERE owner = :owner AND network = coalesce(:network, network)"
_HOLDERS_BY_OWNER_OF_CONTAINER = """
SELECT container_id, ifname, id FROM holder JOIN allocation ON id = allocation
WHERE network = coalesce(:network, network)
    AND owner IN (SELECT owner FROM holder JOIN allocation ON id = allocation WHERE container_id = :containerID)
"""
_HOLDERS_BY_NETWORK = _HOLDERS + "WHERE network = :network"


class LeaseStore:
    """The leases of one agent. Each change is one transaction, which is on disk when the method returns."""

    def __init__(self, path: Path, pools: Iterable[Pool]) -> None:
        """Open or create the database; raise sqlite3.Error."""
        self._pools = {pool.name: pool for pool in pools}
        self._lock = threading.Lock()
        self._db = open_database(path)
        self._free = self._read_free()

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._db.close()

    def allocate(self, args: IpamAddArgs) -> tuple[list[HeldInterface], list[str]]:
        """Hold addresses for an interface; return all that its pod holds, and the newly allocated addresses.

        Raise AllocationError and sqlite3.Error; the interface then holds nothing new.
        """
        owner = _owner(args["podUID"], args["containerID"])
        leases: list[Lease] = []
        with self._lock:
            with self._transaction():
                allocation = self._allocation_id(owner, args)
                if allocation is None:
                    leases = choose_leases(select_pools(self._pools, args), self._free, args)
                    allocation = self._insert_allocation(owner, args, leases)
                self._db.execute("INSERT OR IGNORE INTO holder VALUES (?, ?)", (args["containerID"], allocation))
                held = self._held(_HELD_BY_OWNER, owner)
            for lease in leases:
                self._free[lease.pool].take_first()
        return held, [lease.address for lease in leases]

    def release(self, args: IpamDelArgs) -> list[str]:
        """Remove a container from the holders of its interface; return the addresses that this frees."""
        return self._release(_HOLDERS_BY_CONTAINER, {"network": "", **args})

    def release_pod(self, args: IpamBatchDelArgs) -> list[str]:
        """Free what a pod holds, in all networks unless the request names one; return the freed addresses."""
        sql = _HOLDERS_BY_OWNER if args["podUID"] else _HOLDERS_BY_OWNER_OF_CONTAINER
        owner = _owner(args["podUID"], args["containerID"])
        return self._release(sql, {"network": None, **args, "owner": owner})

    def collect_garbage(self, args: IpamGcArgs) -> list[str]:
        """Release every attachment of a network that is not among the valid ones; return the freed addresses."""
        valid = {(attachment["containerID"], attachment["ifname"]) for attachment in args["validAttachments"]}
        return self._release(_HOLDERS_BY_NETWORK, {"network": args["network"]}, valid)

    def held_by_pod(self, pod_namespace: str, pod_name: str, container_id: str) -> list[HeldInterface]:
        """Return what a pod holds; without a pod name, what the container holds.

        Where several pods of this name hold addresses, it is the one of the container, else the newest one.
        """
        with self._lock:
            if pod_name:
                held = self._held(_HELD_BY_POD_NAME, pod_namespace, pod_name)
            else:
                held = self._held(_HELD_BY_CONTAINER, container_id)
        owners = [interface.owner for interface in held]
        owners += [interface.owner for interface in held if container_id in interface.container_ids]
        return [interface for interface in held if interface.owner == owners[-1]]

    def all_held(self) -> list[HeldInterface]:
        """Return every interface that holds addresses."""
        with self._lock:
            return self._held(_HELD_BY_ANYBODY)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Commit all changes that are made inside, or none of them."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _read_free(self) -> FreeByPool:
        held = self._db.execute("SELECT address FROM lease")
        freed = self._db.execute("SELECT address FROM freed ORDER BY turn")
        return free_addresses(
            self._pools.values(),
            (ip_address(address) for (address,) in held),
            [ip_address(address) for (address,) in freed],
        )

    def _allocation_id(self, owner: str, args: IpamAddArgs) -> int | None:
        key = (owner, args.get("network", ""), args["ifName"])
        sql = "SELECT id FROM allocation WHERE owner = ? AND network = ? AND ifname = ?"
        row = self._db.execute(sql, key).fetchone()
        return row[0] if row else None

    def _insert_allocation(self, owner: str, args: IpamAddArgs, leases: list[Lease]) -> int:
        pod = (args["podNamespace"], args["podName"], args["podUID"])
        allocation = self._db.execute(
            "INSERT INTO allocation (owner, network, ifname, pod_namespace, pod_name, pod_uid)"
            " VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
            (owner, args.get("network", ""), args["ifName"], *pod),
        ).fetchone()[0]
        for lease in leases:
            self._db.execute("DELETE FROM freed WHERE address = ?", (lease.address,))
            self._db.execute(
                "INSERT INTO lease (version, address, prefix_length, pool, gateway, vlan, routes, allocation)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*lease[:-1], json.dumps(lease.routes), allocation),
            )
        return int(allocation)

    def _release(self, sql: str, parameters: dict[str, Any], valid: Collection[tuple[str, str]] = ()) -> list[str]:
        """Remove the holders that the query finds and `valid` does not list; return the addresses that this frees."""
        with self._lock:
            with self._transaction():
                rows = self._db.execute(sql, parameters)
                gone = [
                    (container, allocation)
                    for container, ifname, allocation in rows
                    if (container, ifname) not in valid
                ]
                freed = self._remove_holders(gone)
            for address in freed:
                for free in self._free.values():
                    free.append(ip_address(address))
        return freed

    def _remove_holders(self, gone: list[tuple[str, int]]) -> list[str]:
        """Remove (container ID, allocation) pairs; return the addresses of allocations left without a holder."""
        freed: list[str] = []
        self._db.executemany("DELETE FROM holder WHERE container_id = ? AND allocation = ?", gone)
        for allocation in sorted({allocation for _, allocation in gone}):
            if self._db.execute("SELECT 1 FROM holder WHERE allocation = ?", (allocation,)).fetchone():
                continue
            rows = self._db.execute("SELECT address FROM lease WHERE allocation = ? ORDER BY version", (allocation,))
            freed += [address for (address,) in rows]
            self._db.execute("DELETE FROM allocation WHERE id = ?", (allocation,))
        self._db.executemany("INSERT INTO freed (address) VALUES (?)", [(address,) for address in freed])
        return freed

    def _held(self, sql: str, *parameters: str) -> list[HeldInterface]:
        rows = self._db.execute(sql, parameters)
        return [_held_interface(list(group)) for _, group in groupby(rows, key=itemgetter(0))]


def _owner(pod_uid: str, container_id: str) -> str:
    return f"pod {pod_uid}" if pod_uid else f"container {container_id}"


def _held_interface(rows: list[tuple[Any, ...]]) -> HeldInterface:
    _, owner, network, ifname, pod_namespace, pod_name, pod_uid, container_ids = rows[0][:8]
    leases = [Lease._make([*row[8:-1], json.loads(row[-1])]) for row in rows]
    return HeldInterface(owner, network, ifname, pod_namespace, pod_name, pod_uid, json.loads(container_ids), leases)
