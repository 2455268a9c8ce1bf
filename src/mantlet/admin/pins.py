"""`/admin/v1/pins`: definitions, pinned and in quarantine."""

from collections.abc import Mapping
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mantlet.admin.app import for_admins


class PinsOperations(Protocol):
    """What the node does. All raise `NotFound` where nothing is pinned."""

    async def all(self) -> list[Mapping[str, Any]]:
        """Every definition, those in quarantine first."""
        ...

    async def difference(self, server: str, kind: str, name: str) -> Mapping[str, Any]:
        """What is in quarantine against what is pinned."""
        ...

    async def approve(self, server: str, kind: str, name: str, digest: str, by: str) -> Mapping[str, Any]:
        """Pin it."""
        ...

    async def reject(self, server: str, kind: str, name: str, digest: str, by: str) -> Mapping[str, Any]:
        """Say no to it."""
        ...


def pin_routes(operations: PinsOperations) -> list[Route]:
    """GET lists, or with a name shows the difference; POST approves and DELETE rejects what has the given hash."""

    async def pins(request: Request) -> Response:
        said = request.query_params
        server, kind, name = said.get("server", ""), said.get("kind", "tools"), said.get("name", "")
        trail = request.state.arrival.trail
        if request.method in ("GET", "HEAD"):
            if not name:
                return JSONResponse({"pins": await operations.all()})
            trail.object = f"{server}/{name}"[:256]
            return JSONResponse(await operations.difference(server, kind, name))
        trail.object = f"{server}/{name}"[:256]
        decide = operations.approve if request.method == "POST" else operations.reject
        return JSONResponse(await decide(server, kind, name, said.get("hash", ""), trail.principal))

    return [Route("/admin/v1/pins", for_admins(pins), methods=["GET", "POST", "DELETE"])]
