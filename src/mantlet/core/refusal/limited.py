"""More than is allowed."""

import math
from typing import Any

from mantlet.core.refusal.root import Refusal


class Blocked(Refusal):
    """The address is blocked."""

    reason, title, fault = "blocked", "Address blocked", "caller"
    holds = True


class RateLimited(Refusal):
    """More than a limit allows. `limit` and `remaining` are of the limit that refused; `reset_s` is Unix time."""

    reason, title, fault, retryable = "rate_limited", "Rate limit exceeded", "caller", True

    def __init__(
        self,
        *,
        name: str,
        limit: int,
        window_s: float,
        remaining: int,
        reset_s: float,
        retry_after_s: float,
        is_global: bool,
        holds: bool = False,
    ) -> None:
        super().__init__(why=f"limit {name}: {limit} per {window_s:g} s")
        self.name = name
        self.limit = limit
        self.window_s = window_s
        self.remaining = remaining
        self.reset_s = reset_s
        self.is_global = is_global
        self.holds = holds
        self._retry_after_s = retry_after_s

    @property
    def retry_after_s(self) -> float:
        """Whole seconds, never earlier than the reset (RATE-01)."""
        return max(1, math.ceil(self._retry_after_s))

    @property
    def data(self) -> Any:
        """The body that the product documents for a spent limit."""
        return {
            "error": self.title,
            "limit": self.limit,
            "remaining": self.remaining,
            "reset": math.ceil(self.reset_s),
            "retry_after": int(self.retry_after_s),
            "global_limit_hit": self.is_global,
        }
