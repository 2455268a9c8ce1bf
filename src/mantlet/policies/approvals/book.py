"""The requests, shared by all processes that share the store.

Every step that must happen once is a `claim` on a key of its own: who makes the request of a digest, what is decided,
who uses it. What is kept is sealed: whoever writes the store can neither change a request nor make a decision.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import msgspec

from mantlet.core.clock import Clock
from mantlet.core.ports import Sealer, StateKey
from mantlet.core.ports import State as Store
from mantlet.core.refusal import Overloaded, StoreUnavailable
from mantlet.policies.approvals.asked import Decision, Request, State, standing

MAX_OPEN: Final = 500
MAX_OPEN_PER_CALLER: Final = 20
"""Requests that nobody has decided: a human's attention is the thing that runs out."""
MAX_SHOWN: Final = 1_000
"""In the list, with those that are decided or over; beyond it the oldest of these are not shown any more."""
ID_BYTES: Final = 9
_INDEX: Final[StateKey] = ("approval", "rows")
_LOCK: Final[StateKey] = ("approval", "lock")
_LOCK_S: Final = 5.0
_TRIES: Final = 100
_PAUSE_S: Final = 0.02
T = TypeVar("T")


class Row(msgspec.Struct, frozen=True, array_like=True):
    """A request in the list. `until_s` is when it can no longer be decided."""

    id: str
    caller: str
    until_s: float
    is_decided: bool = False


_ROWS: Final = msgspec.json.Decoder(list[Row])


class Book:
    """All methods raise `StoreUnavailable`. Runs on one loop; any number of processes keep one book."""

    def __init__(self, store: Store, sealer: Sealer, clock: Clock, *, validity_s: float, timeout_s: float) -> None:
        self._store, self._sealer, self._wall = store, sealer, clock.wall
        self._validity_s = validity_s
        self._kept_s = timeout_s + 2 * validity_s
        self._decided: dict[str, asyncio.Event] = {}
        """For calls that wait in this process; as many as are held."""

    async def ask(self, make: Callable[[str], Request]) -> tuple[Request, bool]:
        """The request that stands for the same call, or a new one that `make` gives for an id; whether it is new.

        Raises `Overloaded` when too many wait.
        """
        wanted = make(secrets.token_urlsafe(ID_BYTES))
        of: StateKey = ("approval", "of", wanted.digest)
        for _ in range(3):
            found = await self._store.get(of)
            if found is not None:
                known = await self.get(found.decode("latin-1"))
                if known is not None and await self.state(known) not in ("expired", "used"):
                    return known, False
                await self._store.drop(of)
            await self._put("request", wanted.id, wanted)
            if await self._store.claim(of, wanted.id.encode(), self._kept_s) == wanted.id.encode():
                await self._listed(wanted, of)
                return wanted, True
            await self._store.drop(("approval", "request", wanted.id))
        raise StoreUnavailable(why="requests for the same call keep ending")

    async def get(self, request_id: str) -> Request | None:
        """The request of that id."""
        return await self._get("request", request_id, Request)

    async def decision(self, request: Request) -> Decision | None:
        """What was decided."""
        return await self._get("decision", request.id, Decision)

    async def state(self, request: Request) -> State:
        """How it stands."""
        decision = await self.decision(request)
        is_used = await self._store.get(("approval", "used", request.id)) is not None
        return standing(request, decision, is_used, self._wall())

    async def decide(self, request: Request, *, allows: bool, by: str, note: str) -> Decision:
        """Say yes or no; gives what then stands, which is what was said first."""
        now_s = self._wall()
        wanted = Decision(allows, by, now_s, now_s + self._validity_s, note)
        sealed = self._sealed("decision", request.id, wanted)
        stands = await self._store.claim(("approval", "decision", request.id), sealed, self._kept_s)
        waiting = self._decided.get(request.id)
        if waiting is not None:
            waiting.set()
        if stands == sealed:
            await self._change_rows(lambda rows: [_decided(row) if row.id == request.id else row for row in rows])
            return wanted
        return await self.decision(request) or wanted

    async def take(self, request: Request) -> bool:
        """Use the yes; True for one caller of this alone."""
        mark = secrets.token_bytes(16)
        return await self._store.claim(("approval", "used", request.id), mark, self._kept_s) == mark

    async def all(self) -> list[tuple[Request, State]]:
        """Those that are kept, the newest first."""
        rows = _ROWS.decode(await self._store.get(_INDEX) or b"[]")
        found = [await self.get(row.id) for row in reversed(rows)]
        return [(request, await self.state(request)) for request in found if request is not None]

    async def wait(self, request: Request, seconds: float) -> None:
        """Until it is decided in this process, but at most `seconds`: others may decide it too."""
        event = self._decided.setdefault(request.id, asyncio.Event())
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            pass
        finally:
            self._decided.pop(request.id, None)

    async def _listed(self, request: Request, of: StateKey) -> None:
        """Put it on the list, or take it back: attempts at the same call that come together take one place."""

        def add(rows: list[Row]) -> list[Row]:
            now_s = self._wall()
            is_open = [row for row in rows if not row.is_decided and row.until_s > now_s]
            theirs = sum(row.caller == request.caller for row in is_open)
            if len(is_open) >= MAX_OPEN or theirs >= MAX_OPEN_PER_CALLER:
                raise Overloaded(
                    "Too many calls wait for approval.", why=f"{len(is_open)} requests, {theirs} of the caller"
                )
            return [*rows, Row(request.id, request.caller, request.until_s)]

        try:
            await self._change_rows(add)
        except BaseException:
            await self._store.drop(of)
            await self._store.drop(("approval", "request", request.id))
            raise

    async def _change_rows(self, change: Callable[[list[Row]], list[Row]]) -> None:
        async with self._locked():
            rows = _ROWS.decode(await self._store.get(_INDEX) or b"[]")
            now_s = self._wall()
            rows = change([row for row in rows if row.until_s + self._validity_s > now_s])
            over = [row for row in rows if row.is_decided or row.until_s <= now_s]
            for row in over[: max(0, len(rows) - MAX_SHOWN)]:
                rows.remove(row)
            await self._store.put(_INDEX, msgspec.json.encode(rows), self._kept_s)

    @asynccontextmanager
    async def _locked(self) -> AsyncIterator[None]:
        mark = secrets.token_hex(8).encode()
        for _ in range(_TRIES):
            if await self._store.claim(_LOCK, mark, _LOCK_S) == mark:
                break
            await asyncio.sleep(_PAUSE_S)
        else:
            raise StoreUnavailable(why="the index of approvals is held by another process")
        try:
            yield
        finally:
            await self._store.drop(_LOCK)

    async def _put(self, kind: str, request_id: str, value: msgspec.Struct) -> None:
        await self._store.put(("approval", kind, request_id), self._sealed(kind, request_id, value), self._kept_s)

    async def _get(self, kind: str, request_id: str, shape: type[T]) -> T | None:
        sealed = await self._store.get(("approval", kind, request_id))
        if sealed is None:
            return None
        plain = self._sealer.open(sealed.decode("latin-1"), _context(kind, request_id))
        return None if plain is None else msgspec.msgpack.decode(plain, type=shape)

    def _sealed(self, kind: str, request_id: str, value: msgspec.Struct) -> bytes:
        return self._sealer.seal(msgspec.msgpack.encode(value), _context(kind, request_id)).encode()


def _context(kind: str, request_id: str) -> bytes:
    return f"approval:{kind}:{request_id}".encode()


def _decided(row: Row) -> Row:
    return Row(row.id, row.caller, row.until_s, is_decided=True)
