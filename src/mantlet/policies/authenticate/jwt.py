"""Bearer tokens of one issuer whose keys are at hand."""

from typing import Final, Protocol

from mantlet.core.call import Arrival
from mantlet.core.caller import Caller
from mantlet.core.clock import Clock
from mantlet.core.refusal import InvalidCredential
from mantlet.policies.authenticate import claims
from mantlet.wire.jws import Jws, looks_like_token, parse

FRESH_S: Final = 60.0


class SignatureCheck(Protocol):
    """The keys of one issuer (`keys.ring.KeyRing`)."""

    def check(self, jws: Jws, /) -> None:
        """Return when the signature is by one of the keys; raises `InvalidCredential` else."""
        ...


class JwtProvider:
    """Signed access tokens. The keys were chosen with the issuer: no token has a say in it (TOK-03, TOK-06)."""

    is_costly = True

    def __init__(
        self, keys: SignatureCheck, expected: claims.Expectation, clock: Clock, fresh_s: float = FRESH_S
    ) -> None:
        self._keys, self._expected, self._clock = keys, expected, clock
        self.fresh_s = fresh_s

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
        self._keys.check(jws)
        return caller

    def is_current(self, caller: Caller, /) -> bool | None:
        """Whether the token has not expired."""
        if caller.method != "jwt" or caller.issuer != self._expected.issuer:
            return None
        return caller.expires_at_s is not None and self._clock.wall() < caller.expires_at_s


def refuse_unread(credential: bytes) -> None:
    """Say more of a token that no provider took; raises `InvalidCredential` for a malformed one."""
    if looks_like_token(credential):
        parse(credential)
        raise InvalidCredential("token: issuer")
