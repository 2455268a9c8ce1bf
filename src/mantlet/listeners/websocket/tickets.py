"""Tickets: how a browser, which can send no Authorization header, opens a WebSocket (AUTHN-03, AUTHN-10).

A page fetches one with its own credential and shows it once, from the same origin, within seconds. It is kept under its
hash, and what is kept is sealed: whoever reads or writes the store can neither use a ticket nor make one.
"""

import hashlib
import secrets
from collections.abc import Callable
from typing import Final

import msgspec

from mantlet.core.caller import Caller, CallerKind
from mantlet.core.ports import Sealer, State
from mantlet.core.refusal import InvalidCredential

TICKET_BYTES: Final = 24
_KEPT: Final = "websocket-ticket"
_USED: Final = "websocket-ticket-used"


class _Ticket(msgspec.Struct, array_like=True):
    """Whom a ticket stands for."""

    origin: str
    ends_at_s: float
    subject: str
    issuer: str
    method: str
    tenant: str
    kind: CallerKind
    roles: list[str]
    scopes: list[str]
    expires_at_s: float | None
    credential_id: str
    act: tuple[str, ...]
    issued_at_s: float = 0.0
    vouched_by: str = ""


_DECODER: Final = msgspec.msgpack.Decoder(_Ticket)


class Tickets:
    """Issued by one process, taken by any of the node."""

    def __init__(self, state: State, sealer: Sealer, wall: Callable[[], float], lifetime_s: float) -> None:
        self._state, self._sealer, self._wall, self._lifetime_s = state, sealer, wall, lifetime_s

    async def issue(self, caller: Caller, origin: bytes) -> str:
        """A new ticket for `caller`, good once and only from `origin`. Raises `StoreUnavailable`."""
        ticket = secrets.token_urlsafe(TICKET_BYTES)
        name = _name_of(ticket.encode())
        plain = msgspec.msgpack.encode(
            _Ticket(
                origin=origin.decode("latin-1"),
                ends_at_s=self._wall() + self._lifetime_s,
                subject=caller.subject,
                issuer=caller.issuer,
                method=caller.method,
                tenant=caller.tenant,
                kind=caller.kind,
                roles=sorted(caller.roles),
                scopes=sorted(caller.scopes),
                expires_at_s=caller.expires_at_s,
                credential_id=caller.credential_id,
                act=caller.act,
                issued_at_s=caller.issued_at_s,
                vouched_by=caller.vouched_by,
            )
        )
        await self._state.put((_KEPT, name), self._sealer.seal(plain, name.encode()).encode(), self._lifetime_s)
        return ticket

    async def take(self, ticket: bytes, origin: bytes) -> Caller:
        """Whom it stands for, the first time it is shown. Raises `InvalidCredential`, `StoreUnavailable`."""
        name = _name_of(ticket)
        kept = await self._state.get((_KEPT, name))
        plain = None if kept is None else self._sealer.open(kept.decode("latin-1"), name.encode())
        if plain is None:
            raise InvalidCredential("ticket: unknown or used")
        mine = secrets.token_bytes(16)
        # Before anything else is looked at: whoever shows it from elsewhere has spent it.
        if await self._state.claim((_USED, name), mine, 2 * self._lifetime_s) != mine:
            raise InvalidCredential("ticket: used")
        await self._state.drop((_KEPT, name))
        found = _DECODER.decode(plain)
        if self._wall() >= found.ends_at_s:
            raise InvalidCredential("ticket: expired")
        if found.origin != origin.decode("latin-1"):
            raise InvalidCredential("ticket: from another origin")
        return Caller(
            found.subject,
            found.issuer,
            found.method,
            tenant=found.tenant,
            kind=found.kind,
            roles=frozenset(found.roles),
            scopes=frozenset(found.scopes),
            expires_at_s=found.expires_at_s,
            credential_id=found.credential_id,
            act=found.act,
            issued_at_s=found.issued_at_s,
            vouched_by=found.vouched_by,
        )


def _name_of(ticket: bytes) -> str:
    return hashlib.sha256(ticket).hexdigest()
