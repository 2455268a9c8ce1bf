"""The sessions kept with one legacy server: found by who asks, ended when they rest or when there are too many."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, Final

from mantlet.core.caller import Caller
from mantlet.core.clock import Clock
from mantlet.core.ports import Upstream
from mantlet.core.refusal import Overloaded
from mantlet.core.tasks import Tasks
from mantlet.upstreams.bridge.config import BridgeConfig
from mantlet.upstreams.bridge.to_legacy.feed import Feed
from mantlet.upstreams.bridge.to_legacy.places import Places
from mantlet.upstreams.bridge.to_legacy.session import Session
from mantlet.upstreams.room import Room
from mantlet.wire.mcp.bridge.to_legacy_requests import Wishes, session_key

MAX_PER_CALLER: Final = 100
"""Sessions of one principal: a client that says something new of itself each time ends only its own."""
MAX_ASKING_STREAMS: Final = 32
"""Sessions whose own stream is open only so that the server can ask there; each takes a connection to the server."""
MAX_REAP_S: Final = 30.0
CLOSE_S: Final = 5.0


class Sessions:
    """By principal, rights, and what the client says of itself; the one that was used longest ago comes first."""

    def __init__(self, inner: Upstream, config: BridgeConfig, places: Places, clock: Clock, tasks: Tasks) -> None:
        self._inner = inner
        self._config = config
        self._places = places
        self._clock = clock
        self._tasks = tasks
        self._by_key: OrderedDict[tuple[Any, ...], Session] = OrderedDict()
        self._by_caller: dict[tuple[str, str, str], OrderedDict[tuple[Any, ...], None]] = {}
        self._asking = Room(MAX_ASKING_STREAMS)
        self._is_reaping = False

    def __len__(self) -> int:
        return len(self._by_key)

    def get(self, caller: Caller, said: Wishes) -> Session:
        """The session for such a client, opened or not. Raises `Overloaded` when all that there may be are in use."""
        key = session_key(caller, said)
        session = self._by_key.get(key)
        if session is None:
            session = self._add(key, caller, said)
        else:
            self._by_key.move_to_end(key)
            self._by_caller[caller.key].move_to_end(key)
        session.used_at_s = self._clock.monotonic()
        return session

    def reap(self) -> None:
        """End the sessions that have rested for too long."""
        limit_s = self._clock.monotonic() - self._config.session_idle
        for key, session in list(self._by_key.items()):
            if not session.users and session.used_at_s <= limit_s:
                self._end(key, session)

    async def close(self) -> None:
        """End them all."""
        ends = [self._end(key, session) for key, session in list(self._by_key.items())]
        if telling := [end for end in ends if end is not None]:
            await asyncio.wait(telling, timeout=CLOSE_S)

    def _add(self, key: tuple[Any, ...], caller: Caller, said: Wishes) -> Session:
        mine = self._by_caller.get(caller.key, ())
        if len(mine) >= MAX_PER_CALLER:
            self._make_room(mine)
        if len(self._by_key) >= self._config.max_sessions:
            self._make_room(self._by_key)
        session = Session(self._inner, caller, said, self._clock, self._tasks)
        session.feed = Feed(session, self._places, self._asking, self._tasks)
        self._by_key[key] = session
        self._by_caller.setdefault(caller.key, OrderedDict())[key] = None
        if not self._is_reaping:
            self._is_reaping = True
            self._tasks.start(self._reap(), "bridge-reap")
        return session

    def _make_room(self, oldest_first: Iterable[tuple[Any, ...]]) -> None:
        resting = next((key for key in oldest_first if not self._by_key[key].users), None)
        if resting is None:
            raise Overloaded(why="every session with the server is in use (mcp.bridge.max_sessions)")
        self._end(resting, self._by_key[resting])

    def _end(self, key: tuple[Any, ...], session: Session) -> asyncio.Task[Any] | None:
        del self._by_key[key]
        mine = self._by_caller[session.caller.key]
        del mine[key]
        if not mine:
            del self._by_caller[session.caller.key]
        return session.end()

    async def _reap(self) -> None:
        while True:
            await asyncio.sleep(min(MAX_REAP_S, self._config.session_idle / 4))
            self.reap()
