"""The step that says who is calling: on every request, also inside sessions and keep-alive connections (AUTHN-06)."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final, TypeVar

from mantlet.core.api_key import id_of
from mantlet.core.call import Arrival, Reply
from mantlet.core.caller import Binding, Caller
from mantlet.core.certificate import PeerCertificate
from mantlet.core.clock import Clock
from mantlet.core.headers import Headers
from mantlet.core.key_proof import KeyProof
from mantlet.core.record import Trail
from mantlet.core.refusal import (
    AmbiguousCredentials,
    InsufficientScope,
    InvalidCredential,
    NonceRequired,
    RateLimited,
    Refusal,
    Unauthenticated,
)
from mantlet.policies.authenticate.api_keys import ApiKeyProvider
from mantlet.policies.authenticate.binding import Proofs, check_door, check_place, check_scheme
from mantlet.policies.authenticate.challenge import Challenges
from mantlet.policies.authenticate.credential import (
    AUTHORIZATION,
    DPOP,
    X_API_KEY,
    check,
    has_misplaced,
    is_absent,
    is_dpop,
    is_shown_as_key,
    take,
)
from mantlet.policies.authenticate.failures import Failures, source_of
from mantlet.policies.authenticate.issuers.provider import Issuers
from mantlet.policies.authenticate.jwt import refuse_unread
from mantlet.policies.authenticate.mtls.provider import Mtls
from mantlet.policies.authenticate.provider import Provider
from mantlet.policies.authenticate.revoked import Revoked
from mantlet.policies.authenticate.verified import Verified
from mantlet.wire.answer import DPOP_NONCE
from mantlet.wire.jws import looks_like_token

P = TypeVar("P")
_AS_KEY: Final = X_API_KEY + b" "
"""A scheme of its own: what is good there may be bad elsewhere, and the other way round."""

DISABLED: Final = Caller(
    "developer", "mantlet:disabled", "disabled", roles=frozenset({"admin"}), credential_id="authentication-disabled"
)
"""Who everybody is while `auth.enabled: false`, in development. Its name and method say so in every record."""


class Authenticate:
    """Puts the caller on the arrival, or refuses.

    Providers are asked in order; the first that knows the credential's kind decides, for good or bad (AUTHN-02).
    The table of verified credentials belongs to this object, hence to one configuration (TOK-09).
    `published` are the paths whose metadata the node serves, the most general first: challenges name no others.
    """

    def __init__(
        self,
        providers: Sequence[Provider],
        *,
        clock: Clock,
        public_url: str = "",
        published: Sequence[str] = (),
        by_address: Failures,
        by_credential: Failures,
        mtls: Mtls | None = None,
        proofs: Proofs | None = None,
        required_scopes: Mapping[str, frozenset[str]] | None = None,
        revoked: Revoked | None = None,
        prove: Callable[[KeyProof], Awaitable[Caller]] | None = None,
        recall: Callable[[Caller], Awaitable[None]] | None = None,
    ) -> None:
        """`required_scopes` are those that every token of an issuer must have; `prove` checks answers to challenges,
        `recall` fetches what `is_current` answers from."""
        self._providers = tuple(providers)
        self._clock = clock
        self._mtls = mtls
        self._verified = Verified(clock)
        self._by_address, self._by_credential = by_address, by_credential
        self._proofs = proofs
        self._prove_key = prove
        self._recall = recall
        self._revoked = revoked
        if revoked is not None:
            # At once, and only those: to verify all anew would be a flood of our own making.
            revoked.changed = partial(self._verified.drop, revoked.has)
        if (issuers := self.provider(Issuers)) is not None:
            # A token by a key that was withdrawn is not taken for as long as it was remembered.
            issuers.when_renewed(partial(self._verified.drop, lambda caller: issuers.is_current(caller) is False))
        self._required = {issuer: scopes for issuer, scopes in (required_scopes or {}).items() if scopes}
        algorithms = () if proofs is None else proofs.algorithms
        first_scopes = frozenset().union(*self._required.values())
        self.challenge = Challenges(public_url, published, first_scopes, algorithms).of

    def __call__(self, arrival: Arrival, onward: Callable[[Arrival], Awaitable[Reply]], /) -> Awaitable[Reply]:
        """Authenticate `arrival` and pass it on."""
        # What is bound is looked at on every request, even when its token is known.
        if (
            arrival.peer_certificate is None
            and arrival.proof is None
            and (caller := self._known(arrival)) is not None
            and caller.binding is None
        ):
            note(arrival.trail, caller)
            arrival.caller = caller
            return onward(arrival)
        return self._unknown(arrival, onward)

    async def _unknown(self, arrival: Arrival, onward: Callable[[Arrival], Awaitable[Reply]]) -> Reply:
        arrival.caller, nonce = await self._identify(arrival)
        reply = await onward(arrival)
        if nonce:
            # Told in good time, a client never has to try twice (RFC 9449 section 8.2).
            reply.headers = [*reply.headers, (DPOP_NONCE, nonce.encode()), (b"cache-control", b"no-store")]
        return reply

    async def identify(self, arrival: Arrival) -> Caller:
        """Who sent `arrival`; for doors that authenticate once when they open.

        Raises `Unauthenticated`, `InvalidCredential`, `AmbiguousCredentials`, `RateLimited`, `StoreUnavailable`.
        """
        return (await self._identify(arrival))[0]

    async def _identify(self, arrival: Arrival) -> tuple[Caller, str]:
        """The caller, and the nonce that its next proof shall have, if any."""
        if arrival.proof is not None:
            return await self._proved(arrival, arrival.proof), ""
        if arrival.peer_certificate is not None and self._mtls is not None:
            known = self._by_certificate(arrival, arrival.peer_certificate, self._mtls)
            if known is not None:
                note(arrival.trail, known)
                return known, ""
        # A hit stands before the failure limit: a client that is already known gets in whatever its neighbours do.
        caller = self._known(arrival)
        if caller is None:
            credential = take(arrival.headers, arrival.query)
            check(credential)
            digest = _digest(arrival.headers, credential)
            caller = await self._recognise(arrival, credential, digest, is_shown_as_key(arrival.headers))
        nonce = "" if caller.binding is None else await self._prove(arrival, caller.binding)
        note(arrival.trail, caller)
        return caller, nonce

    async def recognise(self, arrival: Arrival, credential: bytes) -> Caller:
        """Whose `credential` is, wherever `arrival` brought it: failures count as they do everywhere. Raises as above.

        For who asks for a credential in a form of its own; what the caller is bound to, but for the door, it must look
        at itself.
        """
        check(credential)
        digest = Verified.digest(credential)
        caller = self._verified.caller(digest) or await self._recognise(arrival, credential, digest)
        if caller.binding is not None:
            check_door(arrival, caller.binding)
        return caller

    def slowed(self, arrival: Arrival) -> str:
        """The source of a request that is going to be refused for its neighbours' failures; empty for all others.

        It is not decided here: this only tells beforehand what `_recognise` does with a token that nobody knows yet.
        """
        if not self._by_address.has_full:
            return ""
        source = source_of(arrival.peer)
        if not self._by_address.is_full(source, self._clock.monotonic()):
            return ""
        if arrival.proof is not None or arrival.peer_certificate is not None:
            return ""
        try:
            credential = take(arrival.headers, arrival.query)
            check(credential)
        except Refusal:
            return ""
        # What is cheap to check is always checked: the owner of a key gets in whatever its neighbours do (AUTHN-07).
        if not looks_like_token(credential):
            return ""
        return source if self._verified.caller(_digest(arrival.headers, credential)) is None else ""

    def _known(self, arrival: Arrival) -> Caller | None:
        """Whose credential it is, if that was found a moment ago."""
        headers, query = arrival.headers, arrival.query
        digest = _digest(headers, take(headers, query)) if query else headers.once(_digest_of)
        return self._verified.caller(digest)

    def is_current(self, caller: Caller) -> bool:
        """Whether `caller`'s credential still holds: asked every few seconds by long streams and open sockets."""
        if self._mtls is not None and (answer := self._mtls.is_current(caller)) is not None:
            return answer
        if self._revoked is not None and self._revoked.has(caller):
            return False
        for provider in self._providers:
            if (answer := provider.is_current(caller)) is not None:
                return answer
        return False

    async def recall(self, caller: Caller) -> None:
        """Before `is_current` of a caller whom another process, or an earlier one, recognised.

        Raises `StoreUnavailable`, `IssuerUnavailable`, `Overloaded`.
        """
        if self._recall is not None:
            await self._recall(caller)
        if (issuers := self.provider(Issuers)) is not None:
            await issuers.recall(caller)

    def provider(self, kind: type[P]) -> P | None:
        """The first provider of that kind, for who needs more of it than callers."""
        return next((one for one in self._providers if isinstance(one, kind)), None)

    def look(self) -> None:
        """Take up what changed in files; call it every few seconds."""
        if self._mtls is not None:
            self._mtls.look()

    def forget(self) -> None:
        """Verify every credential anew; something was revoked."""
        self._verified.forget()

    def _by_certificate(self, arrival: Arrival, certificate: PeerCertificate, mtls: Mtls) -> Caller | None:
        """The certificate's caller, when there is no token: a token says more precisely who calls, and one that is bad
        is not retried as something weaker. None leaves it to the token."""
        mtls.check(certificate)
        if not is_absent(arrival.headers):
            return None
        if has_misplaced(arrival.headers, arrival.query):
            raise AmbiguousCredentials(why="a client certificate, and a credential in query or cookie")
        caller = mtls.caller(certificate)
        if caller is None:
            raise Unauthenticated(why=f"the client certificate {certificate.serial} names no known caller")
        return caller

    async def _recognise(
        self, arrival: Arrival, credential: bytes, digest: bytes, is_shown_as_key: bool = False
    ) -> Caller:
        source = source_of(arrival.peer)
        try:
            self._verified.check(digest)
            for provider in self._providers:
                if is_shown_as_key and not isinstance(provider, ApiKeyProvider):
                    continue  # tokens stand in Authorization and nowhere else (AUTHN-03)
                if provider.is_costly:
                    self._check_source(source)
                caller = await provider.recognise(arrival, credential)
                if caller is not None:
                    if self._revoked is not None and self._revoked.has(caller):
                        raise InvalidCredential("token: revoked")
                    check_scheme(caller, has_proof=is_dpop(arrival.headers))
                    self._check_scopes(caller, arrival.trail)
                    self._verified.keep(digest, caller, fresh_s=provider.fresh_s, leeway_s=provider.leeway_s)
                    return caller
            refuse_unread(credential)
            raise InvalidCredential("no provider knows this credential")
        except InsufficientScope as refusal:
            self._verified.refuse(digest, refusal.why, refusal.scopes)
            raise
        except InvalidCredential as refusal:
            self._verified.refuse(digest, refusal.why)
            self._count(source, id_of(credential), arrival.trail)
            raise

    async def _proved(self, arrival: Arrival, proof: KeyProof) -> Caller:
        """Whose key it is. Nothing of it is remembered: a proof is good once."""
        if arrival.peer_certificate is not None and self._mtls is not None:
            self._mtls.check(arrival.peer_certificate)
        source = source_of(arrival.peer)
        self._check_source(source)
        try:
            if self._prove_key is None:
                raise InvalidCredential("no challenge is answered here")
            caller = await self._prove_key(proof)
            if self._revoked is not None and self._revoked.has(caller):
                raise InvalidCredential("api key: revoked")
            if caller.binding is not None:
                check_door(arrival, caller.binding)
        except InvalidCredential:
            self._count(source, proof.key_id, arrival.trail)
            raise
        note(arrival.trail, caller)
        return caller

    async def _prove(self, arrival: Arrival, binding: Binding) -> str:
        """Return when this request shows what its token is bound to: the nonce for the next proof, if it changes.

        A failure is the request's and not the token's: whoever stole a token cannot shut its holder out by bad proofs.
        """
        source = source_of(arrival.peer)
        try:
            check_place(arrival, binding)
            if binding.jkt:
                if self._proofs is None:
                    raise InvalidCredential("token: is bound to a key, and no proof is accepted here")
                self._check_source(source)
                return await self._proofs.check(arrival, binding.jkt)
            return ""
        except NonceRequired:
            # Every client lacks it once, and who signs with the key is no guesser: many behind one address would shut
            # one another out. A key that never listens is counted by itself.
            if (wait := self._by_credential.count(f"dpop:{binding.jkt}", self._clock.monotonic())) > 0:
                raise self._limited(self._by_credential, wait, "authentication-credential") from None
            raise
        except InvalidCredential:
            if (wait := self._by_address.count(source, self._clock.monotonic())) > 0:
                raise self._limited(self._by_address, wait, "authentication-address") from None
            raise

    def _check_scopes(self, caller: Caller, trail: Trail) -> None:
        required = self._required.get(caller.issuer)
        if required is not None and not required <= caller.scopes:
            note(trail, caller)
            raise InsufficientScope(required, why=f"the issuer's required scopes: {' '.join(sorted(required))}")

    def _check_source(self, source: str) -> None:
        if (wait := self._by_address.wait_s(source, self._clock.monotonic())) > 0:
            raise self._limited(self._by_address, wait, "authentication-address")

    def _count(self, source: str, key_id: str | None, trail: Trail) -> None:
        now_s = self._clock.monotonic()
        wait = self._by_address.count(source, now_s)
        if wait > 0:
            raise self._limited(self._by_address, wait, "authentication-address") from None
        if key_id is not None:
            trail.credential = key_id
            if (wait := self._by_credential.count(key_id, now_s)) > 0:
                raise self._limited(self._by_credential, wait, "authentication-credential") from None

    def _limited(self, failures: Failures, wait_s: float, name: str) -> RateLimited:
        return RateLimited(
            name=name,
            limit=failures.limit,
            window_s=failures.window_s,
            remaining=0,
            reset_s=self._clock.wall() + wait_s,
            retry_after_s=wait_s,
            is_global=False,
            holds=True,
        )


class Disabled:
    """Stands where `Authenticate` would while authentication is off. Cannot be made outside development by `open_`."""

    async def __call__(self, arrival: Arrival, onward: Callable[[Arrival], Awaitable[Reply]], /) -> Reply:
        """Take everybody for the developer."""
        arrival.caller = await self.identify(arrival)
        return await onward(arrival)

    async def identify(self, arrival: Arrival) -> Caller:
        """The developer."""
        note(arrival.trail, DISABLED)
        return DISABLED

    def is_current(self, caller: Caller) -> bool:
        """For the developer alone."""
        return caller == DISABLED

    async def recall(self, caller: Caller) -> None:
        """Nothing to recall."""

    def look(self) -> None:
        """Nothing to look at."""

    def forget(self) -> None:
        """Nothing to forget."""

    def challenge(self, arrival: Arrival) -> str:
        """Nobody is challenged."""
        return ""


def note(trail: Trail, caller: Caller) -> None:
    """Write into `trail` who it is."""
    trail.principal = caller.name
    trail.tenant = caller.tenant
    trail.credential = caller.credential_id
    trail.authentication = caller.method


def _digest_of(headers: Headers) -> bytes:
    credential, authorization = take(headers, b""), headers.get(AUTHORIZATION)
    if authorization is not None and authorization[0] | 0x20 != DPOP[0]:  # not empty: it has just been taken
        return Verified.digest(credential)  # two calls less than the line below, on every request
    return _digest(headers, credential)


def _digest(headers: Headers, credential: bytes) -> bytes:
    if is_shown_as_key(headers):
        return Verified.digest(credential, _AS_KEY)
    return Verified.digest(credential, DPOP if is_dpop(headers) else b"")
