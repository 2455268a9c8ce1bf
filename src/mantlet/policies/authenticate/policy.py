"""The step that says who is calling: on every request, also inside sessions and keep-alive connections (AUTHN-06)."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from urllib.parse import quote, urlsplit

from mantlet.core.api_key import id_of
from mantlet.core.call import Arrival, Reply
from mantlet.core.caller import Caller
from mantlet.core.certificate import PeerCertificate
from mantlet.core.clock import Clock
from mantlet.core.headers import Headers
from mantlet.core.record import Trail
from mantlet.core.refusal import AmbiguousCredentials, InvalidCredential, RateLimited, Unauthenticated
from mantlet.policies.authenticate.credential import check, has_misplaced, is_absent, take
from mantlet.policies.authenticate.failures import Failures, source_of
from mantlet.policies.authenticate.jwt import refuse_unread
from mantlet.policies.authenticate.mtls.provider import Mtls
from mantlet.policies.authenticate.provider import Provider
from mantlet.policies.authenticate.verified import Verified

WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"
REALM: Final = "mantlet"
_PLAIN: Final = f'Bearer realm="{REALM}"'
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
    ) -> None:
        self._providers = tuple(providers)
        self._clock = clock
        self._mtls = mtls
        self._verified = Verified(clock)
        self._by_address, self._by_credential = by_address, by_credential
        self._challenges = _challenges(public_url, published)
        # A path without a document of its own gets the first, that of the whole resource.
        self._challenge = next(iter(self._challenges.values()), _PLAIN)

    def __call__(self, arrival: Arrival, onward: Callable[[Arrival], Awaitable[Reply]], /) -> Awaitable[Reply]:
        """Authenticate `arrival` and pass it on."""
        if arrival.peer_certificate is None and (caller := self._known(arrival)) is not None:
            arrival.caller = caller
            return onward(arrival)
        return self._unknown(arrival, onward)

    async def _unknown(self, arrival: Arrival, onward: Callable[[Arrival], Awaitable[Reply]]) -> Reply:
        arrival.caller = await self.identify(arrival)
        return await onward(arrival)

    async def identify(self, arrival: Arrival) -> Caller:
        """Who sent `arrival`; for doors that authenticate once when they open.

        Raises `Unauthenticated`, `InvalidCredential`, `AmbiguousCredentials`, `RateLimited`, `StoreUnavailable`.
        """
        if arrival.peer_certificate is not None and self._mtls is not None:
            known = self._by_certificate(arrival, arrival.peer_certificate, self._mtls)
            if known is not None:
                note(arrival.trail, known)
                return known
        # A hit stands before the failure limit: a client that is already known gets in whatever its neighbours do.
        caller = self._known(arrival)
        if caller is None:
            credential = take(arrival.headers, arrival.query)
            check(credential)
            caller = await self._recognise(arrival, credential, Verified.digest(credential))
            note(arrival.trail, caller)
        return caller

    def _known(self, arrival: Arrival) -> Caller | None:
        """Whose credential it is, if that was found a moment ago."""
        headers, query = arrival.headers, arrival.query
        digest = Verified.digest(take(headers, query)) if query else headers.once(_digest)
        caller = self._verified.caller(digest)
        if caller is not None:
            note(arrival.trail, caller)
        return caller

    def is_current(self, caller: Caller) -> bool:
        """Whether `caller`'s credential still holds: asked every few seconds by long streams and open sockets."""
        if self._mtls is not None and (answer := self._mtls.is_current(caller)) is not None:
            return answer
        for provider in self._providers:
            if (answer := provider.is_current(caller)) is not None:
                return answer
        return False

    def look(self) -> None:
        """Take up what changed in files; call it every few seconds."""
        if self._mtls is not None:
            self._mtls.look()

    def forget(self) -> None:
        """Verify every credential anew; something was revoked."""
        self._verified.forget()

    def challenge(self, arrival: Arrival) -> str:
        """The text of `WWW-Authenticate` without an error code (AUTHN-04; RFC 6750 section 3, RFC 9728 section 5.1)."""
        # The documents describe what is called, at the door for calls; the admin door has none.
        if arrival.trail.door == "admin":
            return _PLAIN
        return self._challenges.get(arrival.path, self._challenge)

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

    async def _recognise(self, arrival: Arrival, credential: bytes, digest: bytes) -> Caller:
        source = source_of(arrival.peer)
        try:
            if (why := self._verified.why_refused(digest)) is not None:
                raise InvalidCredential(why)
            for provider in self._providers:
                if provider.is_costly:
                    self._check_source(source)
                caller = await provider.recognise(arrival, credential)
                if caller is not None:
                    self._verified.keep(digest, caller, fresh_s=provider.fresh_s, leeway_s=provider.leeway_s)
                    return caller
            refuse_unread(credential)
            raise InvalidCredential("no provider knows this credential")
        except InvalidCredential as refusal:
            self._verified.refuse(digest, refusal.why)
            self._count(source, credential, arrival.trail)
            raise

    def _check_source(self, source: str) -> None:
        if (wait := self._by_address.wait_s(source, self._clock.monotonic())) > 0:
            raise self._limited(self._by_address, wait, "authentication-address")

    def _count(self, source: str, credential: bytes, trail: Trail) -> None:
        now_s = self._clock.monotonic()
        wait = self._by_address.count(source, now_s)
        if wait > 0:
            raise self._limited(self._by_address, wait, "authentication-address") from None
        if (key_id := id_of(credential)) is not None:
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


def _digest(headers: Headers) -> bytes:
    return Verified.digest(take(headers, b""))


def _challenges(public_url: str, published: Sequence[str]) -> dict[str, str]:
    if not public_url:
        return {}
    parts = urlsplit(public_url)
    # RFC 9728 section 3.1: the well-known part stands between host and path.
    root = f"{parts.scheme}://{parts.netloc}{WELL_KNOWN}{parts.path.rstrip('/')}"
    return {path: f'{_PLAIN}, resource_metadata="{root}{quote(path, safe="/-._~")}"' for path in published}
