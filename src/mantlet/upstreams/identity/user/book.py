"""The grants of all callers at one upstream: found, kept, refreshed in time, and ended.

One refresh for all who wait: in this process by a task that they share, among the processes of the node by a claim in
`State`. Who comes second finds the new tokens in the database. A refresh token that rotates is therefore spent once.

Staleness: a process uses a token that it has seen for `LOOK_S` without looking; a grant that is revoked elsewhere is
used no longer than that.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mantlet.core.caller import Caller
from mantlet.core.clock import Clock
from mantlet.core.ports import Sealer, State, StateKey
from mantlet.core.refusal import BadUpstream, ConsentRequired, IssuerUnavailable, Refusal, Unavailable
from mantlet.upstreams.identity.once import Once
from mantlet.upstreams.identity.user.kept import GrantKey, Kept, Row, Rows, seal, unseal
from mantlet.upstreams.oauth import AuthorizationServer, Refused, Tokens

MAX_HELD: Final = 4_096
"""Callers whose token a process remembers, 2 KB each; others are looked up again."""
LOOK_S: Final = 2.0
CLAIM_S: Final = 30.0
"""How long one process may take to refresh; then another tries."""
POLL_S: Final = 0.05
RETRY_S: Final = 5.0
"""After a refresh that failed for no fault of the grant, how long the old token is used before the next try."""
FORCED_S: Final = 30.0
"""Where the upstream refuses also what was got because it refused, the fault is not the token's age: so long, no other
is got for that reason."""

Tell = Callable[[str, GrantKey, str], None]
"""Told what became of a grant: the event, whose, and why."""
ENDED: Final = "grant.ended"
UNREADABLE: Final = "grant.unreadable"


@dataclass(slots=True)
class Held:
    """A token as this process knows it. Times are Unix seconds, but for `look_at_s`, which is monotonic."""

    token: str
    version: int
    refresh_at_s: float
    look_at_s: float
    consented_s: float
    """When its caller consented: another consent may be another account's."""
    forced_s: float
    """When it was got because the upstream refused the one before; 0: it was not."""


class GrantBook:
    """`identity.port.Grant`, for one upstream."""

    def __init__(
        self,
        upstream: str,
        server: AuthorizationServer,
        rows: Rows,
        sealer: Sealer,
        key_id: str,
        state: State,
        clock: Clock,
        *,
        refresh_before_s: float,
        life_s: float,
        resource: str,
        new_id: Callable[[], str],
        tell: Tell,
    ) -> None:
        self.upstream, self.server, self.resource = upstream, server, resource
        self._rows, self._sealer, self._key_id = rows, sealer, key_id
        self._state, self._clock = state, clock
        self._before_s, self._life_s, self._new_id, self._tell = refresh_before_s, life_s, new_id, tell
        self._held: OrderedDict[tuple[str, str, str], Held] = OrderedDict()
        self._once: Once[Held] = Once()
        self._unreadable: set[tuple[GrantKey, int]] = set()

    async def token(self, caller: Caller, /) -> str:
        """A current access token of the caller's. Raises `ConsentRequired` when there is none."""
        return (await self._current(caller)).token

    async def consent(self, caller: Caller, /) -> str:
        """Names the consent that holds now: what was fetched by another is not this one's. Raises as `token`."""
        return repr((await self._current(caller)).consented_s)

    async def renewed(self, caller: Caller, refused: str, /) -> str | None:
        """Another token than `refused`, which the upstream did not take; None when a new one is no better.

        Raises `ConsentRequired` when there is none, `Refusal`s of the token endpoint.
        """
        held = self._held.get(caller.key)
        if held is not None and held.token == refused and self._clock.wall() < held.forced_s + FORCED_S:
            return None
        for _ in range(2):  # the first may be an asking that was under way, and knew nothing of the refusal
            held = await self._once.do(caller.key, lambda: self._find(caller.key, refused))
            if held.token != refused:
                return held.token
        return None

    async def keep(self, caller_key: tuple[str, str, str], tokens: Tokens) -> None:
        """The caller has consented, now: from here on these tokens are theirs. Durable on return."""
        key, now_s = self._key(caller_key), self._clock.wall()
        kept = self._kept(tokens, now_s)
        before = await self._rows.find(key)
        await self._rows.put(key, self._row(key, kept, 1 + (0 if before is None else before.version), now_s), None)
        self._held.pop(caller_key, None)

    async def close(self) -> None:
        """Ask nothing more."""
        await self._once.close()

    async def _current(self, caller: Caller) -> Held:
        held = self._held.get(caller.key)
        if held is not None and self._clock.monotonic() < held.look_at_s and self._clock.wall() < held.refresh_at_s:
            return held
        return await self._once.do(caller.key, lambda: self._find(caller.key, ""))

    async def _find(self, caller_key: tuple[str, str, str], refused: str) -> Held:
        key = self._key(caller_key)
        row, kept = await self._read(key)
        if self._is_good(row, kept, refused):
            return self._hold(caller_key, row, kept)
        try:
            row, kept = await self._refreshed(key, row, kept, refused)
        except ConsentRequired:
            self._held.pop(caller_key, None)
            raise
        except Refusal:
            # Not the grant's fault. What is still good serves on; the next try is a little later.
            if refused or (kept.ends_s and self._clock.wall() >= kept.ends_s):
                raise
            held = self._hold(caller_key, row, kept)
            held.refresh_at_s = self._clock.wall() + RETRY_S
            return held
        held = self._hold(caller_key, row, kept)
        if refused:
            held.forced_s = self._clock.wall()
        return held

    async def _read(self, key: GrantKey) -> tuple[Row, Kept]:
        """The grant as it stands. Raises `ConsentRequired` for one that is missing, unreadable, another's or old."""
        row = await self._rows.find(key)
        mine = self.server.registration
        if row is None:
            self._held.pop(key[1:], None)
            raise ConsentRequired(self.upstream)
        kept = unseal(row.sealed, key, row.server, self._sealer) if row.server == mine.issuer else None
        if kept is None and row.server == mine.issuer:
            self._tell_unreadable(key, row)
        if kept is None or kept.client_id != mine.client_id or self._clock.wall() >= kept.created_s + self._life_s:
            self._held.pop(key[1:], None)
            raise ConsentRequired(self.upstream, why=f"{self.upstream}: the grant is another server's, or too old")
        return row, kept

    def _tell_unreadable(self, key: GrantKey, row: Row) -> None:
        """Once for each, not with every call of a caller who has yet to consent anew."""
        if (key, row.version) not in self._unreadable and len(self._unreadable) < MAX_HELD:
            self._unreadable.add((key, row.version))
            self._tell(UNREADABLE, key, "it was sealed for another row, or with another key")

    def _is_good(self, row: Row, kept: Kept, refused: str) -> bool:
        if refused:
            return kept.access_token != refused
        return not kept.ends_s or self._clock.wall() < self._refresh_at(row, kept)

    def _refresh_at(self, row: Row, kept: Kept) -> float:
        if not kept.ends_s:
            return kept.created_s + self._life_s
        if not kept.refresh_token:
            return kept.ends_s
        # Not more than half of its life: else one that lives shorter than `refresh_before` were refreshed every time.
        return kept.ends_s - min(self._before_s, (kept.ends_s - row.written_s) / 2)

    async def _refreshed(self, key: GrantKey, row: Row, kept: Kept, refused: str) -> tuple[Row, Kept]:
        """The grant after its refresh, by this process or by another."""
        place: StateKey = ("grants", "refresh", *key)
        until_s = self._clock.monotonic() + CLAIM_S
        while self._clock.monotonic() < until_s:
            mine = self._new_id().encode()
            if await self._state.claim(place, mine, CLAIM_S) == mine:
                try:
                    row, kept = await self._read(key)  # as it stands now that nobody else changes it
                    return (row, kept) if self._is_good(row, kept, refused) else await self._refresh(key, row, kept)
                finally:
                    if await self._state.get(place) == mine:
                        await self._state.drop(place)
            await asyncio.sleep(POLL_S)
            row, kept = await self._read(key)
            if self._is_good(row, kept, refused):
                return row, kept
        raise Unavailable(why="grants: another process takes too long to refresh")

    async def _refresh(self, key: GrantKey, row: Row, kept: Kept) -> tuple[Row, Kept]:
        if not kept.refresh_token:
            raise await self._ended(key, row, "the token is over, and there is none to refresh it with")
        form = {"grant_type": "refresh_token", "refresh_token": kept.refresh_token}
        if self.resource:
            form["resource"] = self.resource
        try:
            tokens = await self.server.ask(form)
        except BadUpstream as error:  # not the upstream's own: it must not count as its failure (RES-01)
            raise IssuerUnavailable(why=error.why) from error
        except Refused as refusal:
            if refusal.error != "invalid_grant":
                raise IssuerUnavailable(why=f"oauth: {self.upstream}: refresh refused: {refusal.error}") from refusal
            raise await self._ended(key, row, "its server gives no tokens for it any more") from refusal
        now_s = self._clock.wall()
        after = self._kept(tokens, now_s, kept)
        written = self._row(key, after, row.version + 1, now_s)
        if not await self._rows.put(key, written, row.version):
            # Revoked or consented to anew while we asked: what we hold now belongs to nobody.
            await self.server.revoke(after.refresh_token)
            raise ConsentRequired(self.upstream, why=f"{self.upstream}: the grant changed while it was refreshed")
        return written, after

    async def _ended(self, key: GrantKey, row: Row, why: str) -> ConsentRequired:
        if await self._rows.drop(key, row.version):
            self._tell(ENDED, key, why)
        return ConsentRequired(self.upstream, why=f"{self.upstream}: {why}")

    def _kept(self, tokens: Tokens, now_s: float, before: Kept | None = None) -> Kept:
        return Kept(
            tokens.access_token,
            tokens.refresh_token or ("" if before is None else before.refresh_token),
            tokens.ends_s,
            tokens.scope or ("" if before is None else before.scope),
            now_s if before is None else before.created_s,
            self.server.registration.client_id,
        )

    def _row(self, key: GrantKey, kept: Kept, version: int, now_s: float) -> Row:
        server = self.server.registration.issuer
        return Row(
            seal(kept, key, server, self._sealer), self._key_id, version, server, kept.scope, kept.created_s, now_s
        )

    def _hold(self, caller_key: tuple[str, str, str], row: Row, kept: Kept) -> Held:
        look_at_s = self._clock.monotonic() + LOOK_S
        before = self._held.get(caller_key)
        forced_s = 0.0 if before is None else before.forced_s
        held = Held(kept.access_token, row.version, self._refresh_at(row, kept), look_at_s, kept.created_s, forced_s)
        self._held[caller_key] = held
        self._held.move_to_end(caller_key)
        if len(self._held) > MAX_HELD:
            self._held.popitem(last=False)
        return held

    def _key(self, caller_key: tuple[str, str, str]) -> GrantKey:
        return GrantKey(self.upstream, *caller_key)
