"""A plain HTTP service as an `Upstream`: what is asked of it is a verb and a path.

Its refusals of the node's credentials, its redirects and its cookies are not the caller's affair (FWD-05); every other
status is the service's own word and passes.
"""

import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from mantlet.core.call import Call, Reply
from mantlet.core.clock import SYSTEM, Clock
from mantlet.core.headers import Headers
from mantlet.core.refusal import BadUpstream, Refusal
from mantlet.core.tasks import Tasks
from mantlet.upstreams.client import BodyStream, HttpClient, Relay, Resolve, Response, lines, parse, prefix
from mantlet.upstreams.client.own import OWN, configured
from mantlet.upstreams.client.pool import Pool
from mantlet.upstreams.identity import Identity, Outgoing, Renewable
from mantlet.upstreams.transports.service.config import ServiceConfig
from mantlet.upstreams.transports.service.fields import Field, Passed
from mantlet.upstreams.transports.service.target import Place

_NEVER_RELAYED: Final = frozenset({401, 403, 407})
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
"""Verbs whose request says `Content-Length: 0` when it has none (RFC 9110 section 8.6)."""
_REPEATABLE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class ServiceServer:
    """`core.ports.Upstream` over plain HTTP. Made at load; it connects when it is first needed.

    `is_plain_allowed` and `resolve` as for `HttpServer`. Raises `ValueError` or `OSError` for a bad config.
    """

    def __init__(
        self,
        config: ServiceConfig,
        tasks: Tasks,
        *,
        clock: Clock = SYSTEM,
        is_plain_allowed: bool = False,
        resolve: Resolve | None = None,
        identity: Identity | None = None,
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        """`tls_context` is one that several endpoints of the service share."""
        endpoint = parse(config.url, is_plain_allowed=is_plain_allowed)
        if b"?" in endpoint.target:
            raise ValueError(f"http_upstreams: {config.name}: url must have no query")
        base = endpoint.target.rstrip(b"/")
        self._config = config
        self._identity = identity
        self._renewable: Renewable | None = identity if isinstance(identity, Renewable) else None
        self._place = Place(endpoint, base if config.strip_prefix else base + config.root.encode(), config.root)
        self._passed = Passed(config.request_headers, config.response_headers, config.headers)
        self._client = HttpClient(
            endpoint, clock, bounds=config.bounds(), tls=config.tls, resolve=resolve, tls_context=tls_context
        )
        own = [*OWN, *configured(config.headers)]
        # Checked as a whole, then without its request line: that one differs from call to call.
        self._own = prefix(b"GET", b"/", endpoint.authority, own).partition(b"\r\n")[2]
        self._start = tasks.start
        self._bodiless = Relay(tasks.start)
        self._head = Relay(tasks.start, is_head=True)
        self._failure = ""
        self.vitals: Callable[[], Mapping[str, Any]] | None = None
        """What is known of its health by other means, for `health`."""
        self.on_headers: Callable[[Headers], None] | None = None
        """Is shown the head of each answer."""

    @property
    def name(self) -> str:
        """As configured."""
        return self._config.name

    @property
    def spoken(self) -> None:
        """No MCP, so no era of it."""
        return None

    @property
    def pool(self) -> Pool:
        """Its connections."""
        return self._client.pool

    @property
    def tls_context(self) -> ssl.SSLContext | None:
        """For others that ask the same service; None where TLS is not spoken."""
        return self._client.tls_context

    async def send(self, call: Call, /) -> Reply:
        """Carry `call` there and its reply back; see `core.ports.Upstream`. What of the body is not in `call.body`
        is in `arrival.incoming`, and passed on as it comes."""
        arrival = call.arrival
        target = self._place.target(call.target, arrival.query)
        message = b"%b %b HTTP/1.1\r\n%b%b%b" % (
            arrival.verb.encode(),
            target,
            self._own,
            arrival.headers.once(self._passed.request_lines),
            b"x-request-id: %b\r\n" % call.trail.request_id.encode(),
        )
        told: Sequence[Field] = ()
        if self._identity is not None:
            body = call.body if arrival.incoming is None else None
            told = await self._identity(call.caller, arrival.headers, Outgoing(arrival.verb.encode(), target, body))
        response = await self._asked(call, message + lines(told))
        if response.status == 401 and self._renewable is not None:
            response = await self._renewed(self._renewable, call, message, told, response)
        if self.on_headers is not None:
            self.on_headers(response.headers)
        return await self._reply(response, target, is_head=arrival.verb == "HEAD")

    async def _renewed(
        self, renewable: Renewable, call: Call, message: bytes, told: Sequence[Field], refused: Response
    ) -> Response:
        """What it was refused with 401 was not done, so it is asked once more with what is got anew (`http.as_user`).

        A body that was passed on as it came is gone: its caller has to send it again, and finds the new token then.
        """
        if isinstance(refused.body, BodyStream):
            await refused.body.aclose()
        again = await renewable.renewed(call.caller, call.arrival.headers, told)
        is_gone = call.arrival.incoming is not None
        return refused if again is None or is_gone else await self._asked(call, message + lines(again))

    async def _asked(self, call: Call, message: bytes) -> Response:
        message, relay = self._with_body(call, message)
        try:
            response = await self._client.send(
                message,
                deadline_s=call.deadline_s,
                is_repeatable=call.arrival.verb in _REPEATABLE and relay.body is None,
                relay=relay,
            )
        except Refusal as refusal:
            if refusal.fault == "upstream":
                self._failure = refusal.why
            raise
        self._failure = ""
        return response

    async def health(self) -> Mapping[str, Any]:
        """What is known of the service: it is not asked anything of the node's own."""
        pool = self._client.pool
        return {
            "name": self.name,
            "transport": "service",
            "state": "unhealthy" if self._failure else "healthy",
            "reasons": [self._failure] if self._failure else [],
            "prefix": self._config.root,
            "connections": {"open": pool.open, "idle": pool.idle, "waiting": pool.waiting, "opened": pool.opened},
            **({} if self.vitals is None else self.vitals()),
        }

    async def close(self) -> None:
        """Close every connection; calls under way fail."""
        await self._client.close()

    def _with_body(self, call: Call, head: bytes) -> tuple[bytes, Relay]:
        arrival, body = call.arrival, call.body
        incoming = arrival.incoming
        if incoming is None and not body:
            if arrival.verb == "HEAD":
                return head + b"\r\n", self._head
            return head + (b"content-length: 0\r\n\r\n" if arrival.verb in _WITH_BODY else b"\r\n"), self._bodiless
        head += lines([(b"content-type", arrival.headers.get(b"content-type") or b"application/octet-stream")])
        if incoming is None:
            return b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body), self._bodiless
        if incoming.length is None:
            head += b"transfer-encoding: chunked\r\n\r\n"
        else:
            head += b"content-length: %d\r\n\r\n" % incoming.length
        return head, Relay(self._start, incoming)

    async def _reply(self, response: Response, target: bytes, *, is_head: bool) -> Reply:
        body, headers, status = response.body, response.headers, response.status
        try:
            fields = [*headers.once(self._passed.response_fields), *self._location(response, target)]
        except BadUpstream:
            if isinstance(body, BodyStream):
                await body.aclose()
            raise
        reply = Reply(status, fields, body)
        if (is_head or isinstance(body, BodyStream)) and (length := headers.get(b"content-length")) is not None:
            reply.length = int(length)
        return reply

    def _location(self, response: Response, target: bytes) -> list[Field]:
        """`Location`, where it has one for callers. Raises `BadUpstream` for an answer that may not be passed on."""
        status = response.status
        if status in _NEVER_RELAYED:
            raise BadUpstream.answered(f"it answered {status}: the node's own credentials for it are not accepted")
        if not 200 <= status < 600:
            raise BadUpstream(why=f"it answered {status}")
        is_redirect = 300 <= status < 400 and status != 304
        if is_redirect and self._config.redirects == "refuse":
            raise BadUpstream.answered(f"it answered {status}: redirects are not passed on")
        value = response.headers.get(b"location")
        here = None if value is None else self._place.location(value, target)
        if is_redirect and here is None:
            raise BadUpstream.answered(f"it answered {status}, to somewhere else")
        return [] if here is None else [(b"location", here)]
