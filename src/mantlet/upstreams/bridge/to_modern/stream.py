"""The stream on which a legacy client hears what it did not ask for (2025-11-25, basic/transports, "Listening").

Its events carry ids, and the last few are kept: a client whose connection broke goes on where it was, at whichever
process it comes to. A session has one stream; a second takes the first one's place.
"""

import asyncio
import base64
import re
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

import msgspec

from mantlet.core.call import Call, Reply
from mantlet.core.caller import Caller
from mantlet.core.ports import State
from mantlet.core.refusal import NotAcceptable, Overloaded, StoreUnavailable
from mantlet.core.tasks import Tasks
from mantlet.upstreams.bridge.config import BridgeConfig
from mantlet.upstreams.bridge.to_modern.exchange import accepts_stream
from mantlet.upstreams.bridge.to_modern.feed import Feed
from mantlet.upstreams.bridge.to_modern.mail import Mail
from mantlet.upstreams.bridge.to_modern.session import Session, Sessions
from mantlet.upstreams.bridge.to_modern.subscriptions import Subscriptions
from mantlet.wire.event_stream import HEADERS, EventStream
from mantlet.wire.mcp.bridge import to_modern_events as events
from mantlet.wire.mcp.bridge.to_modern_handshake import Offers
from mantlet.wire.mcp.inbound import LAST_EVENT_ID

LINGER_S: Final = 30.0
"""How long a stream without a client goes on listening, for its client to come back."""
HAND_OVER_S: Final = 2.0
"""How long another process may take to give away a stream that its client resumes here."""
PRIMED_FROM: Final = "2025-11-25"
"""The first revision whose clients expect an event without data, that they could resume from; older ones choke."""

_EVENT_ID: Final = re.compile(r"([A-Za-z0-9_-]{1,64})\.([A-Za-z0-9_-]{1,64})\.([0-9]{1,15})")


class LegacyStream:
    """One session's stream, with or without a client on the other side."""

    __slots__ = (
        "__weakref__",
        "_address",
        "_kept",
        "caller",
        "events",
        "key",
        "seq",
        "timer",
        "token",
        "uris",
        "wants",
    )

    def __init__(self, session: Session, caller: Caller, address: str, token: str, max_kept: int) -> None:
        self.key = session.key
        self.caller = caller
        self.wants = session.offers & ~Offers.UPDATES
        self.uris: frozenset[str] = frozenset()
        self.events: EventStream | None = None
        self.token = token
        self.seq = 0
        self.timer: asyncio.TimerHandle | None = None
        self._address = address
        self._kept: deque[tuple[int, bytes]] = deque(maxlen=max_kept)

    def hear(self, message: bytes) -> None:
        """Send it, and keep it."""
        self.seq += 1
        self._kept.append((self.seq, message))
        if self.events is not None and not self.events.push(message, self._id(self.seq)):
            self.events.end()  # it reads too slowly; it may come back and resume

    def attach(self, stream: EventStream, *, is_primed: bool, after: int | None = None) -> None:
        """Send what comes from now on to `stream`; first what came `after` that event, if it resumes."""
        former, self.events = self.events, stream
        if former is not None:
            former.end()
        if is_primed:
            stream.push(b"", self._id(self.seq if after is None else min(after, self.seq)))
        if after is None:
            return
        if self._kept and self._kept[0][0] > after + 1:
            for message in events.missed(self.wants, self.uris):  # more is lost than was kept
                stream.push(message)
        for seq, message in self._kept:
            if seq > after:
                stream.push(message, self._id(seq))

    def packed(self) -> bytes:
        """All that another process needs to go on with it."""
        return msgspec.msgpack.encode([self.seq, list(self._kept)])

    def unpack(self, packed: bytes) -> None:
        """Go on with what another process had."""
        self.seq, kept = msgspec.msgpack.decode(packed)
        self._kept.extend((seq, message) for seq, message in kept)

    def _id(self, seq: int) -> bytes:
        return f"{self._address}.{self.token}.{seq}".encode()


class Streams:
    """All streams of this process with one server. Raises `Overloaded` beyond `mcp.bridge.max_streams`."""

    def __init__(
        self,
        config: BridgeConfig,
        sessions: Sessions,
        state: State,
        mail: Mail,
        feed: Feed,
        tasks: Tasks,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._config = config
        self._sessions = sessions
        self._state = state
        self._mail = mail
        self._feed = feed
        self._tasks = tasks
        self._random_bytes = random_bytes
        self._here: dict[str, LegacyStream] = {}
        self.subscriptions = Subscriptions(sessions, state, mail, feed)
        mail.on("hand over", self._hand_over)
        mail.on("close", self._close)
        mail.on("uris", self._uris)

    def __len__(self) -> int:
        return len(self._here)

    def __iter__(self) -> Iterator[str]:
        """The keys of their sessions."""
        return iter(self._here)

    async def open(self, call: Call, session: Session) -> Reply:
        """The session's stream, new or resumed."""
        if not accepts_stream(call):
            raise NotAcceptable("The client must accept text/event-stream.")
        last = call.arrival.headers.text(LAST_EVENT_ID) or ""
        resumed = _EVENT_ID.fullmatch(last)
        token, after = (resumed[2], int(resumed[3])) if resumed else ("", None)
        is_lost = False
        stream = self._here.get(session.key)
        if stream is None or stream.token != token:
            stream = await self._take_place(call, session, token)
            if stream.token != token:
                after = None
                is_lost = bool(last)  # nobody has what it did not hear
        body = EventStream()
        body.on_close = partial(self._left, stream, body, self._sessions.left_s(session))
        self._schedule(stream, self._sessions.left_s(session))
        stream.attach(body, is_primed=session.version >= PRIMED_FROM, after=after)
        for message in events.missed(stream.wants, stream.uris) if is_lost else ():
            stream.hear(message)
        return Reply(200, list(HEADERS), body)

    async def end(self, session: Session) -> None:
        """The session has ended: so has its stream, wherever it is."""
        holder = await self.subscriptions.holder(session.key)
        await self._close(session.key)
        if holder is not None and holder != self._mail.address:
            await self._mail.tell(holder, "close", session.key)
        await self.subscriptions.forget(session)

    # --- one stream a session

    async def _take_place(self, call: Call, session: Session, token: str) -> LegacyStream:
        """A stream here, instead of what the session had before; or that one, if it was elsewhere and is resumed."""
        former = self._here.get(session.key)
        if former is None and len(self._here) >= self._config.max_streams:
            raise Overloaded(why=f"{len(self._here)} streams are open (mcp.bridge.max_streams)")
        made = LegacyStream(
            session, call.caller, self._mail.address, _token(self._random_bytes), self._config.replay_events
        )
        if former is not None:
            self._drop(former)
        # Here before it is written down, and written down before the subscriptions are read: whoever changes them
        # meanwhile finds it, or it finds the change.
        self._here[session.key] = made
        try:
            holder = await self.subscriptions.holder(session.key)
            if holder is not None and holder != self._mail.address:
                packed = await self._mail.ask(holder, "hand over", session.key, token, timeout_s=HAND_OVER_S)
                if packed:
                    made.token = token
                    made.unpack(packed)
            await self.subscriptions.hold(session)
            made.uris = await self.subscriptions.uris(session.key)
        except BaseException:
            self._drop(made)
            raise
        if self._here.get(session.key) is made:
            self._feed.join(made, call)
        return made

    async def _hand_over(self, session_key: str, token: str) -> bytes | None:
        """Another process has the session's stream now; it may go on with this one."""
        stream = self._here.get(session_key)
        if stream is None:
            return None
        self._drop(stream)
        return stream.packed() if stream.token == token else None

    async def _close(self, session_key: str) -> None:
        stream = self._here.get(session_key)
        if stream is not None:
            self._drop(stream)

    async def _uris(self, session_key: str) -> bytes | None:
        """The session's subscriptions have changed."""
        stream = self._here.get(session_key)
        if stream is None:
            return None
        try:
            uris = await self.subscriptions.uris(session_key)
        except StoreUnavailable:
            return None
        self._feed.resubscribe(stream, uris)
        await self._feed.settled(self.subscriptions.timeout_s)
        return b"heard"

    def _left(self, stream: LegacyStream, body: EventStream, left_s: float) -> None:
        """The client is gone; it may come back for what it misses if it knows of an event."""
        if stream.events is not body or self._here.get(stream.key) is not stream:
            return
        stream.events = None
        self._schedule(stream, min(LINGER_S, left_s))

    def _schedule(self, stream: LegacyStream, end_in_s: float) -> None:
        if stream.timer is not None:
            stream.timer.cancel()
        stream.timer = asyncio.get_running_loop().call_later(end_in_s, self._expire, stream)

    def _expire(self, stream: LegacyStream) -> None:
        if self._here.get(stream.key) is stream:
            self._drop(stream)
            self._tasks.start(self.subscriptions.release(stream.key), "to-modern stream: release")

    def _drop(self, stream: LegacyStream) -> None:
        if self._here.get(stream.key) is stream:
            del self._here[stream.key]
        if stream.timer is not None:
            stream.timer.cancel()
        self._feed.leave(stream)
        body, stream.events = stream.events, None
        if body is not None:
            body.end()

    def close(self) -> None:
        """End all streams of this process."""
        for stream in list(self._here.values()):
            self._drop(stream)


def _token(random_bytes: Callable[[int], bytes]) -> str:
    return base64.urlsafe_b64encode(random_bytes(12)).decode()
