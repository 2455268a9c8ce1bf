"""API key records. What was found is kept in memory and brought up to date as others write; uses are written later.

A key that is in memory costs no look at the database, however often it is used. A database that does not answer leaves
those keys as they are for `changes.STALE_S`; then nothing is found any more: nobody is let in on what was once true.
"""

import asyncio
import json
from collections import OrderedDict
from typing import Any, Final

from mantlet.core.api_key import ApiKeyRecord
from mantlet.core.refusal import StoreUnavailable
from mantlet.stores.sql.changes import Changes, counted
from mantlet.stores.sql.database import Database

MAX_CACHED: Final = 20_000
"""Records in memory, some 700 bytes each."""
MAX_ABSENT: Final = 2_000
"""Ids known to be nobody's. Of their own, so that guessing drives out no record."""
MAX_TOUCHED: Final = 20_000
"""Uses noted and not yet written; beyond it the newest are dropped, which only makes a `last_used` older."""

MAX_WANTED: Final = 1_000
"""Keys to fetch for those who cannot wait. With more, they are refused."""

_NAMES: Final = ("id", "hash", "owner", "name", "tenant", "kind", "roles", "scopes", "created_at", "expires_at",
                 "last_used_at", "revoked_at", "verifier")  # fmt: skip
_FIELDS: Final = ", ".join(_NAMES)
_INSERT: Final = (
    f"INSERT INTO api_keys (changed, {_FIELDS}) VALUES ({', '.join(f'?{n}' for n in range(1, len(_NAMES) + 2))})"  # noqa: S608
)
_FIND: Final = f"SELECT {_FIELDS} FROM api_keys WHERE id = ?1"  # noqa: S608 - constants
_ALL: Final = f"SELECT {_FIELDS} FROM api_keys ORDER BY created_at, id"  # noqa: S608
_OF_TENANT: Final = f"SELECT {_FIELDS} FROM api_keys WHERE tenant = ?1 ORDER BY created_at, id"  # noqa: S608
_SINCE: Final = f"SELECT {_FIELDS} FROM api_keys WHERE changed > ?1"  # noqa: S608


class ApiKeys:
    """`core.api_key.ApiKeyStore`, and what the command line and the admin API need besides."""

    def __init__(self, database: Database, changes: Changes) -> None:
        self._database, self._changes = database, changes
        self._number: int | None = None
        self._known: OrderedDict[str, ApiKeyRecord] = OrderedDict()
        self._absent: OrderedDict[str, None] = OrderedDict()
        self._asked: dict[str, list[asyncio.Future[StoreUnavailable | None]]] = {}
        self._wanted: dict[str, None] = {}
        self._touched: dict[str, float] = {}
        changes.follow("api_keys", self._catch_up)

    async def create(self, record: ApiKeyRecord) -> None:
        """Keep a new record; an id that exists is an error, never an update. Raises `StoreUnavailable`, as all do."""
        async with self._database.transaction() as transaction:
            number = await counted(transaction, "api_keys")
            await transaction.run(_INSERT, number, *_row_of(record))
        self._forget(record.id)

    async def revoke(self, key_id: str, at_s: float) -> bool:
        """End a key for ever; False when there is no such key. The first revocation's time stands."""
        return await self._change("revoked_at = COALESCE(revoked_at, ?2)", key_id, at_s)

    async def expire(self, key_id: str, at_s: float) -> bool:
        """Let a key end at `at_s` unless it ends before; False when there is no such key."""
        earlier = "expires_at = CASE WHEN expires_at IS NULL OR expires_at > ?2 THEN ?2 ELSE expires_at END"
        return await self._change(earlier, key_id, at_s)

    async def list(self, tenant: str | None = None) -> list[ApiKeyRecord]:
        """All records, or a tenant's, oldest first."""
        query = self._database.rows(_ALL) if tenant is None else self._database.rows(_OF_TENANT, tenant)
        return [_record_of(row) for row in await query]

    async def find(self, key_id: str, /) -> ApiKeyRecord | None:
        """The record of `key_id`. Asked of the database once, for all who wait for it."""
        if not key_id.isascii() or not key_id.isprintable():
            return None  # no id of ours, and not every database takes such text
        while True:
            self._refuse_stale()
            if (record := self._standing(key_id)) is not None:
                return record
            if key_id in self._absent:
                return None
            waiting = self._asked.get(key_id)
            if waiting is None:
                return await self._ask(key_id)
            turn: asyncio.Future[StoreUnavailable | None] = asyncio.get_running_loop().create_future()
            waiting.append(turn)
            if (refusal := await turn) is not None:
                raise StoreUnavailable(why=refusal.why)

    def is_known(self, key_id: str, /) -> bool:
        """Whether `known` can tell. If not, the next look at the changes fetches it."""
        self._refuse_stale()
        if key_id in self._known or key_id in self._absent:
            return True
        if key_id not in self._wanted and len(self._wanted) >= MAX_WANTED:
            raise StoreUnavailable(why=f"api keys: {MAX_WANTED} are being fetched already")
        self._wanted[key_id] = None
        return False

    def known(self, key_id: str, /) -> ApiKeyRecord | None:
        """The record of a key that was found before, without waiting."""
        self._refuse_stale()
        if (record := self._standing(key_id)) is not None or key_id in self._absent:
            return record
        raise StoreUnavailable(why=f"api keys: {key_id} is not in memory")

    async def look(self) -> None:
        """Fetch what `is_known` was asked for. Every second, after the changes were looked at."""
        while self._wanted:
            key_id = next(iter(self._wanted))
            await self.find(key_id)
            self._wanted.pop(key_id, None)

    def touch(self, key_id: str, at_s: float, /) -> None:
        """Note a use in memory."""
        if key_id in self._touched or len(self._touched) < MAX_TOUCHED:
            self._touched[key_id] = at_s

    async def flush(self) -> None:
        """Write the noted uses: every few seconds, and once before closing."""
        touched, self._touched = self._touched, {}
        if not touched:
            return
        async with self._database.transaction() as transaction:
            await transaction.many(
                "UPDATE api_keys SET last_used_at = ?2 WHERE id = ?1 AND (last_used_at IS NULL OR last_used_at < ?2)",
                sorted(touched.items()),  # in one order everywhere: two who write never wait for each other
            )

    async def _change(self, what: str, key_id: str, at_s: float) -> bool:
        async with self._database.transaction() as transaction:
            number = await counted(transaction, "api_keys")
            statement = f"UPDATE api_keys SET changed = ?3, {what} WHERE id = ?1"  # noqa: S608 - constants
            changed = await transaction.run(statement, key_id, at_s, number)
        self._forget(key_id)
        return changed > 0

    async def _ask(self, key_id: str) -> ApiKeyRecord | None:
        waiting = self._asked[key_id] = []
        refused: StoreUnavailable | None = None
        number = self._number
        try:
            rows = await self._database.rows(_FIND, key_id)
            record = _record_of(rows[0]) if rows else None
            # What was read while others' writes were taken in may be older than they are: good for now, not to keep.
            if number == self._number:
                self._keep(key_id, record)
            return record
        except StoreUnavailable as refusal:
            refused = refusal
            raise
        finally:
            del self._asked[key_id]
            for turn in waiting:
                if not turn.done():
                    turn.set_result(refused)

    async def _catch_up(self, number: int) -> None:
        if self._number is None:  # what was found before the first look may have changed since
            self._known.clear()
            self._absent.clear()
        else:
            for row in await self._database.rows(_SINCE, self._number):
                record = _record_of(row)
                if record.id in self._known or record.id in self._absent:
                    self._keep(record.id, record)
        self._number = number

    def _keep(self, key_id: str, record: ApiKeyRecord | None) -> None:
        if record is None:
            self._absent[key_id] = None
            if len(self._absent) > MAX_ABSENT:
                self._absent.popitem(last=False)
            return
        self._absent.pop(key_id, None)
        self._known[key_id] = record
        if len(self._known) > MAX_CACHED:
            self._known.popitem(last=False)

    def _standing(self, key_id: str) -> ApiKeyRecord | None:
        record = self._known.get(key_id)
        if record is not None:
            self._known.move_to_end(key_id)
        return record

    def _forget(self, key_id: str) -> None:
        self._known.pop(key_id, None)
        self._absent.pop(key_id, None)

    def _refuse_stale(self) -> None:
        if not self._changes.is_fresh:
            raise StoreUnavailable(why=f"api keys: the database has not answered for {self._changes.stale_s:.0f} s")


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
        id=key_id,
        hash=key_hash,
        owner=owner,
        name=name,
        tenant=tenant,
        kind=kind,
        roles=frozenset(json.loads(roles)),
        scopes=frozenset(json.loads(scopes)),
        created_at_s=created,
        expires_at_s=expires,
        last_used_at_s=last_used,
        revoked_at_s=revoked,
        verifier=verifier,
    )
