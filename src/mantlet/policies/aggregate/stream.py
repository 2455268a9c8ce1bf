"""One session's merged stream: its servers are heard, and what they say is numbered, kept for a while and sent."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from mantlet.core.call import Call, Reply
from mantlet.core.policy import CallHandler
from mantlet.core.refusal import BadUpstream, InvalidJson, Refusal, SessionNotFound
from mantlet.policies.aggregate import asked
from mantlet.policies.aggregate.behind import Behind, BehindSessions
from mantlet.policies.aggregate.changes import CHANGED, Changes
from mantlet.policies.aggregate.listen import Changed
from mantlet.policies.aggregate.merged import MAX_LIFE_S
from mantlet.policies.aggregate.replay import Point, Replay
from mantlet.policies.aggregate.session import Session
from mantlet.policies.aggregate.source import OPEN_TIMEOUT_S, keep_open
from mantlet.wire import jsonrpc
from mantlet.wire.event_stream import EventStream
from mantlet.wire.mcp import calls

_BOUNDS: Final = jsonrpc.Bounds(max_depth=64, max_keys=1_000_000)


class Stream:
    """One session's, with or without a client on the other side."""

    def __init__(
        self,
        call: Call,
        session: Session,
        servers: Sequence[str],
        behind: BehindSessions,
        onward: CallHandler,
        replay: Replay,
        changed: Changed,
        monotonic: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        self.session = session
        self.replay = replay
        self.end: Callable[[], None] = lambda: None
        """Ends it, once; whoever runs it says how."""
        self.timer: asyncio.TimerHandle | None = None
        """Due when its client has been away for too long."""
        self._call = call
        self._servers = frozenset(servers)
        self._behind = behind
        self._onward = onward
        self._changed = changed
        self._monotonic = monotonic
        self._chance = chance
        self._heard: set[str] = set()
        self._group: asyncio.TaskGroup | None = None
        self._out: EventStream | None = None
        self._changes = Changes(self._tell_change)

    async def run(self, known: Sequence[Behind]) -> None:
        """Hear the servers until it is ended, by whom it may be."""
        try:
            async with asyncio.timeout(MAX_LIFE_S), asyncio.TaskGroup() as self._group:
                self._heard.update(self._servers.intersection(behind.server for behind in known))
                for server in self._heard:
                    self._hear(server)
                await asyncio.get_running_loop().create_future()
        except TimeoutError:
            pass
        finally:
            self._group = None
            self.end()

    @property
    def has_client(self) -> bool:
        """Whether somebody listens."""
        return self._out is not None

    def can_go_on(self, point: Point, servers: Sequence[str]) -> bool:
        """Whether a client at that point can go on with this very stream: its own, and of those it may hear by now."""
        return point.token == self.replay.token and self._servers == frozenset(servers)

    def go_on(self, call: Call, onward: CallHandler) -> None:
        """Its client came back: what is opened from now on is opened with the credential that it has now."""
        self._call, self._onward = call, onward

    def attach(self, out: EventStream, point: Point | None, *, is_primed: bool, is_lost: bool) -> None:
        """Send what comes from now on to `out`; first what came after `point`, as far as that is known.

        `is_lost`: the client speaks of events that nobody knows any more.
        """
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        former, self._out = self._out, out
        if former is not None:
            former.end()
        number = self.replay.number if point is None else min(point.number, self.replay.number)
        if is_primed:
            out.push(b"", self.replay.id_of(number))
        if point is not None:
            is_lost = not self.replay.has_all_after(point.number)
            for event_id, message in self.replay.after(point.number, self._servers):
                out.push(message, event_id)
        for method in CHANGED if is_lost else ():
            self._tell_change(method)

    def detach(self, out: EventStream) -> bool:
        """`out` is read no more; whether nobody listens now."""
        if self._out is not out:
            return False
        self._out = None
        return True

    def close(self) -> None:
        """It is over: nothing is told any more."""
        if self.timer is not None:
            self.timer.cancel()
        self._changes.close()
        out, self._out = self._out, None
        if out is not None:
            out.end()

    def add(self, server: str) -> None:
        """Hear `server` too, if the caller may and does not yet."""
        if server in self._heard or server not in self._servers:
            return
        self._heard.add(server)
        if self._group is not None:  # else with those that are known when it begins, or never more
            self._hear(server)

    def _hear(self, server: str) -> None:
        assert self._group is not None
        self._group.create_task(keep_open(self._opening(server), self._hearing(server), lambda _: None, self._chance))

    def _opening(self, server: str) -> Callable[[], Awaitable[Reply]]:
        async def open_() -> Reply:
            call, session, onward = self._call, self.session, self._onward
            behind = await self._behind.at(server, session, call, onward)
            sub = calls.stream(
                call,
                server,
                session=behind.session,
                deadline_s=self._monotonic() + OPEN_TIMEOUT_S,
                version=behind.version,
            )
            try:
                return await onward(sub)
            except SessionNotFound as error:
                await self._behind.renewed(behind, session, call, onward)
                raise BadUpstream(why="the session behind the stream was gone") from error

        return open_

    def _hearing(self, server: str) -> Callable[[bytes], Awaitable[None]]:
        async def heard(data: bytes) -> None:
            message = asked.for_client(self.session, server, data)
            if message is None:
                await self._refuse(server, asked.refusal(data))
                return
            method = _method(data)
            if method is None:
                return  # nobody has asked anything on this stream, so there is nothing to be answered
            if method in CHANGED:
                self._changed(server, method)
                self._changes.note(method)
            else:
                self._push(server, message)

        return heard

    async def _refuse(self, server: str, answer: Mapping[str, Any]) -> None:
        with contextlib.suppress(Refusal):
            behind = await self._behind.at(server, self.session, self._call, self._onward)
            await self._onward(
                calls.response(self._call, server, answer, session=behind.session, version=behind.version)
            )

    def _tell_change(self, method: str) -> None:
        self._push("", jsonrpc.encode({"jsonrpc": "2.0", "method": method}))

    def _push(self, server: str, message: bytes) -> None:
        event_id = self.replay.keep(server, message)
        if self._out is not None and not self._out.push(message, event_id):
            self._out.end()  # it reads too slowly; it may come back and go on


def _method(data: bytes) -> str | None:
    try:
        message = jsonrpc.decode(data, _BOUNDS)
    except InvalidJson:
        return None
    method = message.get("method") if type(message) is dict else None
    return method if type(method) is str else None
