"""The limiter by itself, for programs that have no gateway."""

import math
from typing import Any, Final

from mantlet.core.clock import SYSTEM, Clock
from mantlet.core.ports import Charge, LimitStore, Taken

_CLIENT: Final = "library"
_GLOBAL: Final = ("global", "library")


class RateLimiter:
    """A client's window and a window for all, taken together over any `LimitStore`.

    In no true window are more admitted than allowed; a refusal in one window spends nothing in the other.
    Methods raise `StoreUnavailable` when the store gives no answer.

    >>> limiter = RateLimiter(MemoryLimits(SYSTEM), client_max_requests=100)
    >>> allowed, info = await limiter.check_rate_limit("alice")
    """

    def __init__(
        self,
        store: LimitStore,
        client_max_requests: int = 100,
        client_window_seconds: float = 60,
        global_max_requests: int = 1000,
        global_window_seconds: float = 60,
        *,
        clock: Clock = SYSTEM,
    ) -> None:
        if min(client_max_requests, global_max_requests) < 1 or min(client_window_seconds, global_window_seconds) < 0.2:
            raise ValueError("limits need at least 1 request and a window of at least 0.2 s")
        self._store = store
        self._client = (client_max_requests, float(client_window_seconds))
        self._all = Charge(_GLOBAL, global_max_requests, float(global_window_seconds), "global")
        self._wall = clock.wall

    async def check_rate_limit(self, client_id: str) -> tuple[bool, dict[str, Any]]:
        """Take one request. `info` has limit, remaining, reset (Unix time), retry_after (s) and global_limit_hit."""
        charges = (self._charge(client_id), self._all)
        taken = await self._store.take(charges)
        if taken.allowed:
            # The client's own numbers, whichever is tighter: that is what a client is told it has.
            if taken.tightest != 0:
                taken = await self._store.count(charges[0])
            return True, self._info(charges[0], taken, is_allowed=True, is_global=False)
        return False, self._info(charges[taken.refused], taken, is_allowed=False, is_global=taken.refused == 1)

    async def get_client_status(self, client_id: str) -> dict[str, Any]:
        """The same `info` without taking anything."""
        charge = self._charge(client_id)
        taken = await self._store.count(charge)
        return self._info(charge, taken, is_allowed=taken.allowed, is_global=False)

    async def reset_client_limit(self, client_id: str) -> bool:
        """Forget what the client used; gives whether there was anything."""
        return await self._store.reset((_CLIENT, client_id)) > 0

    def _charge(self, client_id: str) -> Charge:
        return Charge((_CLIENT, client_id), self._client[0], self._client[1])

    def _info(self, charge: Charge, taken: Taken, *, is_allowed: bool, is_global: bool) -> dict[str, Any]:
        wait_s = taken.reset_in_s or (0.0 if not is_allowed else charge.window_s)
        return {
            "limit": charge.limit,
            "remaining": taken.remaining,
            "reset": math.ceil(self._wall() + wait_s),
            "retry_after": 0 if is_allowed else max(1, math.ceil(taken.reset_in_s)),
            "global_limit_hit": is_global,
        }
