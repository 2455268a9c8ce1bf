"""`MantletMiddleware`: identity, limits, rules, filters and an audit trail before any ASGI application."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from mantlet.core.call import Reply
from mantlet.core.clock import SYSTEM
from mantlet.core.config_error import ConfigError
from mantlet.core.record import Trail
from mantlet.core.refusal import Refusal
from mantlet.core.stream import aclose
from mantlet.embed.gateway.application import Behind
from mantlet.embed.gateway.asgi import Application, Message, Receive, Scope, Send
from mantlet.embed.gateway.checked import checked
from mantlet.embed.gateway.request import Reader, Request
from mantlet.embed.gateway.websocket import REFUSED, Conversations
from mantlet.embed.log import log
from mantlet.node.build.built import Node
from mantlet.node.build.root import build
from mantlet.node.config.model import Config
from mantlet.node.housekeeping import every
from mantlet.node.path import path
from mantlet.node.shared import Shared
from mantlet.policies.authenticate.streams import CHECK_S
from mantlet.policies.services.policy import Services
from mantlet.policies.services.route import Route, Routes
from mantlet.wire.answer import unhandled
from mantlet.wire.jsonrpc import Bounds

ANY_MEDIA: Final = frozenset({f"{kind}/*" for kind in ("application", "audio", "image", "multipart", "text", "video")})
ALONE: Final = (
    "several processes (http.workers) count limits together in a store that all of them reach: name one, or switch "
    "limits off (limits.enabled)"
)
VERBS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class MantletMiddleware:
    """`MantletMiddleware(application, config)`: the node's way of a call, in the application's own process.

    `config` is a Mantlet configuration, as a file's path or as a mapping. What it says of callers, addresses, limits,
    rules (`paths`, by verb and path), filters, hosts and origins, and the audit trail holds for each request before the
    application sees it; sections on servers mean nothing here. The application finds who calls in its scope under
    `mantlet.caller`, and the credential no more. Opened with the application's lifespan, or by the first request;
    several processes of a server tell by `http.workers` how many they are.

    Raises `ConfigError` for a configuration that is not understood, or that its environment refuses.
    """

    def __init__(self, app: Application, config: str | Path | Mapping[str, Any]) -> None:
        self._application = app
        self._config = checked(config)
        if self._config.http.workers > 1 and self._config.limits.enabled and self._config.store.is_own:
            raise ConfigError("store.url", ALONE)
        self._opened = AsyncExitStack()
        self._opening = asyncio.Lock()
        self._gate: _Gate | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection, as ASGI has it."""
        if scope["type"] == "lifespan":
            await self._application(scope, receive, self._with_lifespan(send))
        else:
            gate = self._gate or await self._open()
            await gate(scope, receive, send)

    async def close(self) -> None:
        """Close what was opened; for servers without a lifespan."""
        self._gate = None
        await self._opened.aclose()

    async def _open(self) -> "_Gate":
        async with self._opening:
            if self._gate is None:
                config = self._config
                shared = Shared(config.store.full_url, config.http.workers)
                node = await self._opened.enter_async_context(build(config, shared))
                self._gate = _Gate(self._application, node)
            return self._gate

    def _with_lifespan(self, send: Send) -> Send:
        """Open before the application says it is ready, and close after it has ended."""

        async def told(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                try:
                    await self._open()
                except (ConfigError, Refusal, OSError, ValueError) as error:
                    await send({"type": "lifespan.startup.failed", "message": f"mantlet: {error}"})
                    return
            elif message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
                await self.close()
            await send(message)

        return told


class _Gate:
    """An open node before the application."""

    def __init__(self, application: Application, node: Node) -> None:
        self._application, self._node = application, node
        config = node.config
        public = urlsplit(config.agent.url or "").netloc
        self._reader = Reader(config.http, [public] if public else [], SYSTEM, node.new_id)
        steps = replace(
            node.current.generation.steps,
            services=_everything(config),
            to_service=Behind(application, node.tasks),
        )
        self._handler = path(steps)
        self._talks = Conversations(application, node.is_current)
        node.tasks.start(every(CHECK_S, self._talks.check), "asgi.websockets")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, in a task that ends when its client leaves: no error, and the server is told of none."""
        task = self._node.tasks.start(self._serve(scope, receive, send), "asgi.request", tells_itself=True)
        try:
            await task
        except asyncio.CancelledError:
            if not task.cancelled():  # it is not the client that left
                task.cancel()
                raise

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Ask the node, then answer with what came of it."""
        trail = self._reader.trail(scope)
        request: Request | None = None
        extra: list[tuple[bytes, bytes]] = []
        try:
            request, cors = await self._reader.read(scope, receive, trail)
            extra = list(cors)
            reply = await self._handler(request)
        except Refusal as refusal:
            reply = await self._node.refuse(trail, refusal)
        except Exception as error:  # a task root: one generic 500 (ERR-02)
            log.exception("request %s: %r", trail.request_id, error)
            reply = unhandled(trail)
        if scope["type"] == "websocket":
            if request is not None and request.is_admitted and reply.status == 101:
                assert request.caller is not None
                await self._talks.converse(request, request.caller, receive, send)
            else:
                await _refuse_websocket(scope, reply, extra, trail, send)
        else:
            await _send(reply, extra, trail, send)


def _everything(config: Config) -> Services:
    """Every path is the application's."""
    size = config.http.max_body_bytes
    route = Route("", "", VERBS, ANY_MEDIA, size, size, config.http.request_timeout)
    bounds = Bounds(config.validation.max_depth, config.validation.max_keys)
    return Services(Routes([route]), bounds=bounds, monotonic=SYSTEM.monotonic, root="/")


def _headers(reply: Reply, extra: list[tuple[bytes, bytes]], trail: Trail) -> list[tuple[bytes, bytes]]:
    own = [] if reply.header(b"x-request-id") is not None else [(b"x-request-id", trail.request_id.encode())]
    return [*reply.headers, *extra, *own]


async def _send(reply: Reply, extra: list[tuple[bytes, bytes]], trail: Trail, send: Send) -> None:
    headers = _headers(reply, extra, trail)
    body = reply.body
    if isinstance(body, bytes):
        if reply.header(b"content-length") is None and reply.status not in (204, 304):
            headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        return
    try:
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        async for part in body:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        await aclose(body)


async def _refuse_websocket(
    scope: Scope, reply: Reply, extra: list[tuple[bytes, bytes]], trail: Trail, send: Send
) -> None:
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": REFUSED})
        return
    headers = _headers(reply, extra, trail)
    await send({"type": "websocket.http.response.start", "status": reply.status, "headers": headers})
    body = reply.body if isinstance(reply.body, bytes) else b""
    await send({"type": "websocket.http.response.body", "body": body})
