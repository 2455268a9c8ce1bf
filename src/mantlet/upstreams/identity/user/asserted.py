"""A grant that an enterprise gives for its people (draft-ietf-oauth-identity-assertion-authz-grant, "ID-JAG").

Nobody consents, and nothing is kept: the caller's own issuer, which the upstream's authorization server trusts as well,
is asked for an assertion about the caller for that server, and the server gives a token for it. The caller's token goes
back to whoever issued it, and to nobody else; the assertion goes to the one server it names.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, NamedTuple

from mantlet.core.caller import Caller
from mantlet.core.clock import Clock
from mantlet.core.headers import Headers
from mantlet.core.refusal import BadUpstream, Denied, InvalidCredential, IssuerUnavailable, Refusal
from mantlet.upstreams.identity.fields import AUTHORIZATION, About, bearer
from mantlet.upstreams.identity.once import Once
from mantlet.upstreams.identity.port import Field, Outgoing
from mantlet.upstreams.oauth import AuthorizationServer, Refused, Tokens
from mantlet.wire.forwarded import token_hash
from mantlet.wire.jws import parse

ID_JAG: Final = "urn:ietf:params:oauth:token-type:id-jag"
ID_JAG_TYPE: Final = "oauth-id-jag+jwt"
EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a type
MAX_HELD: Final = 4_096
"""Callers' credentials whose token is remembered, 2 KB each."""
LIFE_S: Final = 300.0
"""Of a token whose server names no end."""
KEPT_SHARE: Final = 0.5
"""As in `exchanged`."""
FORCED_S: Final = 30.0
"""As in `book`."""
_BEARER: Final = b"bearer "


class _Held(NamedTuple):
    token: str
    until_s: float
    forced_s: float


class Asserted:
    """`Identity` and `Renewable`. For one upstream, with its authorization server `server`; `idp` is the callers'."""

    def __init__(
        self,
        idp: AuthorizationServer,
        server: AuthorizationServer,
        about: About,
        clock: Clock,
        *,
        resource: str,
        scope: Sequence[str],
    ) -> None:
        self._idp, self._server, self._about, self._clock = idp, server, about, clock
        named = {"resource": resource} if resource else {}
        self._named = named | ({"scope": " ".join(scope)} if scope else {})
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._once: Once[_Held] = Once()

    async def __call__(self, caller: Caller, headers: Headers, _request: Outgoing, /) -> Sequence[Field]:
        """The fields for any request of this caller. Raises `Denied` for a caller of another issuer."""
        token = self._shown(caller, headers)
        held = self._held.get(key := token_hash(token))
        if held is None or self._clock.wall() >= held.until_s:
            held = await self._once.do(key, lambda: self._ask(key, caller, token, 0.0))
        return (bearer(held.token), *self._about.of(caller))

    async def renewed(self, caller: Caller, headers: Headers, refused: Sequence[Field], /) -> Sequence[Field] | None:
        """See `Renewable`."""
        token = self._shown(caller, headers)
        held, now_s = self._held.get(key := token_hash(token)), self._clock.wall()
        if held is not None and bearer(held.token) not in refused:
            return (bearer(held.token), *self._about.of(caller))  # somebody else was told no before us
        if held is not None and now_s < held.forced_s + FORCED_S:
            return None
        held = await self._once.do(key, lambda: self._ask(key, caller, token, now_s))
        return (bearer(held.token), *self._about.of(caller))

    async def close(self) -> None:
        """Ask nothing more."""
        await self._once.close()

    def _shown(self, caller: Caller, headers: Headers) -> bytes:
        if caller.issuer != self._idp.registration.issuer:
            raise Denied("This server takes callers of another issuer.", why="identity: a caller of another issuer")
        shown = headers.get(AUTHORIZATION) or b""
        if shown[:7].lower() != _BEARER or (caller.binding is not None and caller.binding.jkt):
            raise Denied("The caller's token cannot be exchanged.", why="identity: no bearer token came with the call")
        return shown[7:].strip()

    async def _ask(self, key: str, caller: Caller, token: bytes, forced_s: float) -> _Held:
        try:
            assertion = await self._assertion(token.decode("latin-1"))
            tokens = await self._server.ask({"grant_type": JWT_BEARER, "assertion": assertion, **self._named})
        except Refused as refusal:
            why = f"identity: no assertion, or no token for it: {refusal.error}"
            if refusal.error in ("invalid_client", "unauthorized_client", "unsupported_grant_type"):
                raise IssuerUnavailable(why=why) from refusal  # it speaks of this node, not of the caller
            raise Denied("The caller is given no access to this server.", why=why) from refusal
        except BadUpstream as error:
            raise IssuerUnavailable(why=error.why) from error
        held = _Held(tokens.access_token, self._until(tokens, caller), forced_s)
        self._held[key] = held
        self._held.move_to_end(key)
        if len(self._held) > MAX_HELD:
            self._held.popitem(last=False)
        return held

    async def _assertion(self, token: str) -> str:
        audience = self._server.registration.issuer
        form = {
            "grant_type": EXCHANGE,
            "requested_token_type": ID_JAG,
            "audience": audience,
            "subject_token": token,
            "subject_token_type": ACCESS_TOKEN,
            **self._named,
        }
        given = (await self._idp.ask(form, frozenset({ID_JAG}))).access_token
        check_assertion(
            given, issuer=self._idp.registration.issuer, audience=audience, client=self._server.registration.client_id
        )
        return given

    def _until(self, tokens: Tokens, caller: Caller) -> float:
        now_s = self._clock.wall()
        end_s = min(tokens.ends_s or now_s + LIFE_S, now_s + 2 * LIFE_S / KEPT_SHARE)
        if caller.expires_at_s is not None:
            end_s = min(end_s, caller.expires_at_s)
        if end_s <= now_s:
            raise InvalidCredential("identity: the caller's credential is over")
        return now_s + (end_s - now_s) * KEPT_SHARE


def check_assertion(assertion: str, *, issuer: str, audience: str, client: str) -> None:
    """Raise `BadUpstream` for what must not be handed to `audience`. Pure.

    Not verified: it came from the issuer itself, over TLS. Looked at, because what is for another server or another
    client would be good there, in the hands of whoever runs this one.
    """
    try:
        jws = parse(assertion.encode())
    except Refusal as refusal:
        raise BadUpstream(why=f"identity: the assertion: {refusal.why}") from refusal
    if jws.type != ID_JAG_TYPE:
        raise BadUpstream(why="identity: what was issued is no ID-JAG")
    claims = jws.claims
    if claims.get("iss") != issuer or claims.get("aud") not in (audience, [audience]):
        raise BadUpstream(why="identity: the assertion is another issuer's, or not for this server alone")
    if claims.get("client_id") != client:
        raise BadUpstream(why="identity: the assertion is for another client")
