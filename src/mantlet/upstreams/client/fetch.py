"""`core.ports.Fetch`: one request to somewhere outside, off the hot path, over a small pool of clients.

A client belongs to one origin and one bound on answers, so that no answer is read beyond what its asker takes (EGR-04).
"""

import ssl
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin

from mantlet.core.clock import SYSTEM, Clock
from mantlet.core.ports import Fetched
from mantlet.core.refusal import BadUpstream, EgressDenied, Overloaded
from mantlet.upstreams.client.client import HttpClient
from mantlet.upstreams.client.config import Bounds, TlsConfig
from mantlet.upstreams.client.endpoint import Endpoint, parse
from mantlet.upstreams.client.own import OWN
from mantlet.upstreams.client.reach import Resolve
from mantlet.upstreams.client.request import Field, head, prefix
from mantlet.upstreams.client.response import BodyStream, Response
from mantlet.upstreams.client.tls import context, read_pins

MAX_ORIGINS: Final = 32
"""Clients kept; the one not used for longest goes first. A node asks a handful of issuers, vaults and webhooks."""
MAX_CONNECTIONS: Final = 8
"""To one origin. Key sets and introspection are asked for in single flight; a ninth waits its turn."""
MAX_REDIRECTS: Final = 3
IDLE_TIMEOUT_S: Final = 30.0

_VERBS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "LIST"})
"""`LIST` is Vault's. No `HEAD`: nobody here needs it, and its answers have a length without a body."""
_BODILESS: Final = frozenset({"GET", "LIST", "DELETE"})
_REPEATABLE: Final = frozenset({"GET", "LIST"})
_OWN: Final = frozenset({b"host", b"content-length", b"transfer-encoding", b"connection", b"accept-encoding"})
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})

_Key = tuple[bool, str, int, int]


@dataclass(slots=True)
class _Held:
    client: HttpClient
    users: int
    """Requests under way: such a client is not closed to make room."""


class Fetcher:
    """Requests with one set of TLS rules (a private CA, pins, a client certificate); other rules, another `Fetcher`.

    `resolve` is the egress guard's. `follows_redirects` is for development and staging (spec 2.2): of a GET, three at
    most, and only within the origin asked. Raises `ValueError` or `OSError` for TLS settings that cannot be used.
    """

    def __init__(
        self,
        *,
        resolve: Resolve | None,
        clock: Clock = SYSTEM,
        tls: TlsConfig = TlsConfig(),
        is_plain_allowed: bool = False,
        follows_redirects: bool = False,
        connect_timeout_s: float = 5.0,
    ) -> None:
        self._resolve = resolve
        self._clock = clock
        self._tls = tls
        self._is_plain_allowed = is_plain_allowed
        self.max_redirects = MAX_REDIRECTS if follows_redirects else 0
        self._connect_timeout_s = connect_timeout_s
        self._held: OrderedDict[_Key, _Held] = OrderedDict()
        read_pins(tls.pins)
        # The system's CAs cost 40 ms to read: a node that asks nobody by https must not pay that at start.
        self._context: ssl.SSLContext | None = context(tls) if tls != TlsConfig() else None

    async def __call__(
        self,
        method: str,
        url: str,
        /,
        *,
        headers: Sequence[Field] = (),
        body: bytes = b"",
        timeout_s: float = 10.0,
        max_bytes: int = 1_048_576,
    ) -> Fetched:
        """See `core.ports.Fetch`. A URL that is none, or not https, is `EgressDenied` too: URLs are discovered."""
        if method not in _VERBS:
            raise ValueError(f"{method} is not asked")
        if any(name.lower() in _OWN for name, _ in headers):
            raise ValueError("a header that is the client's to set")
        deadline_s = self._clock.monotonic() + timeout_s
        endpoint = self._endpoint(url)
        for _ in range(self.max_redirects + 1):
            response = await self._ask(method, endpoint, headers, body, deadline_s, max_bytes)
            there = self._redirect(method, url, endpoint, response)
            if there is None:
                break
            url, endpoint = there
        else:
            raise BadUpstream(why="more redirects than are followed")
        assert isinstance(response.body, bytes)
        return Fetched(response.status, response.headers, response.body)

    async def close(self) -> None:
        """Close every connection; requests under way fail."""
        while self._held:
            await self._held.popitem()[1].client.close()

    def _endpoint(self, url: str) -> Endpoint:
        try:
            return parse(url, is_plain_allowed=self._is_plain_allowed)
        except ValueError as error:
            raise EgressDenied(why=f"{url[:200]!r}: {error}") from error

    async def _ask(
        self, method: str, endpoint: Endpoint, headers: Sequence[Field], body: bytes, deadline_s: float, max_bytes: int
    ) -> Response:
        start = prefix(method.encode(), endpoint.target, endpoint.authority, OWN)
        has_body = bool(body) or method not in _BODILESS
        message = head(start, headers, len(body) if has_body else None) + body
        key = (endpoint.is_tls, endpoint.host, endpoint.port, max_bytes)
        held = await self._take(key, endpoint)
        try:
            response = await held.client.send(message, deadline_s=deadline_s, is_repeatable=method in _REPEATABLE)
        finally:
            held.users -= 1
        if isinstance(response.body, BodyStream):
            await response.body.aclose()
            raise BadUpstream(why="the answer is a stream of events")
        return response

    async def _take(self, key: _Key, endpoint: Endpoint) -> _Held:
        held = self._held.get(key)
        if held is not None:
            self._held.move_to_end(key)
            held.users += 1
            return held
        gone: _Held | None = None
        if len(self._held) >= MAX_ORIGINS:
            idle = next((each for each, one in self._held.items() if not one.users), None)
            if idle is None:
                raise Overloaded(why=f"{MAX_ORIGINS} origins are being asked already")
            gone = self._held.pop(idle)
        if endpoint.is_tls and self._context is None:
            self._context = context(self._tls)
        bounds = Bounds(
            max_connections=MAX_CONNECTIONS,
            connect_timeout_s=self._connect_timeout_s,
            idle_timeout_s=IDLE_TIMEOUT_S,
            max_answer_bytes=key[3],
        )
        client = HttpClient(
            endpoint, self._clock, bounds=bounds, tls=self._tls, resolve=self._resolve, tls_context=self._context
        )
        held = self._held[key] = _Held(client, 1)
        if gone is not None:
            await gone.client.close()
        return held

    def _redirect(self, method: str, url: str, asked: Endpoint, response: Response) -> tuple[str, Endpoint] | None:
        """Where to ask next, or None: then the answer is the answer."""
        location = response.headers.text(b"location")
        if not self.max_redirects or method != "GET" or response.status not in _REDIRECTS or location is None:
            return None
        there = urljoin(url, location)
        endpoint = self._endpoint(there)
        if (endpoint.is_tls, endpoint.host, endpoint.port) != (asked.is_tls, asked.host, asked.port):
            raise EgressDenied(why="a redirect to another origin")
        return there, endpoint
