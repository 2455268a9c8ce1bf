"""An upstream whose calls are made again where that is safe and helps.

Each time is a call of its own for whatever stands behind: a breaker that opens meanwhile ends it, and a probe of a
breaker is made once. All share the deadline of the first.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from mantlet.core.call import Call, Reply
from mantlet.core.clock import Clock
from mantlet.core.ports import Upstream
from mantlet.core.refusal import BadUpstream, BreakerOpen, EgressDenied, Refusal, UpstreamUnavailable
from mantlet.core.stream import aclose
from mantlet.upstreams.guarded.verdict import BUSY, is_answer, is_failed_reply
from mantlet.upstreams.retry.budget import Budget
from mantlet.upstreams.retry.config import RetryConfig
from mantlet.wire.mcp.rewriting import reissued, renamed, rewritten

Tried = set[str]
"""Names of the endpoints that were asked already."""
Elsewhere = Callable[[Call, Tried], Awaitable[Reply]]
"""Sends a call to an endpoint that was not asked yet, where there is one, and adds its name."""
Tell = Callable[[str], None]
"""Hears `again` for each time, and `budget` when there was none left."""

_count: Final = itertools.count(1)


def new_id(call: Call, why: str) -> str:
    """An id that no other request of the caller's session has."""
    return f"mantlet-{why}-{call.trail.request_id}-{next(_count):x}"


def under_new_id(call: Call, why: str) -> Call:
    """`call` as it is issued once more (MCP, "re-issue with a new id"); an HTTP request has none and is itself."""
    return call if call.id is None else reissued(call, new_id(call, why))


def as_first(reply: Reply, made: Call, call: Call) -> Reply:
    """The reply to `made` as one to `call`."""
    if made.id is None or call.id is None or made is call:
        return reply
    return rewritten(reply, renamed(made.id, call.id))


class Retried:
    """`inner`, tried again. `is_idempotent` says which calls may reach the server twice."""

    def __init__(
        self,
        inner: Upstream,
        config: RetryConfig,
        is_idempotent: Callable[[Call], bool],
        *,
        clock: Clock,
        chance: Callable[[], float],
        elsewhere: Elsewhere | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        tell: Tell = lambda what: None,
    ) -> None:
        self.inner = inner
        self._elsewhere = elsewhere
        self.budget = Budget(config.budget_percent)
        self._config = config
        self._is_idempotent = is_idempotent
        self._clock = clock
        self._chance = chance
        self._sleep = sleep
        self._tell = tell

    @property
    def name(self) -> str:
        """As configured."""
        return self.inner.name

    async def send(self, call: Call, /) -> Reply:
        """See the port. What is raised, or given, is what became of the last time that reached the server."""
        self.budget.called()
        tried: Tried = set()
        end: Reply | Refusal
        try:
            end = await (self.inner.send(call) if self._elsewhere is None else self._elsewhere(call, tried))
        except (UpstreamUnavailable, BadUpstream) as refusal:
            end = refusal
        else:
            if end.status not in BUSY:
                return end  # the usual way, without another coroutine
        return await self._again(call, end, tried)

    async def health(self) -> Mapping[str, Any]:
        """The server's, and what was made again."""
        told = {"again": self.budget.spent, "over_budget": self.budget.refused}
        return {**await self.inner.health(), "retries": told}

    async def _again(self, call: Call, end: Reply | Refusal, tried: Tried) -> Reply:
        made = call
        for before in range(self._config.max):
            wait_s = self._wait_s(call, end, before)
            if wait_s is None:
                break
            # Where nothing of it was sent its id is unused, and its bytes are as good as new.
            anew = made if isinstance(end, UpstreamUnavailable) else under_new_id(call, "retry")
            call.trail.notes["retries"] = str(before + 1)
            self._tell("again")
            try:
                await self._sleep(wait_s)
                again = await self._try(anew, tried)
            except BaseException:
                await _give_up(end)
                raise
            if isinstance(again, BreakerOpen):
                break  # what opened it says more than that it is open
            await _give_up(end)
            made, end = anew, again
        if isinstance(end, Refusal):
            raise end
        return as_first(end, made, call)

    async def _try(self, call: Call, tried: Tried) -> Reply | Refusal:
        try:
            return await (self.inner.send(call) if self._elsewhere is None else self._elsewhere(call, tried))
        except (UpstreamUnavailable, BadUpstream) as refusal:
            return refusal

    def _wait_s(self, call: Call, end: Reply | Refusal, before: int) -> float | None:
        """How long to wait before the next time; None when there is none."""
        if not may_again(end, is_idempotent=lambda: self._is_idempotent(call)) or call.arrival.incoming is not None:
            return None
        config = self._config
        longest_s = config.max_backoff_ms / 1000
        wait_s: float = min(longest_s, config.backoff_ms / 1000 * 2.0**before) * (0.5 + self._chance() / 2)
        if (asked_s := _asked_s(end)) is not None:
            if asked_s > longest_s:
                return None
            wait_s = max(wait_s, asked_s)
        if self._clock.monotonic() + wait_s >= call.deadline_s:
            return None
        if not self.budget.take():
            self._tell("budget")
            return None
        return wait_s


def may_again(end: Reply | Refusal, *, is_idempotent: Callable[[], bool]) -> bool:
    """Whether a call that ended so may be made again."""
    if isinstance(end, Reply):
        return end.status in BUSY and is_failed_reply(end) and is_idempotent()
    if isinstance(end, BreakerOpen | EgressDenied) or is_answer(end):
        return False
    return isinstance(end, UpstreamUnavailable) or is_idempotent()


def _asked_s(end: Reply | Refusal) -> float | None:
    """What the server's `Retry-After` asks for, in seconds; a date is taken as longer than anybody waits."""
    if not isinstance(end, Reply) or (after := end.header(b"retry-after")) is None:
        return None
    return float(after) if after.isdigit() and len(after) < 10 else float("inf")


async def _give_up(end: Reply | Refusal) -> None:
    if isinstance(end, Reply):
        await aclose(end.body)
