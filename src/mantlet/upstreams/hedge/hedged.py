"""An upstream whose slow reads are asked for once more; who answers last is told to stop."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

import msgspec

from mantlet.core.call import Call, Reply
from mantlet.core.ports import Upstream
from mantlet.core.refusal import Refusal
from mantlet.core.stream import aclose
from mantlet.core.tasks import Tasks
from mantlet.upstreams.guarded.verdict import BUSY
from mantlet.upstreams.hedge.config import HedgeConfig
from mantlet.upstreams.retry.budget import Budget
from mantlet.upstreams.retry.retried import Elsewhere, Tried, as_first, under_new_id
from mantlet.wire.mcp import calls


class Hedged:
    """`inner`; calls that `is_idempotent` knows are made up to `max` times more."""

    def __init__(
        self,
        inner: Upstream,
        config: HedgeConfig,
        is_idempotent: Callable[[Call], bool],
        tasks: Tasks,
        *,
        elsewhere: Elsewhere | None = None,
        tell: Callable[[str], None] = lambda what: None,
    ) -> None:
        self.inner = inner
        self._elsewhere = elsewhere
        self.budget = Budget(config.budget_percent)
        self._config = config
        self._is_idempotent = is_idempotent
        self._tasks = tasks
        self._tell = tell

    @property
    def name(self) -> str:
        """As configured."""
        return self.inner.name

    async def send(self, call: Call, /, tried: Tried | None = None) -> Reply:
        """See the port: the first answer, or the refusal of the first call where none brings one."""
        self.budget.called()
        asked: Tried = set() if tried is None else tried

        def send(made: Call) -> Awaitable[Reply]:
            return self.inner.send(made) if self._elsewhere is None else self._elsewhere(made, asked)

        if not self._is_idempotent(call):
            return await send(call)
        race = Race(call, self._tasks, send)
        try:
            race.start(call)
            for _ in range(self._config.max):
                if await race.ended(self._config.after_ms / 1000) or not self.budget.take():
                    break
                self._tell("hedged")
                race.start(under_new_id(call, "hedge"))
            while not await race.ended(None):
                pass
            return race.winner()
        finally:
            race.stop()

    async def health(self) -> Mapping[str, Any]:
        """The server's, and what was made twice."""
        return {**await self.inner.health(), "hedged": self.budget.spent}


class Race:
    """The same call several times. What is not the winner's is given up: the transport tells the server."""

    def __init__(self, call: Call, tasks: Tasks, send: Callable[[Call], Awaitable[Reply]]) -> None:
        self._call = call
        self._tasks = tasks
        self._send = send
        self._runners: dict[asyncio.Task[Reply | Refusal], Call] = {}
        self._won: asyncio.Task[Reply | Refusal] | None = None

    def start(self, made: Call) -> None:
        """One more."""
        self._runners[self._tasks.start(self._run(made), "hedge")] = made

    async def ended(self, timeout_s: float | None) -> bool:
        """Wait for an answer, or for the end of all; False when there is neither in time."""
        waiting = [runner for runner in self._runners if not runner.done()]
        if waiting:
            await asyncio.wait(waiting, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        good = [runner for runner in self._runners if runner.done() and _is_good(runner)]
        if good:
            self._won = good[0]
        return bool(good) or all(runner.done() for runner in self._runners)

    def winner(self) -> Reply:
        """The first answer; without one, what became of the first call."""
        won = self._won or next(iter(self._runners))
        self._won = won
        end = won.result()
        if isinstance(end, Refusal):
            raise end
        if len(self._runners) > 1:
            self._call.trail.notes["hedged"] = str(len(self._runners) - 1)
        return as_first(end, self._runners[won], self._call)

    def stop(self) -> None:
        """Give up what did not win."""
        for runner, made in self._runners.items():
            if runner is self._won:
                continue
            if not runner.done():
                runner.cancel()
                if made.era == "legacy" and made.session and self._won is not None:
                    self._tasks.start(self._tell_cancelled(made), "hedge.cancelled")
            elif not runner.cancelled() and runner.exception() is None and isinstance(end := runner.result(), Reply):
                self._tasks.start(aclose(end.body), "hedge.close")

    async def _tell_cancelled(self, made: Call) -> None:
        # To a legacy server a closed connection does not say that nobody waits (2025-11-25, "Cancellation").
        params = {"requestId": msgspec.json.decode(made.id or b"null"), "reason": "another answer came first"}
        with suppress(Refusal):
            await self._send(
                calls.notification(made, made.server, "notifications/cancelled", params, session=made.session)
            )

    async def _run(self, made: Call) -> Reply | Refusal:
        try:
            return await self._send(made)
        except Refusal as refusal:
            return refusal


def _is_good(runner: "asyncio.Task[Reply | Refusal]") -> bool:
    if runner.cancelled() or runner.exception() is not None:
        return False
    end = runner.result()
    return isinstance(end, Reply) and end.status not in BUSY
