"""Signed tokens of foreign issuers: keys, audience and meaning are chosen by `iss`, and by nothing else (TOK-06)."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from mantlet.core.call import Arrival
from mantlet.core.caller import Caller
from mantlet.core.clock import Clock
from mantlet.core.refusal import InvalidCredential, IssuerUnavailable
from mantlet.policies.authenticate.claims import Expectation, check_type
from mantlet.policies.authenticate.issuers.kept import Kept
from mantlet.policies.authenticate.issuers.mapping import Meaning, read
from mantlet.policies.authenticate.issuers.source import Learned
from mantlet.policies.authenticate.terms import terms_of
from mantlet.wire.jws import Jws, looks_like_token, parse

METHOD: Final = "jwt"
ID_JAG: Final = "oauth-id-jag+jwt"
FRESH_S: Final = 60.0


class Confirming(Protocol):
    """The issuer, asked whether a token that was verified here still holds."""

    async def confirm(self, credential: bytes, /) -> str:
        """A word for a token that does; raises when it does not."""
        ...

    def holds(self, name: str, caller: Caller, /) -> bool:
        """Whether the token of that word, which `caller` came with, does so still."""
        ...


@dataclass(frozen=True, slots=True)
class Issuer:
    """One issuer, ready to be asked."""

    name: str
    expected: Expectation
    meaning: Meaning
    learned: Kept[Learned]
    asked: Confirming | None = None
    fresh_s: float = FRESH_S
    terms: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "terms", terms_of(self.expected, self.meaning))


class Issuers:
    """Takes what is a JWS of one of its issuers. A token of one signed with another's key fails: keys have owners."""

    is_costly = True
    leeway_s = 0.0
    """Beyond its end a token is looked at anew with each call, with its own issuer's leeway."""

    def __init__(self, issuers: Mapping[str, Issuer], clock: Clock) -> None:
        """`issuers` by identifier."""
        self._issuers, self._clock = issuers, clock

    @property
    def fresh_s(self) -> float:
        """No longer than the keys that an answer rests on may be used (TOK-07)."""
        # Over all issuers, since an answer does not tell its own: those without keys gave none.
        bounds = [min(one.fresh_s, left) for one in self._issuers.values() if (left := one.learned.left_s)]
        return min(bounds, default=0.0)

    async def recognise(self, arrival: Arrival, credential: bytes, /) -> Caller | None:
        """The caller of a token of one of the issuers; None for what is no token, or another's."""
        if not looks_like_token(credential):
            return None
        jws = parse(credential)
        named = jws.claims.get("iss")
        issuer = self._issuers.get(named) if type(named) is str else None
        if issuer is None:
            return None
        check_type(jws.type, jws.claims, issuer.expected)
        caller = read(jws.claims, issuer.expected, issuer.meaning, self._clock.wall(), METHOD)
        # Last, though it decides: what is expired or for others is refused without keys and arithmetic. Nothing of
        # `caller` is used before the signature holds.
        key = await _check_signature(jws, issuer)
        asked = "" if issuer.asked is None else await issuer.asked.confirm(credential)
        return replace(caller, vouched_by=f"{issuer.terms}+{asked} {key}")

    @property
    def names(self) -> Collection[str]:
        """Of the entries in the configuration."""
        return {issuer.name for issuer in self._issuers.values()}

    async def asserted(
        self, assertion: bytes, /, *, by: Collection[str], audience: str
    ) -> tuple[Caller, Mapping[str, Any]]:
        """Whom an identity assertion for the authorization server `audience` is about, and all that it says
        (draft-ietf-oauth-identity-assertion-authz-grant). `by` are the entries whose assertions are taken.

        Whether it is shown for the first time, and by the client that it names, is for the asker to see.
        Raises `InvalidCredential`, `IssuerUnavailable`.
        """
        jws = parse(assertion)
        named = jws.claims.get("iss")
        issuer = self._issuers.get(named) if type(named) is str else None
        if issuer is None or issuer.name not in by:
            raise InvalidCredential("assertion: of no issuer that may make them")
        if jws.type != ID_JAG:
            raise InvalidCredential("assertion: typ is not oauth-id-jag+jwt")
        if jws.claims.get("aud") not in (audience, [audience]):
            raise InvalidCredential("assertion: audience")  # with another beside us, that one could show it here
        expected = replace(issuer.expected, audience=audience, parts={}, checks_audience=True, cuts_long=False)
        caller = read(jws.claims, expected, issuer.meaning, self._clock.wall(), METHOD)
        if caller.binding is not None:
            raise InvalidCredential("assertion: is bound to a key, and no proof is looked at")
        await _check_signature(jws, issuer)
        return caller, jws.claims

    def is_current(self, caller: Caller, /) -> bool | None:
        """Whether the token has not expired, its issuer still publishes its key, and its tokens mean what they meant.

        Keys that are too old to be used vouch for nobody, as for a new token (TOK-07).
        """
        if caller.method != METHOD or caller.issuer not in self._issuers:
            return None
        issuer = self._issuers[caller.issuer]
        if caller.vouched_by:
            word, _, key = caller.vouched_by.partition(" ")
            terms, _, asked = word.partition("+")
            learned = issuer.learned.standing
            if terms != issuer.terms or learned is None or learned.keys is None or key not in learned.keys.names():
                return False
            if issuer.asked is not None and not issuer.asked.holds(asked, caller):
                return False
        return caller.expires_at_s is not None and self._clock.wall() < caller.expires_at_s

    async def recall(self, caller: Caller, /) -> None:
        """Before `is_current` of a caller whom another process recognised: it may be the first of its issuer here.

        Raises `IssuerUnavailable`, `Overloaded`.
        """
        if caller.method == METHOD and (issuer := self._issuers.get(caller.issuer)) is not None:
            await issuer.learned.get()

    def when_renewed(self, act: Callable[[], object]) -> None:
        """Have `act` called whenever an issuer's keys were fetched anew: some may have been withdrawn."""
        for issuer in self._issuers.values():
            issuer.learned.renewed = act


async def _check_signature(jws: Jws, issuer: Issuer) -> str:
    """What names the issuer's key that made it; a key that is not known yet is asked for."""
    learned = await issuer.learned.get()
    if learned.keys is not None and not learned.keys.has(jws):
        learned = await issuer.learned.newer(learned)
    if learned.keys is None:
        raise IssuerUnavailable(why=f"{issuer.name}: has no keys")
    return learned.keys.check(jws)
