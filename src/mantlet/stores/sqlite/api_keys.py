"""API key records in SQLite.

A lookup is one read by primary key (about 10 µs) at most every `STALENESS_S` per key and process: cheap enough to
stand in the event loop, where a thread would cost ten times more. It has a connection and a lock of its own, so that
it never waits for a write (WAL). Uses are collected and written by `flush`, off the hot path.
"""

import json
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from mantlet.core.api_key import ApiKeyRecord
from mantlet.core.refusal import StoreUnavailable
from mantlet.stores.sqlite.connection import connect, migrate

STALENESS_S: Final = 2.0
"""With what callers cache on top it must stay below 5 s, the time in which a revocation acts everywhere (TOK-10)."""
MAX_CACHED: Final = 10_000
MAX_TOUCHED: Final = 10_000
"""Uses noted and not yet written; beyond it the newest are dropped, which only makes a `last_used` older."""

_STEPS: Final = (
    """CREATE TABLE api_keys (
        id TEXT PRIMARY KEY, hash TEXT NOT NULL, owner TEXT NOT NULL, name TEXT NOT NULL, tenant TEXT NOT NULL,
        kind TEXT NOT NULL, roles TEXT NOT NULL, scopes TEXT NOT NULL, created_at REAL NOT NULL,
        expires_at REAL, last_used_at REAL, revoked_at REAL) WITHOUT ROWID""",
    "ALTER TABLE api_keys ADD COLUMN verifier TEXT NOT NULL DEFAULT ''",
)
_NAMES: Final = ("id", "hash", "owner", "name", "tenant", "kind", "roles", "scopes", "created_at", "expires_at",
                 "last_used_at", "revoked_at", "verifier")  # fmt: skip
_FIELDS: Final = ", ".join(_NAMES)
_INSERT: Final = f"INSERT INTO api_keys ({_FIELDS}) VALUES ({', '.join('?' * len(_NAMES))})"  # noqa: S608 - constants


class ApiKeys:
    """`core.api_key.ApiKeyStore`, and what the command line and the admin API need besides. For many threads.

    Every method raises `StoreUnavailable` when the database fails; none ever shows a database error to a caller.
    """

    def __init__(self, path: str | Path, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._reading, self._writing = threading.Lock(), threading.Lock()
        self._cache: OrderedDict[str, tuple[float, ApiKeyRecord | None]] = OrderedDict()
        self._touched: dict[str, float] = {}
        with _translated():
            self._writer = connect(path)
            migrate(self._writer, "api_keys", _STEPS)
            self._reader = connect(path)
            self._reader.execute("PRAGMA query_only=ON")

    def create(self, record: ApiKeyRecord) -> None:
        """Keep a new record; an id that exists is an error, never an update."""
        with self._writing, _translated():
            self._writer.execute(_INSERT, _row_of(record))
        self._forget(record.id)

    def revoke(self, key_id: str, at_s: float) -> bool:
        """End a key for ever; False when there is no such key. The first revocation's time stands."""
        with self._writing, _translated():
            changed = self._writer.execute(
                "UPDATE api_keys SET revoked_at = COALESCE(revoked_at, ?) WHERE id = ?", (at_s, key_id)
            ).rowcount
        self._forget(key_id)
        return changed > 0

    def expire(self, key_id: str, at_s: float) -> bool:
        """Let a key end at `at_s` unless it ends before; False when there is no such key."""
        with self._writing, _translated():
            changed = self._writer.execute(
                "UPDATE api_keys SET expires_at = MIN(COALESCE(expires_at, ?), ?) WHERE id = ?", (at_s, at_s, key_id)
            ).rowcount
        self._forget(key_id)
        return changed > 0

    def list(self, tenant: str | None = None) -> list[ApiKeyRecord]:
        """All records, or a tenant's, oldest first."""
        query = f"SELECT {_FIELDS} FROM api_keys WHERE ? IS NULL OR tenant = ? ORDER BY created_at, id"  # noqa: S608
        with self._reading, _translated():
            return [_record_of(row) for row in self._reader.execute(query, (tenant, tenant))]

    def find(self, key_id: str, /) -> ApiKeyRecord | None:
        """The record of `key_id`, at most `STALENESS_S` old."""
        now_s = self._monotonic()
        with self._reading:
            cached = self._cache.get(key_id)
            if cached is not None and now_s - cached[0] < STALENESS_S:
                return cached[1]
            query = f"SELECT {_FIELDS} FROM api_keys WHERE id = ?"  # noqa: S608 - a constant
            with _translated():
                row = self._reader.execute(query, (key_id,)).fetchone()
            record = None if row is None else _record_of(row)
            self._cache[key_id] = (now_s, record)
            self._cache.move_to_end(key_id)
            if len(self._cache) > MAX_CACHED:
                self._cache.popitem(last=False)
        return record

    def touch(self, key_id: str, at_s: float, /) -> None:
        """Note a use in memory."""
        if key_id in self._touched or len(self._touched) < MAX_TOUCHED:
            self._touched[key_id] = at_s

    def flush(self) -> None:
        """Write the noted uses. Blocks on the disk: for a thread, every few seconds, and once before closing."""
        touched, self._touched = self._touched, {}
        if not touched:
            return
        with self._writing, _translated():
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                self._writer.executemany(
                    "UPDATE api_keys SET last_used_at = MAX(COALESCE(last_used_at, 0), ?) WHERE id = ?",
                    [(at_s, key_id) for key_id, at_s in list(touched.items())],
                )
            except sqlite3.Error:
                self._writer.execute("ROLLBACK")
                raise
            self._writer.execute("COMMIT")

    def close(self) -> None:
        """Write what is noted, and let go of the file."""
        try:
            self.flush()
        finally:
            # A flush may still be on its way in a thread, and SQLite does not survive being closed under it.
            with self._reading, self._writing:
                self._reader.close()
                self._writer.close()

    def _forget(self, key_id: str) -> None:
        with self._reading:  # a find that began before the write must not put the old record back
            self._cache.pop(key_id, None)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreUnavailable(why=f"api keys: {error}") from error


def _row_of(record: ApiKeyRecord) -> tuple[Any, ...]:
    return (
        record.id,
        record.hash,
        record.owner,
        record.name,
        record.tenant,
        record.kind,
        json.dumps(sorted(record.roles)),
        json.dumps(sorted(record.scopes)),
        record.created_at_s,
        record.expires_at_s,
        record.last_used_at_s,
        record.revoked_at_s,
        record.verifier,
    )


def _record_of(row: tuple[Any, ...]) -> ApiKeyRecord:
    key_id, key_hash, owner, name, tenant, kind, roles, scopes, created, expires, last_used, revoked, verifier = row
    return ApiKeyRecord(
        key_id,
        key_hash,
        owner,
        name,
        tenant,
        kind,
        frozenset(json.loads(roles)),
        frozenset(json.loads(scopes)),
        created,
        expires,
        last_used,
        revoked,
        verifier=verifier,
    )
