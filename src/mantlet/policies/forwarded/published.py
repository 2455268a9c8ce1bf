"""A node's public keys as it publishes them: fetched when they are needed, and anew for a key that is not known."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from mantlet.core.clock import Clock
from mantlet.core.refusal import InvalidCredential, IssuerUnavailable, Refusal
from mantlet.core.tasks import Tasks
from mantlet.wire.jws import Jws

REFRESH_S: Final = 600.0
COOLDOWN_S: Final = 30.0
"""Between two fetches, whatever comes: a forger must not make us ask for every key that he thinks of."""
MAX_AGE_S: Final = 21_600.0
"""Older keys are not believed: what was taken back would live on with a node that cannot be reached."""


class Ring(Protocol):
    """`keys.ring.KeyRing`."""

    def check(self, jws: Jws, /) -> object:
        """Raises `InvalidCredential`."""
        ...


class PublishedKeys:
    """`Keys`. `fetch` gives the key set's bytes, `read` makes a ring of them; both may raise."""

    def __init__(self, fetch: Callable[[], Awaitable[bytes]], read: Callable[[bytes], Ring], clock: Clock) -> None:
        self._fetch, self._read, self._clock = fetch, read, clock
        self._ring: Ring | None = None
        self._read_s = self._asked_s = float("-inf")
        self._failure = ""
        self._asking: asyncio.Task[None] | None = None
        self._tasks = Tasks(lambda _error: None)  # whoever waits sees what became of it

    async def check(self, jws: Jws, /) -> None:
        """See `Keys`."""
        now_s = self._clock.monotonic()
        if self._ring is None or now_s - self._read_s > REFRESH_S:
            await self._ask()
        try:
            self._current().check(jws)
        except InvalidCredential:
            if not await self._ask():
                raise
            self._current().check(jws)

    async def close(self) -> None:
        """Ask nothing more."""
        await self._tasks.close()

    def _current(self) -> Ring:
        if self._ring is None or self._clock.monotonic() - self._read_s > MAX_AGE_S:
            raise IssuerUnavailable(why=f"the node's keys cannot be had: {self._failure}")
        return self._ring

    async def _ask(self) -> bool:
        """Whether the keys were asked for now; not while the last question is fresh."""
        if self._asking is None:
            if self._clock.monotonic() - self._asked_s < COOLDOWN_S:
                return False
            self._asked_s = self._clock.monotonic()
            self._asking = self._tasks.start(self._renew(), "forwarded.keys", tells_itself=True)
            self._asking.add_done_callback(self._settled)
        await asyncio.wait([self._asking])
        return True

    def _settled(self, task: "asyncio.Task[None]") -> None:
        self._asking = None
        if not task.cancelled():
            task.exception()

    async def _renew(self) -> None:
        try:
            self._ring = self._read(await self._fetch())
        except (Refusal, ValueError, OSError) as error:
            self._failure = error.why if isinstance(error, Refusal) else str(error)
            return  # the old ones hold on, until they are too old
        self._read_s = self._clock.monotonic()
