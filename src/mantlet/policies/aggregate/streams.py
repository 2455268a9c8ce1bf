"""The GET stream of a legacy session at the endpoint of all servers: the streams of the sessions behind it, as one.

A client opens it before it has used any server; so a session that is opened later, by whatever worker, joins in. The
worker that holds the stream stands in `State`, and hears by `Post` of each server that comes into use elsewhere. A
message lost on the way costs what that server says unasked, until the client opens its stream anew.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from mantlet.core.call import Call, Reply
from mantlet.core.policy import CallHandler
from mantlet.core.ports import Post, State
from mantlet.core.refusal import BadUpstream, InvalidJson, Refusal, SessionNotFound, StoreUnavailable
from mantlet.policies.aggregate import asked
from mantlet.policies.aggregate.behind import Behind, BehindSessions
from mantlet.policies.aggregate.changes import CHANGED, Changes
from mantlet.policies.aggregate.listen import Changed
from mantlet.policies.aggregate.merged import Merged, refuse_no_stream
from mantlet.policies.aggregate.session import Session
from mantlet.policies.aggregate.source import OPEN_TIMEOUT_S, NoStream, keep_open
from mantlet.wire import jsonrpc
from mantlet.wire.event_stream import EventStream
from mantlet.wire.mcp import calls

BOX: Final = "mcp.streams"
_BOUNDS: Final = jsonrpc.Bounds(max_depth=64, max_keys=1_000_000)
_NOTICE: Final = msgspec.json.Decoder(tuple[str, str])


class Streams:
    """The open streams of one worker, one a session at most: a client that comes again has lost the first one."""

    def __init__(
        self,
        merged: Merged,
        state: State,
        post: Post,
        *,
        changed: Changed,
        monotonic: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        self._merged = merged
        self._state = state
        self._post = post
        self._changed = changed
        self._monotonic = monotonic
        self._chance = chance
        self._open: dict[str, Stream] = {}
        post.open(BOX, self._noticed)

    def __iter__(self) -> Iterator[str]:
        """The keys of the sessions whose stream is open here."""
        return iter(self._open)

    async def open(
        self,
        call: Call,
        session: Session,
        servers: Sequence[str],
        behind: BehindSessions,
        left_s: float,
        onward: CallHandler,
    ) -> Reply:
        """The client's stream, fed by each of `servers` that is or comes into use."""
        refuse_no_stream(call)
        # Told first and looked at after: a session that is opened meanwhile is seen here or told of, or both.
        await self._state.put(_holder(session), self._post.address.encode(), left_s)
        known = await behind.known(servers, session)
        if (former := self._open.get(session.key)) is not None:
            former.replaced.set()
        stream = Stream(call, session, servers, behind, onward, self._changed, self._monotonic, self._chance)
        reply = self._merged.open(call, lambda out: stream.fill(out, known), lambda: self._closed(stream))
        self._open[session.key] = stream
        return reply

    async def in_use(self, session: Session, behind: Behind) -> None:
        """A session with a server was opened here: its stream joins the client's, wherever that is."""
        if (stream := self._open.get(session.key)) is not None:
            stream.add(behind.server)
            return
        # Without the store the server is in use all the same; only its stream has to wait.
        with contextlib.suppress(StoreUnavailable):
            holder = await self._state.get(_holder(session))
            if holder is not None and holder.decode() != self._post.address:
                await self._post.send(holder.decode(), BOX, msgspec.json.encode((session.key, behind.server)))

    def _noticed(self, message: bytes) -> None:
        with contextlib.suppress(msgspec.DecodeError):
            key, server = _NOTICE.decode(message)
            if (stream := self._open.get(key)) is not None:
                stream.add(server)

    def _closed(self, stream: "Stream") -> None:
        if self._open.get(stream.session.key) is stream:
            del self._open[stream.session.key]


class Stream:
    """One session's."""

    def __init__(
        self,
        call: Call,
        session: Session,
        servers: Sequence[str],
        behind: BehindSessions,
        onward: CallHandler,
        changed: Changed,
        monotonic: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        self.session = session
        self.replaced = asyncio.Event()
        """Set when another stream takes its place, or its reader is too slow."""
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

    async def fill(self, out: EventStream, known: Sequence[Behind]) -> bytes:
        """Hear the servers until another stream takes the place of this one."""
        self._out = out
        try:
            async with asyncio.TaskGroup() as self._group:
                for behind in known:
                    self.add(behind.server)
                await self.replaced.wait()
                raise NoStream
        except* NoStream:
            pass
        finally:
            self._group = None
            self._changes.close()
        return b""

    def add(self, server: str) -> None:
        """Hear `server` too, if the caller may and does not yet."""
        if self._group is None or server in self._heard or server not in self._servers:
            return
        self._heard.add(server)
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
                self._push(message)

        return heard

    async def _refuse(self, server: str, answer: Mapping[str, Any]) -> None:
        with contextlib.suppress(Refusal):
            behind = await self._behind.at(server, self.session, self._call, self._onward)
            await self._onward(
                calls.response(self._call, server, answer, session=behind.session, version=behind.version)
            )

    def _tell_change(self, method: str) -> None:
        self._push(jsonrpc.encode({"jsonrpc": "2.0", "method": method}))

    def _push(self, message: bytes) -> None:
        if self._out is not None and not self._out.push(message):
            self.replaced.set()


def _holder(session: Session) -> tuple[str, str]:
    return ("mcp.stream", session.key)


def _method(data: bytes) -> str | None:
    try:
        message = jsonrpc.decode(data, _BOUNDS)
    except InvalidJson:
        return None
    method = message.get("method") if type(message) is dict else None
    return method if type(method) is str else None
