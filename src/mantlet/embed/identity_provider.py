"""Who holds a credential, for programs that ask it themselves."""

from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, Self

from mantlet.core.call import Arrival
from mantlet.core.caller import Caller
from mantlet.core.clock import SYSTEM
from mantlet.core.headers import Headers
from mantlet.core.record import Trail
from mantlet.core.refusal import InvalidCredential
from mantlet.embed.gateway.checked import checked
from mantlet.node.build.built import Node
from mantlet.node.build.root import build
from mantlet.node.shared import Shared

DOOR: Final = "library"
Fields = Mapping[str, str] | Iterable[tuple[bytes, bytes]]
"""A request's header fields: by name, or in pairs as ASGI has them, which show a field that came twice."""


class IdentityProvider:
    """API keys, JWTs, issuers and their keys, introspection, revocations: all that `auth` of an ordinary configuration
    says of callers, and that operators have stopped, without a gateway around it.

    >>> async with IdentityProvider({"auth": {"issuers": [...]}}) as identity:
    ...     caller = await identity.recognise(request.headers.raw, peer=request.client.host)

    It decides nothing but who calls, and writes no record of it. Raises `ConfigError` for a configuration that is not
    understood, or that its environment refuses.
    """

    def __init__(self, config: str | Path | Mapping[str, Any]) -> None:
        self._config = checked(config)
        self._opened = AsyncExitStack()
        self._node: Node | None = None

    async def __aenter__(self) -> Self:
        """Raises `ConfigError`, `ValueError` or `OSError` for what only opening can find."""
        config = self._config
        shared = Shared(config.store.full_url, config.http.workers)
        self._node = await self._opened.enter_async_context(build(config, shared))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._node = None
        await self._opened.aclose()

    async def recognise(self, headers: Fields, *, peer: str, method: str = "GET", path: str = "/") -> Caller:
        """Who sent a request with these fields. `peer` is its address: whoever guesses there is slowed down; `method`
        and `path` are what a proof of possession (DPoP) was made for.

        Raises what `mantlet.core.refusal` has for it: `Unauthenticated` without a credential, `InvalidCredential`,
        `AmbiguousCredentials`, `RateLimited`, `IssuerUnavailable`, `StoreUnavailable`. None of these texts says more
        than a stranger may know; their `why` is for the log.
        """
        node = self._opened_node()
        arrival = Arrival(
            verb=method,
            path=path,
            query=b"",
            headers=Headers(_pairs(headers)),
            peer=peer,
            read=_nothing,
            deadline_s=SYSTEM.monotonic() + self._config.http.request_timeout,
            trail=Trail(node.new_id(), DOOR, peer, SYSTEM.wall()),
            body=b"",
        )
        caller = await node.authenticate.identify(arrival)
        if not node.is_current(caller):
            raise InvalidCredential(why="an operator has stopped this caller")
        return caller

    def is_current(self, caller: Caller) -> bool:
        """Whether somebody recognised earlier would be now: neither expired, nor revoked, nor stopped. For what stays
        open, to be asked every few seconds; it waits for nothing."""
        return self._opened_node().is_current(caller)

    def _opened_node(self) -> Node:
        if self._node is None:
            raise RuntimeError("open it first: async with IdentityProvider(...)")
        return self._node


def _pairs(headers: Fields) -> list[tuple[bytes, bytes]]:
    if isinstance(headers, Mapping):
        return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    return [(bytes(name).lower(), bytes(value)) for name, value in headers]


async def _nothing() -> bytes:
    return b""
