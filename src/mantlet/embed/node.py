"""One node whose word a program takes."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from mantlet.core.clock import SYSTEM, Clock
from mantlet.core.secret import Secret
from mantlet.embed.used import MemoryUsed
from mantlet.keys.forwarded import PrivateKeyOpener, SharedKeyOpener, read_recipient
from mantlet.keys.ring import published_ring
from mantlet.policies.forwarded.published import PublishedKeys
from mantlet.policies.forwarded.receiver import Receiver, Used, is_sealed
from mantlet.wire.forwarded import Expected, Forwarded, request_digest

ALGORITHMS: Final = ("Ed25519", "EdDSA", "ES256", "RS256")

Jwks = bytes | Callable[[], Awaitable[bytes]]
"""The node's key set (`/.well-known/jwks.json`): its bytes, or what fetches them."""


class Node:
    """What a program knows of the node before it, and opens what it forwards.

    `audience` is the program's own name, as the node has it (by default the URL it calls it by); `issuer` the node's.
    Exchanged tokens need `jwks`; sealed ones `jwks` and `private_key_files`, or `keys`, the keys that the node derived
    for this program; of each the newest first. `used` remembers which sealed tokens came (`MemoryUsed` by default:
    for one process).

    Raises `ConfigError` or `ValueError` for keys that cannot be used.
    """

    def __init__(
        self,
        *,
        issuer: str,
        audience: str,
        jwks: Jwks | None = None,
        private_key_files: Sequence[str] = (),
        keys: Sequence[str] = (),
        environment: str = "production",
        used: Used | None = None,
        clock: Clock = SYSTEM,
    ) -> None:
        self._receiver = Receiver(
            Expected(issuer, audience, environment),
            clock,
            used=used or MemoryUsed(clock.monotonic),
            keys=None if jwks is None else _published(jwks, issuer, clock),
            signed=_private(private_key_files),
            shared=SharedKeyOpener([Secret(key) for key in keys]) if keys else None,
        )

    async def open(
        self, token: bytes, *, method: str, target: bytes, body: Callable[[], Awaitable[bytes]]
    ) -> Forwarded:
        """Whom a request is for. `target` is path and query as they came; `body` is asked only for a sealed token that
        is the node's.

        Raises `mantlet.core.refusal.InvalidCredential`; its `why` is for the log, never for whoever sent it.
        """
        if not is_sealed(token):
            return await self._receiver.exchanged(token)

        async def digest() -> str:
            return request_digest(method.encode(), target, await body())

        return await self._receiver.sealed(token, digest)


async def open_forwarded(node: Node, authorization: str, *, method: str, target: str, body: bytes = b"") -> Forwarded:
    """`Node.open` for a request that is at hand as a whole: the value of `Authorization`, and what it is bound to.

    Raises as `Node.open`.
    """
    scheme, _, token = authorization.partition(" ")

    async def whole() -> bytes:
        return body

    value = token.strip().encode() if scheme.lower() == "bearer" else b""
    return await node.open(value, method=method, target=target.encode(), body=whole)


def _published(jwks: Jwks, issuer: str, clock: Clock) -> PublishedKeys:
    fetch = jwks if callable(jwks) else _given(jwks)
    return PublishedKeys(fetch, lambda body: published_ring(body, ALGORITHMS, issuer), clock)


def _given(jwks: bytes) -> Callable[[], Awaitable[bytes]]:
    published_ring(jwks, ALGORITHMS, "jwks")  # what is wrong with it shows now

    async def give() -> bytes:
        return jwks

    return give


def _private(files: Sequence[str]) -> PrivateKeyOpener | None:
    return PrivateKeyOpener([read_recipient(file, private=True) for file in files]) if files else None
