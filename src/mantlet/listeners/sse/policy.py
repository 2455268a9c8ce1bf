"""`GET /sse` opens a stream whose first event names a URL; what is posted there is answered on the stream.

The URL's session is sealed for its caller and endpoint, and says which process holds the stream: a post that another
worker takes is handed over there. Every request authenticates itself; the session alone opens nothing (MCP-04). Each
posted message takes the way of all messages, limits and record included; the POST has only to be accepted.
"""

import secrets
from collections.abc import Awaitable, Collection
from typing import Final
from urllib.parse import parse_qs

from mantlet.core.call import Arrival, Reply
from mantlet.core.caller import Caller
from mantlet.core.policy import ArrivalHandler, Policy
from mantlet.core.ports import Post, Sealer
from mantlet.core.refusal import (
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    Overloaded,
    SessionNotFound,
    Unauthenticated,
    UnsupportedMediaType,
)
from mantlet.listeners.messages.carrier import Terms
from mantlet.listeners.sse.config import SseConfig
from mantlet.listeners.sse.stream import SseStream
from mantlet.wire import jsonrpc
from mantlet.wire.event_stream import HEADERS

PATH: Final = "/sse"
ENDPOINT: Final = "/mcp"
BOX: Final = "sse"
ID_BYTES: Final = 16
_SESSION: Final = "session"
_ACCEPTED: Final = b"Accepted"


class SseClients:
    """Stands behind `authenticate`; everything but `/sse` and below passes by."""

    def __init__(
        self,
        config: SseConfig,
        terms: Terms,
        endpoints: Collection[str],
        *,
        sealer: Sealer,
        post: Post,
        limits: Policy[Arrival] | None,
        prefix: str = "",
    ) -> None:
        """`prefix` is the path that the world sees this node under; `limits` are the caller's, spent by each stream."""
        self._config, self.terms, self._sealer, self._post, self._limits = config, terms, sealer, post, limits
        self._prefix = prefix
        self._endpoints = {PATH + path.removeprefix(ENDPOINT): path for path in endpoints}
        self._streams: dict[bytes, SseStream] = {}
        post.open(BOX, self._heard)

    def __call__(self, arrival: Arrival, onward: ArrivalHandler, /) -> Awaitable[Reply]:
        """Open a stream, take a message, or pass on."""
        path = arrival.path
        return self._serve(arrival) if path == PATH or path.startswith(PATH + "/") else onward(arrival)

    async def _serve(self, arrival: Arrival) -> Reply:
        path = arrival.path
        caller, endpoint = arrival.caller, self._endpoints.get(path)
        arrival.trail.action = f"{arrival.verb} {PATH}"
        if caller is None:
            raise Unauthenticated
        if endpoint is None:
            raise NotFound
        arrival.trail.server = endpoint.removeprefix(ENDPOINT).removeprefix("/")
        arrival.trail.era = "legacy"
        if arrival.verb == "POST":
            return await self._message(arrival, caller)
        if arrival.verb != "GET":
            raise MethodNotAllowed("GET, POST")
        if self._limits is not None:
            return await self._limits(arrival, self._open)
        return await self._open(arrival)

    async def _open(self, arrival: Arrival) -> Reply:
        caller = arrival.caller
        assert caller is not None
        if len(self._streams) >= self._config.max_streams:
            raise Overloaded(why="mcp.sse.max_streams is reached")
        self.terms.check_room(caller)
        identity = secrets.token_bytes(ID_BYTES)
        stream = SseStream(self.terms, caller, self._endpoints[arrival.path], arrival.peer)
        session = self._sealer.seal(identity + self._post.address.encode(), _context(arrival.path, caller))
        stream.begin(f"{self._prefix}{arrival.path}?{_SESSION}={session}")
        self._streams[identity] = stream
        stream.on_close = lambda: self._streams.pop(identity, None)
        return Reply(200, list(HEADERS), stream, origin="node")

    async def _message(self, arrival: Arrival, caller: Caller) -> Reply:
        kind = (arrival.headers.get(b"content-type") or b"").partition(b";")[0].strip().lower()
        if kind != b"application/json":
            raise UnsupportedMediaType("The body must be application/json.")
        plain = self._sealer.open(_session_of(arrival.query), _context(arrival.path, caller))
        if plain is None:
            raise SessionNotFound
        identity, address = plain[:ID_BYTES], plain[ID_BYTES:].decode()
        body = await arrival.read()
        if not body:
            raise InvalidRequest("There is no message.")
        if address != self._post.address:
            if not await self._post.send(address, BOX, identity + body):
                raise SessionNotFound
        elif (stream := self._streams.get(identity)) is None:
            raise SessionNotFound
        elif stream.conversation.is_full:
            raise Overloaded(why="mcp.sse.max_in_flight is reached")
        else:
            stream.conversation.receive(body)
        return Reply(202, [(b"content-type", b"text/plain")], _ACCEPTED, origin="node")

    def _heard(self, message: bytes) -> None:
        stream = self._streams.get(message[:ID_BYTES])
        if stream is not None and stream.conversation.is_full:
            stream.conversation.turn_away(message[ID_BYTES:])
        elif stream is not None:
            stream.conversation.receive(message[ID_BYTES:])


def _session_of(query: bytes) -> str:
    try:
        found = parse_qs(query.decode("ascii"), max_num_fields=8).get(_SESSION, [])
    except ValueError:
        return ""
    return found[0] if len(found) == 1 else ""


def _context(path: str, caller: Caller) -> bytes:
    return jsonrpc.encode([path, *caller.key])
