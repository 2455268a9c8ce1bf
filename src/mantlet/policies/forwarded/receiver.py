"""Opening what a node forwards: every check of it, in the order of what it costs."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

from mantlet.core.clock import Clock
from mantlet.core.refusal import InvalidCredential
from mantlet.wire import forwarded
from mantlet.wire.forwarded import Expected, Forwarded
from mantlet.wire.jws import Jws, parse

Digest = Callable[[], Awaitable[str]]
"""`forwarded.request_digest` of the request that brought a token. Asked when the token is authentic, and not before:
whoever sends a forged one must not have the body read."""


class Keys(Protocol):
    """The public keys of one node."""

    async def check(self, jws: Jws, /) -> None:
        """Return when the signature is by one of them. Raises `InvalidCredential`, or `Unavailable` when they are not
        at hand and cannot be had."""
        ...


class SignedOpener(Protocol):
    """Opens to something that is signed (`keys.forwarded.PrivateKeyOpener`)."""

    def open(self, token: bytes, /) -> Jws:
        """What is inside, not verified."""
        ...


class SharedOpener(Protocol):
    """Opens what only the node can have made (`keys.forwarded.SharedKeyOpener`)."""

    def open(self, token: bytes, /) -> Mapping[str, Any]:
        """The claims."""
        ...


class Used(Protocol):
    """Which sealed tokens have come already. Shared by all processes that take them."""

    async def first(self, jti: str, life_s: float, /) -> bool:
        """Whether nobody asked about `jti` within its life before. Raises `StoreUnavailable`."""
        ...


class Receiver:
    """One receiver of one node's word. Raises `InvalidCredential` for whatever is not exactly right."""

    def __init__(
        self,
        expected: Expected,
        clock: Clock,
        *,
        used: Used,
        keys: Keys | None = None,
        signed: SignedOpener | None = None,
        shared: SharedOpener | None = None,
    ) -> None:
        """`keys`: for exchanged tokens, and for sealed ones under a public key, which need `signed` too."""
        if signed is not None and keys is None:
            raise ValueError("what is sealed under a public key is signed by the node: its keys are needed")
        if keys is None and shared is None:
            raise ValueError("no key to check or open anything with")
        self.expected = expected
        self._clock, self._used = clock, used
        self._keys, self._signed, self._shared = keys, signed, shared

    async def exchanged(self, token: bytes) -> Forwarded:
        """Of a token that may come more than once: whoever reads it can use it, here, until it ends."""
        if self._keys is None:
            raise InvalidCredential("forwarded: no keys of the node are known here")
        jws = parse(token)
        if jws.type != forwarded.EXCHANGED:
            raise InvalidCredential("forwarded: typ is not at+jwt")
        found = forwarded.read(jws.claims, self.expected, self._clock.wall())
        await self._keys.check(jws)
        return found

    async def sealed(self, token: bytes, digest: Digest) -> Forwarded:
        """Of a token for one request, once (FWD-02)."""
        return await self.admit(await self.open(token), digest)

    async def open(self, token: bytes) -> Mapping[str, Any]:
        """The claims of a sealed token that this node made; whether they hold here and now, `admit` says."""
        if b"." not in token:
            if self._shared is None:
                raise InvalidCredential("sealed: no shared key here")
            return self._shared.open(token)
        if self._signed is None or self._keys is None:
            raise InvalidCredential("sealed: no private key here")
        jws = self._signed.open(token)
        if jws.claims.get("iss") != self.expected.issuer:
            raise InvalidCredential("sealed: by another node")
        await self._keys.check(jws)
        return jws.claims

    async def admit(self, claims: Mapping[str, Any], digest: Digest) -> Forwarded:
        """Whom `claims` stand for in this request, the first and only time."""
        found = forwarded.read(claims, self.expected, self._clock.wall())
        forwarded.check_request(claims, await digest())
        # Last: who sends it with another request, or too late, must not use it up for the one it was made for.
        if not await self._used.first(found.jti, forwarded.MAX_LIFE_S + 2 * forwarded.LEEWAY_S):
            raise InvalidCredential("forwarded: came before")
        return found


_SEALED_DOTS: Final = 4


def is_sealed(token: bytes) -> bool:
    """Whether it means to be sealed, however broken: a JWE in compact form, or Fernet."""
    return token.startswith(b"gAAAA") or token.count(b".") == _SEALED_DOTS
