"""Tokens that were revoked before they expired: known here in memory, kept on disk, shared between nodes (TOK-10).

What one process revokes it writes to the database, which all processes that share it read every second, and to a
log in the shared store, which other nodes read every second. A log entry is claimed by its number, so writers never
overwrite each other. With the shared store down a node keeps to what it knows and to its own database: what others
revoke arrives when the store is back, and until then a token lives at most as long as it says (`stale_s` tells).

Nothing here is asked on the hot path: a token is looked up when it is verified, and when something new is revoked
the table of verified tokens is gone through once.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from mantlet.core.caller import Caller
from mantlet.core.clock import Clock
from mantlet.core.ports import State
from mantlet.core.revocation import LIFE_S, Revocation, RevocationStore

SYNC_S: Final = 1.0
MAX_KNOWN: Final = 100_000
"""About 500 bytes each. Beyond it the oldest go: revoke a subject instead of its tokens one by one."""
MAX_A_SYNC: Final = 1_000
_EPOCH: Final = ("revoked", "epoch")
_EPOCH_S: Final = 30 * 86_400.0

_decoder: Final = msgspec.msgpack.Decoder(Revocation)
_encoder: Final = msgspec.msgpack.Encoder()


class Revoked:
    """Everything runs on one loop. `changed` is called after something new became known."""

    def __init__(self, store: RevocationStore, state: State, clock: Clock, new_id: Callable[[], str]) -> None:
        self._store, self._state, self._clock, self._new_id = store, state, clock, new_id
        self._number = 0
        self._known: dict[str, Revocation] = {}
        self._tokens: dict[tuple[str, str], float] = {}
        self._subjects: dict[tuple[str, str, str], tuple[float, float]] = {}
        self._untold: list[Revocation] = []
        self._epoch, self._next = b"", 0
        self._heard_s = clock.monotonic()
        self.changed: Callable[[], None] = lambda: None

    async def open(self) -> None:
        """Take up what was revoked before. Raises `StoreUnavailable`."""
        await self._read()

    def has(self, caller: Caller, /) -> bool:
        """Whether the token that `caller` came with is revoked. Less than a microsecond while nothing is."""
        if not self._tokens and not self._subjects:
            return False
        jti = caller.credential_id
        if jti and ((caller.issuer, jti) in self._tokens or (caller.issuer, jti.rpartition(".")[0]) in self._tokens):
            return True
        found = self._subjects.get(caller.key)
        return found is not None and caller.issued_at_s <= found[0]

    async def revoke_tokens(self, issuer: str, values: Sequence[str]) -> None:
        """Revoke tokens by `jti`, or all of a login or key. Durable on return; raises `StoreUnavailable`."""
        await self._add([self._made(issuer, value) for value in values])

    @property
    def stale_s(self) -> float:
        """For how long nothing could be heard from other nodes; about a second when all is well."""
        return self._clock.monotonic() - self._heard_s

    def __len__(self) -> int:
        return len(self._known)

    async def sync(self) -> None:
        """Take what other processes and nodes revoked, and tell them what they may not know. Once every `SYNC_S`."""
        try:
            await self._read()
        finally:  # what one of them does not tell the other may
            await self._share()
        self._heard_s = self._clock.monotonic()

    def _made(self, issuer: str, value: str) -> Revocation:
        now_s = self._clock.wall()
        return Revocation(self._new_id(), "token", "", issuer, value, now_s, now_s + LIFE_S)

    async def _add(self, made: Sequence[Revocation]) -> None:
        await self._store.add(made, self._clock.wall())
        await self._read()

    async def _read(self) -> None:
        """What the database has and we do not: ours and our neighbours'. Whoever reads one first tells other nodes."""
        number, found = await self._store.since(self._number)
        self._number = max(self._number, number)  # another read may have been faster, and then knows more
        self._untold += self._take(found)

    def _take(self, found: Sequence[Revocation]) -> list[Revocation]:
        now_s = self._clock.wall()
        new = [one for one in found if one.id not in self._known and one.until_s > now_s]
        if not new:
            return []
        for one in new:
            self._known[one.id] = one
            if one.kind == "token":
                self._tokens[one.issuer, one.value] = one.until_s
            else:
                principal = (one.tenant, one.issuer, one.value)
                at_s, until_s = self._subjects.get(principal, (0.0, 0.0))
                self._subjects[principal] = (max(at_s, one.at_s), max(until_s, one.until_s))
        self._forget(now_s)
        self.changed()
        return new

    def _forget(self, now_s: float) -> None:
        over = [key for key, one in self._known.items() if one.until_s <= now_s]
        over += list(self._known)[: max(0, len(self._known) - len(over) - MAX_KNOWN)]
        for key in over:
            one = self._known.pop(key, None)
            if one is not None:
                if self._tokens.get((one.issuer, one.value), 0.0) <= one.until_s:
                    self._tokens.pop((one.issuer, one.value), None)
                if self._subjects.get((one.tenant, one.issuer, one.value), (0, 0))[1] <= one.until_s:
                    self._subjects.pop((one.tenant, one.issuer, one.value), None)

    async def _share(self) -> None:
        epoch = await self._state.claim(_EPOCH, self._new_id().encode(), _EPOCH_S)
        if epoch != self._epoch:
            # The store is new, or lost everything: what still counts is told again, by whoever knows it.
            self._epoch, self._next = epoch, int(await self._state.get(self._head(epoch)) or 0)
            self._next = await self._first(self._next)
            self._untold = list(self._known.values())
        heard = await self._hear()
        if heard:
            await self._store.add(heard, self._clock.wall())  # known again after a restart without the shared store
        while self._untold:
            one = self._untold[0]
            if one.until_s > self._clock.wall():
                raw = _encoder.encode(one)
                stands = await self._state.claim(self._entry(self._next), raw, LIFE_S)
                self._next += 1
                if stands != raw:
                    self._take([_decoder.decode(stands)])
                    continue
                await self._state.put(self._head(self._epoch), b"%d" % self._next, _EPOCH_S)
            self._untold.pop(0)

    async def _hear(self) -> list[Revocation]:
        heard: list[Revocation] = []
        while len(heard) < MAX_A_SYNC and (raw := await self._state.get(self._entry(self._next))) is not None:
            self._next += 1
            heard.append(_decoder.decode(raw))
        told = {one.id for one in heard}
        self._take(heard)
        self._untold = [one for one in self._untold if one.id not in told]
        return heard

    async def _first(self, head: int) -> int:
        """The oldest entry that stands: all live equally long, so those that do are the last before `head`."""
        low, high = 0, head
        while low < high:
            middle = (low + high) // 2
            if await self._state.get(self._entry(middle)) is None:
                low = middle + 1
            else:
                high = middle
        return low

    def _entry(self, number: int) -> tuple[str, ...]:
        return ("revoked", self._epoch.decode(), str(number))

    @staticmethod
    def _head(epoch: bytes) -> tuple[str, ...]:
        return ("revoked", epoch.decode(), "head")
