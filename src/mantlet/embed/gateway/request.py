"""From an ASGI scope to an `Arrival`, held to what the node's own doors hold requests to."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from mantlet.core.call import Arrival
from mantlet.core.clock import Clock
from mantlet.core.headers import Headers
from mantlet.core.record import Trail
from mantlet.core.refusal import HeadersTooLarge, Malformed, PayloadTooLarge, ReceiptTimeout, TargetTooLong
from mantlet.embed.gateway.asgi import Receive, Scope
from mantlet.listeners.http import HttpConfig, origin, request
from mantlet.listeners.peer.address import networks
from mantlet.listeners.peer.forwarded import first_untrusted
from mantlet.wire import http1

DOOR: Final = "asgi"
_PORTS: Final = {"http": 80, "ws": 80, "https": 443, "wss": 443}
_SECURE: Final = frozenset({"https", "wss"})
_OF_WEBSOCKETS: Final = frozenset({b"connection", b"upgrade"})


@dataclass(slots=True)
class Request(Arrival):
    """An `Arrival` that still knows the scope it was made of."""

    scope: Scope = field(default_factory=dict)
    receive: Receive | None = None
    is_admitted: bool = False
    """A WebSocket that may be opened."""


class Body:
    """`core.call.Incoming` over ASGI's messages: bounded while it is read, and whole by its deadline (HTTP-05/06)."""

    def __init__(self, receive: Receive, length: int | None, max_bytes: int, deadline_s: float, clock: Clock) -> None:
        self.length = length
        self._receive, self._max_bytes, self._deadline_s, self._clock = receive, max_bytes, deadline_s, clock
        self._size = 0
        self._is_over = False

    def admit(self, max_bytes: int, /) -> None:
        """See the port."""
        self._max_bytes = max_bytes
        if self._size > max_bytes or (self.length is not None and self.length > max_bytes):
            raise PayloadTooLarge(f"The body is larger than {max_bytes} bytes.")

    async def part(self) -> bytes:
        """See the port."""
        while not self._is_over:
            try:
                async with asyncio.timeout(max(0.0, self._deadline_s - self._clock.monotonic())):
                    message = await self._receive()
            except TimeoutError as error:
                raise ReceiptTimeout from error
            if message["type"] != "http.request":
                raise Malformed("The client left before its body was whole.")
            self._is_over = not message.get("more_body", False)
            part: bytes = message.get("body", b"")
            self._size += len(part)
            self.admit(self._max_bytes)
            if part:
                return part
        return b""

    async def read(self) -> bytes:
        """The whole of it."""
        parts = []
        while part := await self.part():
            parts.append(part)
        return b"".join(parts)


class Reader:
    """Makes arrivals for one configuration. `new_id` names each request."""

    def __init__(self, config: HttpConfig, public_hosts: list[str], clock: Clock, new_id: Callable[[], str]) -> None:
        self._config, self._public_hosts, self._clock, self._new_id = config, public_hosts, clock, new_id
        self._trusted = networks(config.trusted_proxies)
        self._forwarded = config.forwarded.encode()
        self._names: dict[tuple[str, int, bool], origin.Names] = {}

    def trail(self, scope: Scope) -> Trail:
        """The notes of a request of which nothing else is known yet."""
        client = scope.get("client")
        return Trail(self._new_id(), DOOR, client[0] if client else "unknown", self._clock.wall())

    async def read(self, scope: Scope, receive: Receive, trail: Trail) -> tuple[Request, origin.Fields]:
        """The arrival, and the CORS fields of its answer. Raises the `Refusal` that says what is wrong with it."""
        config = self._config
        is_websocket = scope["type"] == "websocket"
        verb = "GET" if is_websocket else scope["method"]
        headers = Headers(_fields(scope, is_websocket))
        if len(headers.fields) > config.max_headers or _size(headers) > config.max_header_bytes:
            raise HeadersTooLarge
        target = _target(scope)
        if len(target) > config.max_target_bytes:
            raise TargetTooLong
        trail.peer = first_untrusted(trail.peer, headers.all(self._forwarded), self._trusted, self._forwarded)
        trail.client_request_id = http1.client_request_id(headers)
        trail.trace_id = http1.trace_id(headers)
        framing = http1.framing(headers, is_http10=False)
        head = request.Request(verb, target, False, headers, framing)
        request.admit(head, self._names_of(scope), max_body_bytes=config.max_body_bytes)
        path, query = http1.path_of(target, headers.get(b"host"))
        now_s = self._clock.monotonic()
        arrival = Request(
            verb=verb,
            path=path,
            query=query,
            headers=headers,
            peer=trail.peer,
            read=_nothing,
            deadline_s=now_s + config.request_timeout,
            trail=trail,
            is_tls=scope.get("scheme") in _SECURE,
            body=b"",
            scope=scope,
            receive=receive,
        )
        if not is_websocket:
            await self._body(arrival, framing, now_s)
        return arrival, head.extra

    async def _body(self, arrival: Request, framing: http1.Framing, now_s: float) -> None:
        """What is there of a body, and the way to the rest. HTTP/2 announces neither that there is one nor its size."""
        assert arrival.receive is not None
        announced = framing.length if framing.length >= 0 and b"content-length" in arrival.headers else None
        if announced == 0:
            return
        deadline_s = now_s + self._config.body_timeout_s
        body = Body(arrival.receive, announced, self._config.max_body_bytes, deadline_s, self._clock)
        if announced is None and framing.length != http1.CHUNKED:
            first = await body.read() if arrival.scope.get("http_version", "1.1") not in ("1.0", "1.1") else b""
            arrival.body = first
            return
        arrival.body = None
        arrival.incoming = body
        arrival.read = body.read

    def _names_of(self, scope: Scope) -> origin.Names:
        scheme = scope.get("scheme", "http")
        host, port = scope.get("server") or ("localhost", None)
        key = (host, _PORTS.get(scheme, 80) if port is None else port, scheme in _SECURE)
        names = self._names.get(key)
        if names is None:
            config = self._config
            names = self._names[key] = origin.names(
                bind_host=key[0],
                port=key[1],
                is_tls=key[2],
                allowed_hosts=config.allowed_hosts,
                public_hosts=self._public_hosts,
                cors_origins=config.cors_origins,
                cors_credentials=config.cors_credentials,
            )
        return names


def _fields(scope: Scope, is_websocket: bool) -> list[tuple[bytes, bytes]]:
    fields = [(bytes(name).lower(), bytes(value)) for name, value in scope["headers"]]
    if is_websocket:  # what opens it is the server's affair, and not a request to be upgraded
        fields = [each for each in fields if each[0] not in _OF_WEBSOCKETS and not each[0].startswith(b"sec-websocket")]
    return fields


def _size(headers: Headers) -> int:
    return sum(len(name) + len(value) + 4 for name, value in headers.fields)


def _target(scope: Scope) -> bytes:
    """As it stood in the request line. Servers that keep only the decoded path have given up what was ambiguous."""
    raw: bytes = scope.get("raw_path") or quote(scope["path"], safe="/:@!$&'()*+,;=~-._").encode()
    query: bytes = scope.get("query_string") or b""
    path = raw.partition(b"?")[0]
    return b"%b?%b" % (path, query) if query else path


async def _nothing() -> bytes:
    return b""
