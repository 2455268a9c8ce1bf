"""What is asked of plain HTTP services: which one, by which verb, of which path, and with what body.

A sibling of `policies/parse`: everything later decides on what is read here (AUTHZ-02). A body is read only where it is
looked into, which is JSON; any other stays where it is until somebody passes it on.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

from mantlet.core.call import Arrival, Call, Incoming, Reply
from mantlet.core.policy import ArrivalHandler, CallHandler, Policy
from mantlet.core.refusal import (
    InvalidRequest,
    Malformed,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    Unauthenticated,
    UnsupportedMediaType,
)
from mantlet.policies.services import media
from mantlet.policies.services.route import ROOT, Route, Routes
from mantlet.wire import jsonrpc
from mantlet.wire.deadline import earlier

NOTED_CHARACTERS: Final = 256
"""Of a path, in a record."""

_UPGRADES: Final = frozenset({b"upgrade", b"http2-settings", b"sec-websocket-key"})
_BODILESS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
# What RFC 3986 lets stand in a query, and the brackets and bars that browsers leave as they are.
_QUERY: Final = re.compile(rb"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?\[\]{}|^`\"<>]|%(?!00)[0-9A-Fa-f]{2})*+")


class Services:
    """Calls to the configured services."""

    def __init__(
        self, routes: Routes, *, bounds: jsonrpc.Bounds, monotonic: Callable[[], float], root: str = ROOT
    ) -> None:
        """Every path below `root` is for a service."""
        self._root = root
        self._routes = routes
        self._bounds = bounds
        self._monotonic = monotonic

    @property
    def routes(self) -> Routes:
        """Which services there are."""
        return self._routes

    def before(self, calls: CallHandler) -> Policy[Arrival]:
        """The step that hands what is for a service to `calls`, and passes everything else on."""

        def services(arrival: Arrival, onward: ArrivalHandler, /) -> Awaitable[Reply]:
            if not arrival.path.startswith(self._root):
                return onward(arrival)
            return receive(arrival)

        async def receive(arrival: Arrival) -> Reply:
            return await calls(await self.read(arrival))

        return services

    async def read(self, arrival: Arrival) -> Call:
        """The call that `arrival` carries; raises the `Refusal` that says what is wrong with it."""
        if arrival.caller is None:
            # Never reached on a path that authenticates; a path that does not must not get further (AUTHN-02).
            raise Unauthenticated
        found = self._routes.find(arrival.path)
        if found is None:
            raise NotFound
        route, path = found
        verb, trail = arrival.verb, arrival.trail
        trail.server = route.name
        if verb not in route.verbs:
            raise MethodNotAllowed(route.allow)
        # The prefix, not the path: an action is a label, and a path would make one of every name a caller thinks of.
        trail.action, trail.object = f"{verb} {route.prefix}", path[:NOTED_CHARACTERS]
        if arrival.headers.has_any(_UPGRADES):
            raise InvalidRequest("Connections to services are not upgraded.")
        if arrival.query and _QUERY.fullmatch(arrival.query) is None:
            raise Malformed("The query is not one that has a single reading.")
        body, value = await self._body(arrival, route)
        now_s = self._monotonic()
        deadline_s = arrival.deadline_s if route.timeout_s is None else now_s + route.timeout_s
        return Call(
            arrival=arrival,
            caller=arrival.caller,
            kind="request",
            era="modern",
            server=route.name,
            # What answers GET answers HEAD: a rule or limit for the one that did not hold for the other would be none.
            method="GET" if verb == "HEAD" else verb,
            target=path,
            params={} if value is None else {"arguments": value},
            body=body,
            id=None,
            deadline_s=earlier(arrival.headers, deadline_s, now_s),
        )

    async def _body(self, arrival: Arrival, route: Route) -> tuple[bytes, Any]:
        """The body as far as it was read, and what its JSON says."""
        incoming, body = arrival.incoming, arrival.body or b""
        if incoming is None and not body:
            return b"", None
        if arrival.verb in _BODILESS:
            # It means nothing there (RFC 9110 section 9.3.1), and whoever ignores it takes it for the next request.
            raise InvalidRequest(f"{arrival.verb} has no body.")
        kind = media.read(arrival.headers.get(b"content-type"))
        if not route.takes(kind.name):
            raise UnsupportedMediaType(f"Bodies of type {kind.name} are not accepted here.")
        max_bytes = min(route.max_body_bytes, route.max_json_bytes) if kind.is_json else route.max_body_bytes
        if incoming is None:
            if len(body) > max_bytes:
                raise PayloadTooLarge(f"The body is larger than {max_bytes} bytes.")
        else:
            incoming.admit(max_bytes)
        if not kind.is_json:
            return body, None
        if incoming is not None:
            body = await _whole(incoming)
            arrival.incoming = None
        return body, jsonrpc.decode(body, self._bounds)


async def _whole(incoming: Incoming) -> bytes:
    parts = []
    while part := await incoming.part():
        parts.append(part)
    return b"".join(parts)
