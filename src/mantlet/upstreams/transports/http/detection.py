"""Finding out which eras a server speaks: once, for all who ask at the same time.

The outcome belongs to the server and is kept until it is doubted (2026-07-28, basic/versioning). A failure is not kept;
half an outcome (the server answered one probe, and the other failed) is kept for a short while only.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from mantlet.core.call import Era
from mantlet.core.clock import Clock
from mantlet.core.refusal import BadUpstream, Refusal
from mantlet.core.tasks import Tasks
from mantlet.upstreams.transports.http.era import Found

DOUBTFUL_FOR_S: Final = 30.0

Probe = Callable[[], Awaitable[Found | None]]
"""Asks once. None: no conclusion; raises a `Refusal` when the server cannot be reached."""


class Detection:
    """The eras of one server. `discover` asks for the modern era, `initialize` for the legacy one."""

    def __init__(self, discover: Probe, initialize: Probe, clock: Clock) -> None:
        self._discover = discover
        self._initialize = initialize
        self._clock = clock
        self._tasks = Tasks(lambda error: None)  # the waiters have it
        self._waiters: set[asyncio.Future[Found]] = set()
        self._is_asking = False
        self._kept_until_s = float("inf")
        self.found: Found | None = None
        """The last outcome, for people; `current` is for decisions."""

    @property
    def current(self) -> Found | None:
        """What is known, unless it was doubtful and is old."""
        if self.found is not None and self._kept_until_s != float("inf"):
            return self.found if self._clock.monotonic() < self._kept_until_s else None
        return self.found

    def settle(self, eras: frozenset[Era], versions: tuple[str, ...]) -> None:
        """Take `eras` as given, and never ask."""
        self.found = Found(eras, versions)

    def forget(self) -> None:
        """Ask again at the next need."""
        self.found = None

    async def find(self) -> Found:
        """What the server speaks. All who ask meanwhile share one asking, and each may leave alone."""
        if (known := self.current) is not None:
            return known
        waiter: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        if not self._is_asking:  # also when all who asked have left: the asking goes on, and is bounded
            self._is_asking = True
            self._tasks.start(self._run(), "detect-era")
        self._waiters.add(waiter)
        try:
            return await waiter
        finally:
            self._waiters.discard(waiter)

    async def close(self) -> None:
        """Stop asking."""
        await self._tasks.close()
        self._tell(BadUpstream(why="closed"))

    async def _run(self) -> None:
        try:
            found, is_certain = await self._ask()
        except Refusal as error:
            self._tell(error)
        except BaseException:
            self._tell(BadUpstream(why="the asking broke off"))
            raise
        else:
            self.found = found
            self._kept_until_s = float("inf") if is_certain else self._clock.monotonic() + DOUBTFUL_FOR_S
            self._tell(found)

    def _tell(self, outcome: Found | Refusal) -> None:
        self._is_asking = False
        waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            if waiter.done():
                continue
            if isinstance(outcome, Found):
                waiter.set_result(outcome)
            else:
                waiter.set_exception(outcome)

    async def _ask(self) -> tuple[Found, bool]:
        modern = await self._discover()
        if modern is not None and "legacy" in modern.eras:
            return modern, True
        has_modern = modern is not None and bool(modern.eras)
        try:
            legacy = await self._initialize()
        except Refusal:
            if not has_modern:
                raise
            legacy = None
        found = Found(
            (modern.eras if modern else frozenset()) | (legacy.eras if legacy else frozenset()),
            (modern.versions if modern else ()) + (legacy.versions if legacy else ()),
        )
        if not found.eras:
            raise BadUpstream(
                why="it answers neither server/discover nor initialize as an MCP server over streamable HTTP does"
                " (one of the older HTTP+SSE needs transport: sse)"
            )
        return found, modern is not None and legacy is not None
