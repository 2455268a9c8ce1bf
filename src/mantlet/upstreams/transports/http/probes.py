"""The questions that the node asks a server for itself: two that tell its era, and whether it lives."""

from collections.abc import Sequence
from typing import Any, Final

from mantlet import __version__
from mantlet.core.clock import Clock
from mantlet.core.headers import Headers
from mantlet.core.refusal import Denied, InvalidJson, Refusal
from mantlet.upstreams.client import BodyStream, HttpClient, Response, head
from mantlet.upstreams.identity import NODE, Field, Identity, Outgoing
from mantlet.upstreams.transports.http import era
from mantlet.upstreams.transports.http.outbound import BOTH
from mantlet.wire import jsonrpc
from mantlet.wire.mcp.inbound import METHOD, PROTOCOL_VERSION, SESSION_ID
from mantlet.wire.mcp.methods import LATEST_LEGACY, MODERN_VERSIONS
from mantlet.wire.sse import SseSplitter

MAX_EVENT_BYTES = 1_048_576
_NO_HEADERS: Final = Headers()


class Probes:
    """`post` and `delete` are the heads' fixed parts; see `request.prefix`."""

    def __init__(
        self,
        client: HttpClient,
        post: bytes,
        delete: bytes,
        clock: Clock,
        timeout_s: float,
        identity: Identity | None = None,
        target: bytes = b"/",
    ) -> None:
        self._client = client
        self._post = post
        self._delete = delete
        self._clock = clock
        self._timeout_s = timeout_s
        self._identity = identity
        self._target = target
        self.lent: Sequence[Field] | None = None
        """Of the caller whose call makes the node ask: a server that knows callers by their own grants tells the node
        itself nothing."""

    async def discover(self) -> era.Found | None:
        """Ask `server/discover` in the modern way. Raises as `HttpClient.send` does."""
        fields = [(PROTOCOL_VERSION, MODERN_VERSIONS[0].encode()), (METHOD, b"server/discover")]
        response, message = await self._ask(fields, era.discover_request(__version__))
        return era.read_discover(response.status, message)

    async def initialize(self) -> era.Found | None:
        """Ask `initialize`, and end the session that this may have begun."""
        response, message = await self._ask([], era.initialize_request(__version__))
        if (session := response.headers.get(SESSION_ID)) is not None and response.status == 200:
            await self._end(session)
        return era.read_initialize(response.status, message)

    async def discover_status(self) -> int:
        """Whether the server answers `server/discover`: its HTTP status."""
        fields = [(PROTOCOL_VERSION, MODERN_VERSIONS[0].encode()), (METHOD, b"server/discover")]
        response, _ = await self._ask(fields, era.discover_request(__version__))
        return response.status

    async def open_session(self) -> tuple[int, bytes | None]:
        """Begin a legacy session: the status of `initialize`, and the session's id where the server gives one."""
        response, message = await self._ask([], era.initialize_request(__version__))
        session = response.headers.get(SESSION_ID)
        found = era.read_initialize(response.status, message)
        if found is None or not found.eras:
            return response.status, None
        if session is not None:
            await self._ask(_of(session), {"jsonrpc": "2.0", "method": "notifications/initialized"})
        return response.status, session

    async def ping(self, session: bytes | None) -> int:
        """Ask `ping` of a legacy server; its HTTP status."""
        response, _ = await self._ask(_of(session), {"jsonrpc": "2.0", "id": era.PROBE_ID, "method": "ping"})
        return response.status

    async def end(self, session: bytes) -> None:
        """End a session that `open_session` began."""
        await self._end(session)

    async def _ask(self, fields: list[tuple[bytes, bytes]], request: Any) -> tuple[Response, Any]:
        body = jsonrpc.encode(request)
        told = await self._told(Outgoing(b"POST", self._target, body))
        start = head(self._post, [(b"accept", BOTH), *fields, *told], len(body))
        deadline_s = self._clock.monotonic() + self._timeout_s
        response = await self._client.send(start + body, deadline_s=deadline_s)
        if isinstance(response.body, BodyStream):
            return response, await _first_message(response.body)
        return response, _decoded(response.body)

    async def _end(self, session: bytes) -> None:
        fields = _of(session)
        deadline_s = self._clock.monotonic() + self._timeout_s
        try:
            fields += await self._told(Outgoing(b"DELETE", self._target, b""))
            response = await self._client.send(head(self._delete, fields, None), deadline_s=deadline_s)
        except Refusal:
            return  # a courtesy; the server forgets idle sessions by itself
        if isinstance(response.body, BodyStream):
            await response.body.aclose()

    async def _told(self, request: Outgoing) -> Sequence[Field]:
        """Nobody called: the node asks for itself, where that can be said."""
        if self.lent is not None:
            return self.lent
        try:
            return () if self._identity is None else await self._identity(NODE, _NO_HEADERS, request)
        except Denied:
            return ()  # an issuer exchanges its own users' tokens only


def _of(session: bytes | None) -> list[tuple[bytes, bytes]]:
    own = [] if session is None else [(SESSION_ID, session)]
    return [*own, (PROTOCOL_VERSION, LATEST_LEGACY.encode())]


async def _first_message(stream: BodyStream) -> Any:
    """The first event's message. The stream is read to its end where that comes at once, else closed."""
    splitter = SseSplitter(MAX_EVENT_BYTES)
    try:
        async for chunk in stream:
            for event in splitter.feed(chunk):
                if event.data:
                    return _decoded(event.data)
    finally:
        await stream.aclose()
    return None


def _decoded(body: bytes) -> Any:
    try:
        return jsonrpc.decode(body)
    except InvalidJson:
        return None
