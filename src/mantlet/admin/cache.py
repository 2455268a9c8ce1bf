"""`/admin/v1/cache`: what is kept, and forgetting it."""

from collections.abc import Mapping
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from mantlet.admin.app import MAX_OBJECT_CHARS, for_admins
from mantlet.core.refusal import NotFound


class CacheOperations(Protocol):
    """What the node does. `by` is who asks, for the record."""

    async def stats(self) -> list[Mapping[str, Any]]:
        """Each process's figures."""
        ...

    async def purge(self, server: str, kind: str, by: str) -> Mapping[str, Any]:
        """Forget a server's answers of one kind, all of a server's, or everything."""
        ...


def cache_routes(operations: CacheOperations | None) -> list[BaseRoute]:
    """GET shows the figures, DELETE forgets; None: nothing is kept here."""

    async def cache(request: Request) -> Response:
        if operations is None:
            raise NotFound("Nothing is kept here: set cache.enabled in the configuration.")
        if request.method in ("GET", "HEAD"):
            return JSONResponse({"cache": await operations.stats()})
        said, trail = request.query_params, request.state.arrival.trail
        server, kind = said.get("server", ""), said.get("kind", "")
        trail.object = f"{server}/{kind}"[:MAX_OBJECT_CHARS]
        return JSONResponse(await operations.purge(server, kind, trail.principal))

    return [Route("/admin/v1/cache", for_admins(cache), methods=["GET", "DELETE"])]
