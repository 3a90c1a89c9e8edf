"""The tables of the lease database, and how to open it. Side effect: the database file."""

import os
import sqlite3
from pathlib import Path

SCHEMA_VERSION = 1

_SCHEMA = f"""
BEGIN;
CREATE TABLE allocation (
    id INTEGER PRIMARY KEY,
    owner TEXT NOT NULL,  -- the pod, or the container where the request named no pod
    network TEXT NOT NULL,
    ifname TEXT NOT NULL,
    pod_namespace TEXT NOT NULL,
    pod_name TEXT NOT NULL,
    pod_uid TEXT NOT NULL,
    UNIQUE (owner, network, ifname)
);
CREATE INDEX allocation_by_pod_name ON allocation (pod_namespace, pod_name);
CREATE TABLE lease (
    address TEXT PRIMARY KEY,
    allocation INTEGER NOT NULL REFERENCES allocation ON DELETE CASCADE,
    version INTEGER NOT NULL,
    prefix_length INTEGER NOT NULL,
    pool TEXT NOT NULL,
    gateway TEXT,
    vlan INTEGER NOT NULL,
    routes TEXT NOT NULL,  -- JSON
    UNIQUE (allocation, version)
) WITHOUT ROWID;
CREATE TABLE holder (
    container_id TEXT NOT NULL,
    allocation INTEGER NOT NULL REFERENCES allocation ON DELETE CASCADE,
    PRIMARY KEY (container_id, allocation)
) WITHOUT ROWID;
CREATE INDEX holder_by_allocation ON holder (allocation);
CREATE TABLE freed (
    turn INTEGER PRIMARY KEY AUTOINCREMENT,
    address TEXT NOT NULL UNIQUE
);
PRAGMA user_version = {SCHEMA_VERSION};
COMMIT;
"""


def open_database(path: Path) -> sqlite3.Connection:
    """Open or create the database so that each commit is durable; raise sqlite3.Error and OSError."""
    # SQLite gives the files that it creates beside this one the same mode.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        _prepare(db)
    except BaseException:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection) -> None:
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        db.execute(f"PRAGMA {pragma}")
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise sqlite3.DatabaseError(f"schema version {version} is newer than this agent's, {SCHEMA_VERSION}")
    if not version:
        db.executescript(_SCHEMA)
