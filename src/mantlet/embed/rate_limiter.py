"""The limiter by itself, for programs that have no gateway."""

import asyncio
import math
import random
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from mantlet.core.clock import SYSTEM, Clock
from mantlet.core.ports import Charge, LimitStore, Taken
from mantlet.core.refusal import StoreUnavailable
from mantlet.embed.log import failed
from mantlet.stores.memory import MemoryLimits

if TYPE_CHECKING:
    from mantlet.stores.valkey.access import Access

_LIBRARY: Final = "library"
"""Before all names of ours: a store may be shared with a gateway, whose windows are others."""
_MIN_WINDOW_S: Final = 0.2


class RateLimiter:
    """A client's window and a window for all, taken together.

    `store` is a URL as `store.url` has it (`memory://`, `valkey://:password@host:6379/0`; docs/stores.md), or any
    `LimitStore`. In no true window are more admitted than allowed, by however many processes that share the store; a
    refusal in one window spends nothing in the other. Limiters with one `name` at one store count together, those with
    different names apart. While a shared store is gone each process goes on by itself with its part of the limits: tell
    by `sharers` how many there are. `on_store_failure` may say otherwise, as in the configuration; `access` holds what
    a log-in needs beside the URL.

    >>> async with RateLimiter("valkey://cache:6379/0", client_max_requests=100) as limiter:
    ...     allowed, info = await limiter.check_rate_limit("alice")

    What is in memory needs no `async with`. Raises `ValueError` for limits or a URL that cannot be.
    """

    def __init__(
        self,
        store: str | LimitStore = "memory://",
        client_max_requests: int = 100,
        client_window_seconds: float = 60,
        global_max_requests: int = 1000,
        global_window_seconds: float = 60,
        *,
        name: str = "default",
        sharers: int = 1,
        on_store_failure: Literal["local_share", "closed", "open"] = "local_share",
        access: "Access | None" = None,
        clock: Clock = SYSTEM,
    ) -> None:
        if min(client_max_requests, global_max_requests) < 1:
            raise ValueError("limits need at least 1 request")
        if min(client_window_seconds, global_window_seconds) < _MIN_WINDOW_S:
            raise ValueError(f"windows need at least {_MIN_WINDOW_S} s")
        if store == "memory://":
            store = MemoryLimits(clock)
        self._url = store if isinstance(store, str) else ""
        self._store = None if isinstance(store, str) else store
        self._client = (client_max_requests, float(client_window_seconds))
        self._name = name
        self._all = Charge(("global", _LIBRARY, name), global_max_requests, float(global_window_seconds), "global")
        self._sharers, self._on_store_failure, self._access = sharers, on_store_failure, access
        self._clock = clock
        self._opened = AsyncExitStack()
        self._opening = asyncio.Lock()

    async def __aenter__(self) -> Self:
        await self._ready()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of the store, if it was opened here."""
        if self._url:
            self._store = None
        await self._opened.aclose()

    @property
    def state(self) -> str:
        """`local` without a shared store; else `shared` while it is exact, `degraded` or `recovering` when the store is
        gone or just back (docs/stores.md)."""
        return str(getattr(self._store, "state", "local"))

    async def check_rate_limit(self, client_id: str) -> tuple[bool, dict[str, Any]]:
        """Take one request. `info` has limit, remaining, reset (Unix time), retry_after (s) and global_limit_hit.

        Raises `StoreUnavailable` only with `on_store_failure="closed"`.
        """
        store = self._store or await self._ready()
        charges = (self._charge(client_id), self._all)
        taken = await store.take(charges)
        if taken.allowed:
            # The client's own numbers, whichever is tighter: that is what a client is told it has.
            if taken.tightest != 0:
                with suppress(StoreUnavailable):  # it went in this very moment; what it admitted is admitted
                    taken = await store.count(charges[0])
            return True, self._info(charges[0], taken, is_allowed=True, is_global=False)
        return False, self._info(charges[taken.refused], taken, is_allowed=False, is_global=taken.refused == 1)

    async def get_client_status(self, client_id: str) -> dict[str, Any]:
        """The same `info` without taking anything."""
        store = self._store or await self._ready()
        charge = self._charge(client_id)
        taken = await store.count(charge)
        return self._info(charge, taken, is_allowed=taken.allowed, is_global=False)

    async def reset_client_limit(self, client_id: str) -> bool:
        """Forget what the client used; gives whether there was anything."""
        store = self._store or await self._ready()
        return await store.reset((_LIBRARY, self._name, client_id)) > 0

    async def _ready(self) -> LimitStore:
        async with self._opening:
            if self._store is None:
                from mantlet.stores.limits import open_limits  # what is in memory needs no client

                self._store = await self._opened.enter_async_context(
                    open_limits(
                        self._url,
                        self._access,
                        clock=self._clock,
                        chance=random.random,
                        on_error=failed,
                        on_failure=self._on_store_failure,
                        sharers=self._sharers,
                        group=f"{_LIBRARY} {self._name}",
                    )
                )
            return self._store

    def _charge(self, client_id: str) -> Charge:
        return Charge((_LIBRARY, self._name, client_id), self._client[0], self._client[1])

    def _info(self, charge: Charge, taken: Taken, *, is_allowed: bool, is_global: bool) -> dict[str, Any]:
        wait_s = taken.reset_in_s or (0.0 if not is_allowed else charge.window_s)
        return {
            "limit": charge.limit,
            "remaining": taken.remaining,
            "reset": math.ceil(self._clock.wall() + wait_s),
            "retry_after": 0 if is_allowed else max(1, math.ceil(taken.reset_in_s)),
            "global_limit_hit": is_global,
        }
