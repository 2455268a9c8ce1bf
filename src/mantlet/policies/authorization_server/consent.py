"""A page's way back: a sealed ticket in its form, tied to a cookie of the same browser, good once (OAUTH-04)."""

import secrets
from typing import Final, TypeVar

import msgspec

from mantlet.core.call import Arrival
from mantlet.core.caller import Caller
from mantlet.core.clock import Clock
from mantlet.core.ports import Sealer
from mantlet.core.refusal import GrantRefused, InvalidCredential
from mantlet.policies.authorization_server.clients import KEY
from mantlet.policies.authorization_server.pending import Pending
from mantlet.policies.away.port import Recognise

LIFE_S: Final = 600.0
_CONTEXT: Final = b"mantlet/oauth-consent/v1"
_SAME: Final = frozenset({b"same-origin", b"none"})
T = TypeVar("T", bound=msgspec.Struct)


class _Ticket(msgspec.Struct, frozen=True):
    nonce: str
    ends_at_s: float
    asked: bytes


class Consents:
    """Makes and takes tickets, and knows who consents. `is_secure` is whether browsers come by https."""

    def __init__(
        self, sealer: Sealer, pending: Pending, recognise: Recognise, clock: Clock, *, is_secure: bool, purpose: str
    ) -> None:
        self._sealer, self._pending, self._recognise, self._wall = sealer, pending, recognise, clock.wall
        self._context = _CONTEXT + purpose.encode()
        # `__Host-`: no other host, path or plain connection can set it (RFC 6265bis section 4.1.3.2).
        self._name = f"__Host-mantlet-{purpose}" if is_secure else f"mantlet-{purpose}"
        self._secure = "; Secure" if is_secure else ""

    def offer(self, asked: msgspec.Struct) -> tuple[str, str]:
        """A ticket for `asked` and the `Set-Cookie` without which it is worthless."""
        nonce = secrets.token_urlsafe(16)
        ticket = _Ticket(nonce, self._wall() + LIFE_S, msgspec.msgpack.encode(asked))
        sealed = self._sealer.seal(msgspec.msgpack.encode(ticket), self._context)
        return sealed, f"{self._name}={nonce}; Path=/; HttpOnly; SameSite=Strict; Max-Age={LIFE_S:.0f}{self._secure}"

    async def take(self, arrival: Arrival, sealed: str, kind: type[T]) -> T:
        """What the ticket was made for. Raises `GrantRefused` for one of another browser, spent, late or forged."""
        # Browsers say where a form was sent from; our own pages alone send these.
        if (arrival.headers.get(b"sec-fetch-site") or b"same-origin") not in _SAME:
            raise GrantRefused("access_denied", "This form was not sent from its own page.")
        plain = self._sealer.open(sealed, self._context)
        ticket = None if plain is None else msgspec.msgpack.decode(plain, type=_Ticket)
        if ticket is None or self._wall() >= ticket.ends_at_s or not self._has_cookie(arrival, ticket.nonce):
            raise GrantRefused("access_denied", "This page is too old or was opened in another browser. Begin again.")
        if not await self._pending.spend(f"ticket {ticket.nonce}", LIFE_S):
            raise GrantRefused("access_denied", "This page was answered already. Begin again.")
        return msgspec.msgpack.decode(ticket.asked, type=kind)

    async def user(self, arrival: Arrival, api_key: str | None) -> Caller | None:
        """Who consents; None when the key is not accepted. Failures count as everywhere (AUTHN-07)."""
        try:
            caller = await self._recognise(arrival, (api_key or "").strip().encode())
        except InvalidCredential:
            return None
        return caller if caller.method == KEY else None

    def _has_cookie(self, arrival: Arrival, nonce: str) -> bool:
        wanted = f"{self._name}={nonce}".encode()
        found = [pair.strip() for line in arrival.headers.all(b"cookie") for pair in line.split(b";")]
        return any(secrets.compare_digest(pair, wanted) for pair in found)
