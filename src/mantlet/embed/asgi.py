"""ASGI middleware: an application behind it is called for those requests only that a node vouches for."""

import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from mantlet.core.refusal import InvalidCredential, Refusal
from mantlet.embed.node import Node
from mantlet.wire.forwarded import Forwarded

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

IDENTITY: Final = "mantlet.identity"
"""Where the application finds the `Forwarded`, in its scope."""
MAX_BODY_BYTES: Final = 1_048_576

_BEARER: Final = b"bearer "
log: Final = logging.getLogger("mantlet.embed")


class ForwardedIdentity:
    """`ForwardedIdentity(application, node)`. Lifespan passes; WebSockets open by an exchanged token.

    The application does not see the token: it is the application's no more to hand on than it is a caller's.
    """

    def __init__(self, application: Application, node: Node, *, max_body_bytes: int = MAX_BODY_BYTES) -> None:
        self._application, self._node, self._max_body_bytes = application, node, max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection, as ASGI has it."""
        if scope["type"] not in ("http", "websocket"):
            await self._application(scope, receive, send)
            return
        request = _Request(scope, receive, self._max_body_bytes)
        try:
            found = await self._identify(scope, request)
        except _TooLarge:
            await _refuse(scope, send, 413, "The body is too large.")
        except InvalidCredential as refusal:
            log.warning("forwarded identity refused: %s", refusal.why)
            await _refuse(scope, send, 401, "This service is reached through its gateway only.")
        except Refusal as refusal:
            log.error("forwarded identity cannot be checked: %s", refusal.why)
            await _refuse(scope, send, 503, "Try again later.")
        else:
            headers = [field for field in scope["headers"] if field[0].lower() != b"authorization"]
            await self._application({**scope, "headers": headers, IDENTITY: found}, request.receive, send)

    async def _identify(self, scope: Scope, request: "_Request") -> Forwarded:
        given = [value for name, value in scope["headers"] if name.lower() == b"authorization"]
        if len(given) != 1 or given[0][:7].lower() != _BEARER:
            raise InvalidCredential("not exactly one bearer token")
        target = scope.get("raw_path") or scope["path"].encode()
        if query := scope.get("query_string"):
            target = target.partition(b"?")[0] + b"?" + query
        return await self._node.open(
            given[0][7:].strip(), method=scope.get("method", "GET"), target=target, body=request.whole
        )


class _TooLarge(Exception):
    """The body is larger than this program reads."""


class _Request:
    """A request's messages, of which the body may be read ahead."""

    def __init__(self, scope: Scope, receive: Receive, max_bytes: int) -> None:
        self._scope, self._receive, self._max_bytes = scope, receive, max_bytes
        self._body: bytes | None = None

    async def whole(self) -> bytes:
        """The body, kept for the application."""
        if self._scope["type"] != "http":
            raise InvalidCredential("sealed: is for one HTTP request")
        parts: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] != "http.request":
                raise InvalidCredential("the client left")
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._max_bytes:
                raise _TooLarge
            if not message.get("more_body", False):
                break
        self._body = b"".join(parts)
        return self._body

    async def receive(self) -> MutableMapping[str, Any]:
        """What the application is given: first the body that was read, then whatever comes."""
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        return await self._receive()


async def _refuse(scope: Scope, send: Send, status: int, detail: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    body = json.dumps({"title": "Refused", "status": status, "detail": detail}).encode()
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", b"%d" % len(body))]
    # No challenge: nobody can get a token for this service but the node.
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
