"""The GET stream of a legacy session at the endpoint of all servers: the streams of the sessions behind it, as one.

A client opens it before it has used any server; so a session that is opened later, by whatever worker, joins in. The
worker that holds the stream stands in `State`, and hears by `Post` of each server that comes into use elsewhere. A
message lost on the way costs what that server says unasked, until the client opens its stream anew.

Its events have ids. A stream whose client is gone goes on for `LINGER_S`, and who comes back with the id of the last
event gets what it missed, at any worker; where that is lost, it hears that all lists may have changed.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

import msgspec

from mantlet.core.call import Call, Reply
from mantlet.core.policy import CallHandler
from mantlet.core.ports import Post, State
from mantlet.core.refusal import Overloaded, StoreUnavailable
from mantlet.core.tasks import Tasks
from mantlet.policies.aggregate import replay
from mantlet.policies.aggregate.behind import Behind, BehindSessions
from mantlet.policies.aggregate.handover import HandOver
from mantlet.policies.aggregate.listen import Changed
from mantlet.policies.aggregate.merged import Merged, answer, refuse_no_stream
from mantlet.policies.aggregate.replay import Point, Replay
from mantlet.policies.aggregate.session import Session
from mantlet.policies.aggregate.stream import Stream
from mantlet.wire.event_stream import EventStream
from mantlet.wire.mcp.inbound import LAST_EVENT_ID

BOX: Final = "mcp.streams"
LINGER_S: Final = 30.0
"""How long a stream without a client goes on listening, for its client to come back."""
PRIMED_FROM: Final = "2025-11-25"
"""The first revision whose clients expect an event without data, that they could resume from; older ones choke."""
_TOKEN_BYTES: Final = 12
_NOTICE: Final = msgspec.json.Decoder(tuple[str, str])


class Streams:
    """The streams of one worker, one a session at most: a client that comes again has lost the first one."""

    def __init__(
        self,
        merged: Merged,
        state: State,
        post: Post,
        tasks: Tasks,
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
        self._handover = HandOver(post, tasks, self._give)
        post.open(BOX, self._noticed)

    def __iter__(self) -> Iterator[str]:
        """The keys of the sessions whose stream has a client here: one that waits for its client keeps none alive."""
        return (key for key, stream in self._open.items() if stream.has_client)

    async def open(
        self,
        call: Call,
        session: Session,
        servers: Sequence[str],
        behind: BehindSessions,
        left_s: float,
        onward: CallHandler,
    ) -> Reply:
        """The client's stream, fed by each of `servers` that is or comes into use; the one it had, if it comes back."""
        refuse_no_stream(call)
        last = call.arrival.headers.text(LAST_EVENT_ID)
        point = replay.read(last)
        here = self._open.get(session.key)
        if here is not None and point is not None and here.can_go_on(point, servers):
            here.go_on(call, onward)
            return self._attach(here, point)
        kept = await self._taken(session, point)
        # Told first and looked at after: a session that is opened meanwhile is seen here or told of, or both.
        await self._state.put(_holder(session), self._post.address.encode(), left_s)
        known = await behind.known(servers, session)
        if (former := self._open.get(session.key)) is not None:
            former.end()
        own = kept or Replay(secrets.token_urlsafe(_TOKEN_BYTES))
        made = Stream(call, session, servers, behind, onward, own, self._changed, self._monotonic, self._chance)
        self._begin(call, made, known)
        self._open[session.key] = made
        return self._attach(made, point if kept else None, is_lost=bool(last) and not kept)

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

    async def end(self, session: Session) -> None:
        """The session has ended, and so has its stream, with or without a client, wherever it is."""
        self._give(session.key, "")
        with contextlib.suppress(StoreUnavailable):
            holder = await self._state.get(_holder(session))
            if holder is not None and holder.decode() != self._post.address:
                await self._handover.take(holder.decode(), session.key, "")

    def _begin(self, call: Call, made: Stream, known: Sequence[Behind]) -> None:
        while True:
            try:
                made.end = self._merged.begin(call, made.run(known), partial(self._ended, made))
            except Overloaded:
                if (resting := self._resting(call)) is None:
                    raise
                resting.end()  # who listens comes before who may come back
            else:
                return

    def _resting(self, call: Call) -> Stream | None:
        """A stream without a client, whose place `call` may have: of the same caller, or any where all are taken."""
        resting = [stream for stream in self._open.values() if not stream.has_client]
        mine = next((stream for stream in resting if stream.session.caller == call.caller.key), None)
        return mine if mine is not None or not self._merged.is_full else next(iter(resting), None)

    def _attach(self, stream: Stream, point: Point | None, *, is_lost: bool = False) -> Reply:
        body = EventStream()
        body.on_close = partial(self._left, stream, body)
        stream.attach(body, point, is_primed=stream.session.version >= PRIMED_FROM, is_lost=is_lost)
        return answer(body)

    async def _taken(self, session: Session, point: Point | None) -> Replay | None:
        """What the session's former stream had kept, if its client comes back to that very one."""
        token = "" if point is None else point.token
        if (here := self._open.get(session.key)) is not None:
            return here.replay if here.replay.token == token else None
        holder = await self._state.get(_holder(session))
        if holder is None or holder.decode() == self._post.address:
            return None
        packed = await self._handover.take(holder.decode(), session.key, token)
        with contextlib.suppress(msgspec.DecodeError):
            return None if packed is None else replay.unpacked(packed)
        return None

    def _give(self, key: str, token: str) -> bytes | None:
        stream = self._open.get(key)
        if stream is None:
            return None
        stream.end()
        return stream.replay.packed() if stream.replay.token == token else None

    def _noticed(self, message: bytes) -> None:
        with contextlib.suppress(msgspec.DecodeError):
            key, server = _NOTICE.decode(message)
            if (stream := self._open.get(key)) is not None:
                stream.add(server)

    def _left(self, stream: Stream, body: EventStream) -> None:
        """The client is gone, or reads too slowly; it may come back for what it misses."""
        if stream.detach(body) and self._open.get(stream.session.key) is stream:
            stream.timer = asyncio.get_running_loop().call_later(LINGER_S, stream.end)

    def _ended(self, stream: Stream) -> None:
        if self._open.get(stream.session.key) is stream:
            del self._open[stream.session.key]
        stream.close()


def _holder(session: Session) -> tuple[str, str]:
    return ("mcp.stream", session.key)
