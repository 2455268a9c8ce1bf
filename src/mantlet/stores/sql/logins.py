"""Logins: families of refresh tokens, each of which is spent once, on whichever node."""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from mantlet.stores.sql.database import Database, Transaction

KEPT_S: Final = 86_400.0
"""How long an ended login is still known: a spent token of it is then told from an invented one."""


class Row(msgspec.Struct, frozen=True):
    """A login as it is kept. `granted` is text of the asker's own, which is given back as it came."""

    id: str
    client_id: str
    tenant: str
    subject: str
    via: str
    granted: str
    number: int
    created_at_s: float
    used_at_s: float
    expires_at_s: float
    ended_at_s: float = 0.0


_FIELDS: Final = "id, client_id, tenant, subject, via, granted, number, created_at, used_at, expires_at, ended_at"
_INSERT: Final = f"INSERT INTO logins ({_FIELDS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"  # noqa: S608
_FIND: Final = f"SELECT {_FIELDS} FROM logins WHERE id = ?1"  # noqa: S608 - constants
_LIVE: Final = f"SELECT {_FIELDS} FROM logins WHERE ended_at = 0 ORDER BY created_at DESC, id"  # noqa: S608
_Decide = Callable[[Row | None], str]


class LoginRows:
    """Every method raises `StoreUnavailable`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, row: Row, max_logins: int) -> Sequence[str]:
        """Keep it, and end the oldest of the same user beyond `max_logins`; gives those."""
        async with self._database.transaction() as transaction:
            await transaction.alone(f"logins of {row.tenant}/{row.subject}")
            await transaction.run(
                "DELETE FROM logins WHERE expires_at < ?1 AND ended_at < ?1", row.created_at_s - KEPT_S
            )
            live = await transaction.rows(
                "SELECT id FROM logins WHERE tenant = ?1 AND subject = ?2 AND ended_at = 0"
                " ORDER BY created_at DESC, id",
                row.tenant,
                row.subject,
            )
            over = [found for (found,) in live][max_logins - 1 :]
            await _end(transaction, over, row.created_at_s)
            await transaction.run(_INSERT, *msgspec.structs.astuple(row))
        return over

    async def find(self, login_id: str) -> Row | None:
        """One of them, ended or not."""
        return _row(await self._database.rows(_FIND, login_id))

    async def all(self) -> list[Row]:
        """Those that go on, the newest first."""
        return [Row(*row) for row in await self._database.rows(_LIVE)]

    async def advance(self, login_id: str, decide: _Decide, now_s: float) -> str:
        """Ask `decide` about the row as it stands, and act: `next` counts on, `spent` ends it. Atomic."""
        async with self._database.transaction() as transaction:
            decision = decide(_row(await transaction.rows(_FIND + transaction.for_update, login_id)))
            if decision == "next":
                await transaction.run(
                    "UPDATE logins SET number = number + 1, used_at = ?2 WHERE id = ?1", login_id, now_s
                )
            elif decision == "spent":
                await _end(transaction, [login_id], now_s)
        return decision

    async def end(
        self, *, now_s: float, login_id: str, via: str, client_id: str, tenant: str, subject: str
    ) -> Sequence[str]:
        """End those that go on and that all the given words (those not empty) fit; with none given, none."""
        wanted = {"id": login_id, "via": via, "client_id": client_id, "tenant": tenant, "subject": subject}
        named = [(column, value) for column, value in wanted.items() if value]
        if not named:
            return []
        where = " AND ".join(f"{column} = ?{place}" for place, (column, _) in enumerate(named, 1))
        async with self._database.transaction() as transaction:
            found = await transaction.rows(
                f"SELECT id FROM logins WHERE ended_at = 0 AND {where}{transaction.for_update}",  # noqa: S608 - our columns
                *(value for _, value in named),
            )
            ids = [one for (one,) in found]
            await _end(transaction, ids, now_s)
        return ids


def _row(found: Sequence[tuple[object, ...]]) -> Row | None:
    return Row(*found[0]) if found else None  # type: ignore[arg-type]  # as the columns are


async def _end(transaction: Transaction, ids: Sequence[str], now_s: float) -> None:
    await transaction.many(
        "UPDATE logins SET ended_at = ?2 WHERE id = ?1 AND ended_at = 0", [(one, now_s) for one in sorted(ids)]
    )
