"""One MCP server behind streamable HTTP: bodies pass byte for byte, headers by list, sessions sealed."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from mantlet.core.call import Call, Era, Reply
from mantlet.core.clock import SYSTEM, Clock
from mantlet.core.headers import JSON, Headers
from mantlet.core.ports import Sealer
from mantlet.core.refusal import (
    BadUpstream,
    DeadlineExceeded,
    EraUnavailable,
    Overloaded,
    Refusal,
    UpstreamUnavailable,
)
from mantlet.core.stream import Lasting
from mantlet.upstreams.client import BodyStream, Bounds, HttpClient, Resolve, Response, lines, parse, prefix
from mantlet.upstreams.client.own import OWN, configured
from mantlet.upstreams.client.pool import Pool
from mantlet.upstreams.identity import Field, Identity, Outgoing, Renewable
from mantlet.upstreams.room import Room
from mantlet.upstreams.transports.crossing import unavailable
from mantlet.upstreams.transports.http import as_user, session
from mantlet.upstreams.transports.http.config import EraSetting, HttpServerConfig
from mantlet.upstreams.transports.http.detection import Detection
from mantlet.upstreams.transports.http.era import Found
from mantlet.upstreams.transports.http.event_filter import EventFilter
from mantlet.upstreams.transports.http.liveness import Liveness
from mantlet.upstreams.transports.http.outbound import legacy_lines, modern_lines
from mantlet.upstreams.transports.http.probes import Probes
from mantlet.upstreams.transports.http.verdict import judge
from mantlet.wire import deadline
from mantlet.wire.mcp.inbound import SESSION_ID
from mantlet.wire.mcp.methods import LEGACY_VERSIONS, MODERN_VERSIONS

HEALTH_TIMEOUT_S: Final = 3.0
LISTEN: Final = "subscriptions/listen"

_PASSED_BACK: Final = (b"content-type", b"cache-control", b"mcp-protocol-version", b"x-accel-buffering")
_WITH_RETRY_AFTER: Final = frozenset({429, 503})
_VERBS: Final = {"stream": b"GET", "end": b"DELETE"}
_GIVEN: Final[Mapping[EraSetting, frozenset[Era]]] = {
    "modern": frozenset({"modern"}),
    "legacy": frozenset({"legacy"}),
    "dual": frozenset({"modern", "legacy"}),
}


class HttpServer:
    """`core.ports.Upstream` over streamable HTTP. Made at load; it connects when it is first needed.

    `is_plain_allowed` is for development: without it an `http://` URL is refused here too (TLS-04). `resolve` is the
    egress guard's: it gives the checked addresses to connect to. `identity` says for whom a call is. Raises
    `ValueError` or `OSError` for a bad config.
    """

    def __init__(
        self,
        config: HttpServerConfig,
        sealer: Sealer,
        *,
        clock: Clock = SYSTEM,
        is_plain_allowed: bool = False,
        resolve: Resolve | None = None,
        identity: Identity | None = None,
        sessions: session.OpenedIds | None = None,
        mark: bytes = b"",
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        """`sessions`, `mark` and `tls_context` are for one of several endpoints: what they have in common, and what
        stands before this one's session ids when they are sealed."""
        endpoint = parse(config.endpoint, is_plain_allowed=is_plain_allowed)
        self._config = config
        self._sealer = sealer
        self._opened_ids = session.OpenedIds(sealer, config.name) if sessions is None else sessions
        self._mark = mark
        self._clock = clock
        self._identity = identity
        self._renewable: Renewable | None = identity if isinstance(identity, Renewable) else None
        self._target = endpoint.target
        self._client = HttpClient(
            endpoint,
            clock,
            bounds=config.bounds(),
            tls=config.tls,
            resolve=resolve,
            http2=config.http2 == "auto",
            tls_context=tls_context,
        )
        self._resolve = resolve
        own = [*OWN, *configured(config.headers)]
        json = [*own, JSON]
        self._post = prefix(b"POST", endpoint.target, endpoint.authority, json)
        self._others = {kind: prefix(verb, endpoint.target, endpoint.authority, own) for kind, verb in _VERBS.items()}
        probes = Probes(
            self._client, self._post, self._others["end"], clock, config.probe_timeout, identity, endpoint.target
        )
        self._probes = probes
        self._detection = Detection(probes.discover, probes.initialize, clock)
        if config.era != "auto":
            given = _GIVEN[config.era]
            versions = (MODERN_VERSIONS if "modern" in given else ()) + (LEGACY_VERSIONS if "legacy" in given else ())
            self._detection.settle(given, versions)
        self._is_node = config.transport != "http"
        self._failure = ""
        self.room = Room(config.streams)
        """For streams, and for calls that wait for their client (`bridge`)."""
        self.dropped = 0
        """Events of modern streams that were not passed on (MCP-07)."""
        self.vitals: Callable[[], Mapping[str, Any]] | None = None
        """What is known of its health by other means, for `health`."""
        self.on_headers: Callable[[Headers], None] | None = None
        """Is shown the head of each answer."""

    @property
    def name(self) -> str:
        """As configured."""
        return self._config.name

    @property
    def spoken(self) -> frozenset[Era] | None:
        """The eras of the server, where they are known."""
        found = self._detection.current
        return None if found is None else found.eras

    @property
    def pool(self) -> Pool:
        """Its connections of HTTP/1.1."""
        return self._client.pool

    @property
    def tls_context(self) -> ssl.SSLContext | None:
        """For others that ask the same server; None where TLS is not spoken."""
        return self._client.tls_context

    async def eras(self) -> frozenset[Era]:
        """The eras that the server speaks; asks it when that is not known. Raises as `send` does."""
        return (await self._detection.find()).eras

    async def send(self, call: Call, /) -> Reply:
        """Carry `call` there and its reply back; see `core.ports.Upstream`."""
        told: Sequence[Field] = ()
        if self._renewable is not None and self._identity is not None:  # the two are one
            # Before the server is asked anything: without a grant it would not even say what it is.
            told = await self._identity(call.caller, call.arrival.headers, as_user.NOTHING)
            self._probes.lent = told
        found = self._detection.current
        if found is None:
            found = await self._find(call.deadline_s)
        if call.era not in found.eras:
            self._refuse_era(call, found)
        upstream_session = None
        if call.era == "modern":
            fields = modern_lines(call)
        else:
            if call.session:
                upstream_session = self._opened_ids.get(call.session, call.caller)[len(self._mark) :]
            fields = legacy_lines(call, upstream_session)
        if self._renewable is not None:
            own, its_session = fields, upstream_session  # for the closure below
            return await as_user.carried(
                self._renewable, call, told, lambda more: self._carried(call, own + more, its_session)
            )
        if self._identity is not None:
            fields += await self._told(self._identity, call)
        return await self._carried(call, fields, upstream_session)

    def _carried(self, call: Call, fields: bytes, upstream_session: bytes | None) -> Awaitable[Reply]:
        if self._is_node:
            fields += deadline.line(call.deadline_s, self._clock.monotonic())
        if (start := self._others.get(call.kind)) is None:
            message = b"%b%bcontent-length: %d\r\n\r\n%b" % (self._post, fields, len(call.body), call.body)
        else:
            message = b"%b%b\r\n" % (start, fields)
        if call.kind == "stream" or call.method == LISTEN:
            return self._lasting(call, message, upstream_session)
        return self._exchange(call, message, upstream_session)

    async def health(self) -> Mapping[str, Any]:
        """What is known; asks the server when that is nothing."""
        if self._detection.current is None and self._renewable is None:  # which says nothing to the node itself
            try:
                await self._find(self._clock.monotonic() + HEALTH_TIMEOUT_S)
            except Refusal as error:
                self._failure = error.why
        found, pool = self._detection.found, self._client.pool
        return {
            "name": self.name,
            "transport": self._config.transport,
            "state": "unhealthy" if self._failure else "healthy" if found else "starting",
            "reasons": [self._failure] if self._failure else [],
            "eras": sorted(found.eras) if found else [],
            "versions": list(found.versions) if found else [],
            "connections": {"open": pool.open, "idle": pool.idle, "waiting": pool.waiting, "opened": pool.opened},
            "streams": {"open": self.room.taken, "max": self.room.limit},
            "dropped_events": self.dropped,
            **({} if self.vitals is None else self.vitals()),
        }

    def liveness(self) -> Liveness:
        """A probe with a connection of its own: calls that wait for one say nothing about the server's health."""
        config, client = self._config, self._client
        bounds = Bounds(max_connections=1, connect_timeout_s=config.connect_timeout, idle_timeout_s=config.idle_timeout)
        own = HttpClient(
            client.endpoint,
            self._clock,
            bounds=bounds,
            tls=config.tls,
            resolve=self._resolve,
            tls_context=client.tls_context,
        )
        probes = Probes(
            own, self._post, self._others["end"], self._clock, config.probe_timeout, self._identity, self._target
        )
        return Liveness(own, probes, self._detection, is_for_users=self._renewable is not None)

    async def close(self) -> None:
        """Close every connection; calls under way fail."""
        await self._detection.close()
        await self._client.close()

    async def _find(self, deadline_s: float) -> Found:
        try:
            async with asyncio.timeout(max(0.0, deadline_s - self._clock.monotonic())):
                found = await self._detection.find()
        except TimeoutError as error:
            raise DeadlineExceeded("The upstream did not answer in time.") from error
        except Refusal as error:
            self._failure = error.why
            raise
        self._failure = ""
        return found

    async def _exchange(self, call: Call, message: bytes, upstream_session: bytes | None) -> Reply:
        try:
            response = await self._client.send(message, deadline_s=call.deadline_s, is_repeatable=call.kind == "stream")
        except UpstreamUnavailable as error:
            self._doubt(error)
            raise
        self._failure = ""
        if self.on_headers is not None:
            self.on_headers(response.headers)
        return await self._reply(call, response, upstream_session)

    async def _lasting(self, call: Call, message: bytes, upstream_session: bytes | None) -> Reply:
        if not self.room.take():
            raise Overloaded(
                "Too many streams from this server are open already. Try again later.",
                why=f"{self.room.limit} streams and held calls are open with the server (max_streams)",
            )
        try:
            reply = await self._exchange(call, message, upstream_session)
        except BaseException:
            self.room.give_back()
            raise
        if isinstance(reply.body, bytes):
            self.room.give_back()
        else:
            reply.body = Lasting(reply.body, self.room.give_back)
        return reply

    async def _told(self, identity: Identity, call: Call) -> bytes:
        verb = _VERBS.get(call.kind, b"POST")
        body = b"" if call.kind in _VERBS else call.body
        return lines(await identity(call.caller, call.arrival.headers, Outgoing(verb, self._target, body)))

    def _refuse_era(self, call: Call, found: Found) -> None:
        text = unavailable(self.name, call.era)
        known = MODERN_VERSIONS if call.era == "modern" else LEGACY_VERSIONS
        requested = call.arrival.headers.text(b"mcp-protocol-version")
        if requested is None and call.method == "initialize":
            requested = str(call.params.get("protocolVersion", ""))
        raise EraUnavailable(requested or known[0], found.versions, text)

    async def _reply(self, call: Call, response: Response, upstream_session: bytes | None) -> Reply:
        body = response.body
        if response.status == 401 and self._renewable is not None:
            if isinstance(body, BodyStream):
                await body.aclose()
            raise as_user.Rejected
        if isinstance(body, BodyStream):
            return await self._streaming(call, response, body, upstream_session)
        try:
            status, passed = judge(call, response.status, response.headers, body)
        except BadUpstream as error:
            if call.era == "modern" and response.status in (400, 404):
                self._doubt(error)  # it may be another server by now
            raise
        return Reply(status, self._headers(call, status, response.headers, upstream_session, bool(passed)), passed)

    async def _streaming(
        self, call: Call, response: Response, body: BodyStream, upstream_session: bytes | None
    ) -> Reply:
        if call.kind not in ("request", "stream"):
            await body.aclose()  # a message that needs no answer got a stream: accepted, and not worth keeping
            return Reply(202 if call.kind != "end" else 200, [])
        try:
            headers = self._headers(call, 200, response.headers, upstream_session, True)
        except Refusal:
            await body.aclose()
            raise
        passed: AsyncIterator[bytes] = body
        if call.era == "modern":
            passed = EventFilter(body, call.id, self._config.max_event_bytes, self._count_dropped)
        return Reply(200, headers, passed)

    def _headers(
        self, call: Call, status: int, headers: Headers, upstream_session: bytes | None, has_body: bool
    ) -> list[tuple[bytes, bytes]]:
        passed = [*headers.once(_passed_back)] if has_body else []
        if status in _WITH_RETRY_AFTER and (after := headers.get(b"retry-after")) is not None:
            passed.append((b"retry-after", after))
        if call.era == "legacy" and status == 200 and (theirs := headers.get(SESSION_ID)) is not None:
            if theirs == upstream_session:
                passed.append((SESSION_ID, call.session.encode()))  # one id a session, as the client knows it
            elif call.method == "initialize":
                passed.append((SESSION_ID, session.sealed(self._sealer, theirs, self.name, call.caller, self._mark)))
        return passed

    def _doubt(self, error: Refusal) -> None:
        self._failure = error.why
        if self._config.era == "auto":
            self._detection.forget()

    def _count_dropped(self) -> None:
        self.dropped += 1


def _passed_back(headers: Headers) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name in _PASSED_BACK if (value := headers.get(name)) is not None]
