"""Bearer tokens of one issuer whose keys are at hand."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from typing import Final, Protocol

from mantlet.core.call import Arrival
from mantlet.core.caller import Caller
from mantlet.core.clock import Clock
from mantlet.core.refusal import InvalidCredential
from mantlet.policies.authenticate import claims
from mantlet.policies.authenticate.terms import terms_of
from mantlet.wire.jws import Jws, looks_like_token, parse

FRESH_S: Final = 60.0


class SignatureCheck(Protocol):
    """The keys of one issuer (`keys.ring.KeyRing`)."""

    def check(self, jws: Jws, /) -> object:
        """What names the key that made the signature; raises `InvalidCredential` when none of them did."""
        ...

    def names(self) -> Collection[str]:
        """What names the keys that are accepted now."""
        ...


class JwtProvider:
    """Signed access tokens. The keys were chosen with the issuer: no token has a say in it (TOK-03, TOK-06)."""

    is_costly = True

    def __init__(
        self,
        keys: SignatureCheck,
        expected: claims.Expectation,
        clock: Clock,
        fresh_s: float = FRESH_S,
        *,
        key_gives: Callable[[str, Caller], bool] = lambda key_id, caller: True,
        key_recall: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        """`key_gives` is asked whether an API key still has what a token got that was made of it, after
        `key_recall` has fetched what it answers from."""
        self._keys, self._expected, self._clock, self._key_gives = keys, expected, clock, key_gives
        self._key_recall = key_recall
        self.fresh_s = fresh_s
        self._terms = terms_of(expected)

    @property
    def leeway_s(self) -> float:
        """As configured."""
        return self._expected.leeway_s

    async def recognise(self, arrival: Arrival, credential: bytes, /) -> Caller | None:
        """The caller of a token of our issuer; None for what is no token, or another issuer's."""
        if not looks_like_token(credential):
            return None
        jws = parse(credential)
        if jws.claims.get("iss") != self._expected.issuer and self._expected.checks_issuer:
            return None
        claims.check_type(jws.type, jws.claims, self._expected)
        caller = claims.read(jws.claims, self._expected, self._clock.wall())
        # Last, though it decides: an expired or foreign token is refused without arithmetic. Nothing of `caller` is
        # used before this line returns.
        key = self._keys.check(jws)
        # The authorization server begins a `jti` with what the token came from: here, with the client itself.
        origin, dot, _ = caller.credential_id.rpartition(".")
        api_key = origin if dot and origin == jws.claims.get("client_id") else ""
        if api_key and self._key_recall is not None:
            await self._key_recall(api_key)
        if api_key and not self._key_gives(api_key, caller):
            raise InvalidCredential("token: the key that it came from does not give this any more")
        return replace(caller, vouched_by=f"{self._terms} {key} {api_key}")

    def is_current(self, caller: Caller, /) -> bool | None:
        """Whether the token has not expired, its key is still accepted, and tokens are held to what it was."""
        if caller.method != "jwt" or caller.issuer != self._expected.issuer:
            return None
        if caller.vouched_by:
            terms, key, api_key = caller.vouched_by.split(" ", 2)
            if terms != self._terms or key not in self._keys.names():
                return False
            if api_key and not self._key_gives(api_key, caller):
                return False
        return caller.expires_at_s is not None and self._clock.wall() < caller.expires_at_s


def refuse_unread(credential: bytes) -> None:
    """Say more of a token that no provider took; raises `InvalidCredential` for a malformed one."""
    if looks_like_token(credential):
        parse(credential)
        raise InvalidCredential("token: issuer")
