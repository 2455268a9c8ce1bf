"""The routes of the admin door.

`/health`, `/livez` and `/readyz` say up or down to anyone (AUTHN-08); `/metrics` is for the scraper that can reach this
listener; everything under `/admin/v1` needs the role `admin` and is on no other listener (AUTHZ-05).
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from mantlet.core.refusal import (
    Denied,
    InvalidJson,
    InvalidParams,
    MethodNotAllowed,
    NotFound,
    Refusal,
    Unauthenticated,
    UnsupportedMediaType,
)
from mantlet.wire import jsonrpc

ROLE: Final = "admin"
PUBLIC: Final = frozenset({"/health", "/livez", "/readyz", "/metrics"})
PREFIX: Final = "/admin/v1/"
MAX_OBJECT_CHARS: Final = 256
JSON: Final = "application/json"
App = Starlette
"""What rooms above call it, which need not know what it is made of."""


class Operations(Protocol):
    """What the node can tell of itself."""

    async def readiness(self) -> tuple[bool, Mapping[str, Any]]:
        """Whether calls are taken now, and the state of each part."""
        ...

    async def metrics(self) -> bytes:
        """Prometheus text of all workers together."""
        ...

    async def status(self) -> Mapping[str, Any]:
        """Version, environment, workers, generation, uptime."""
        ...

    async def connections(self) -> list[Mapping[str, Any]]:
        """Open connections of all workers."""
        ...

    async def upstreams(self) -> list[Mapping[str, Any]]:
        """Each upstream's state."""
        ...


def build_app(operations: Operations, more: Sequence[BaseRoute] = ()) -> Starlette:
    """The application; `more` are the routes of other concepts, each guarded by `for_admins`.

    Refusals pass through it: they are rendered where all refusals are.
    """

    async def livez(_: Request) -> Response:
        return JSONResponse({"status": "up"})

    async def readyz(_: Request) -> Response:
        ready, _state = await operations.readiness()
        return JSONResponse({"status": "up" if ready else "down"}, status_code=200 if ready else 503)

    async def metrics(_: Request) -> Response:
        return Response(await operations.metrics(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def status(_: Request) -> Response:
        ready, parts = await operations.readiness()
        return JSONResponse({"ready": ready, "parts": parts, **await operations.status()})

    async def connections(_: Request) -> Response:
        return JSONResponse({"connections": await operations.connections()})

    async def upstreams(_: Request) -> Response:
        return JSONResponse({"upstreams": await operations.upstreams()})

    async def missing(request: Request, _: Exception) -> Response:
        raise NotFound

    async def not_allowed(request: Request, error: Exception) -> Response:
        headers = getattr(error, "headers", None) or {}
        raise MethodNotAllowed(headers.get("Allow", "GET"))

    app = Starlette(
        routes=[
            Route("/health", readyz),
            Route("/livez", livez),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
            Route("/admin/v1/status", for_admins(status)),
            Route("/admin/v1/connections", for_admins(connections)),
            Route("/admin/v1/upstreams", for_admins(upstreams)),
            *more,
        ],
        exception_handlers={404: missing, 405: not_allowed},
    )
    # A path with a slash too many is another path: no redirect is made out of what a request says its host is.
    app.router.redirect_slashes = False
    return app


def table(app: Starlette) -> list[tuple[str, tuple[str, ...]]]:
    """Each path of `app`, with the verbs it takes."""
    return [(route.path, tuple(sorted(route.methods or ()))) for route in app.routes if isinstance(route, Route)]


def seconds(text: str | None) -> float | None:
    """A parameter that is a number of seconds, where it is given."""
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        raise InvalidParams("for is a number of seconds.") from None


Endpoint = Callable[[Request], Awaitable[Response]]


def for_admins(endpoint: Endpoint) -> Endpoint:
    """`endpoint`, for callers with the role alone."""

    async def guarded(request: Request) -> Response:
        caller = request.state.arrival.caller
        if caller is None:
            raise Unauthenticated
        if ROLE not in caller.roles:
            raise Denied("The role admin is needed.", why="not an administrator")
        # Whoever calls it something else means something else, or is a form on somebody's page (HTTP-07).
        if body := await request.body():
            if _media_type(request) != JSON:
                raise UnsupportedMediaType("Bodies are application/json here.")
            _check_one_reading(body)
        return await endpoint(request)

    return guarded


def _check_one_reading(body: bytes) -> None:
    # Of two members of one name one reader takes the first, another the last.
    try:
        jsonrpc.decode(body)
    except InvalidJson as error:
        raise InvalidParams("The body is not strict JSON.", why=error.why) from error


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


__all__ = ["PREFIX", "PUBLIC", "Operations", "Refusal", "build_app", "for_admins"]
