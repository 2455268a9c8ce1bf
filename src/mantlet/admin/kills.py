"""Kill switches over the admin API: `GET`, `POST` and `DELETE /admin/v1/kills?kind=KIND&name=NAME`."""

from collections.abc import Mapping
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from mantlet.admin.app import MAX_OBJECT_CHARS, for_admins


class Kills(Protocol):
    """What the node can do with its switches. `by` is who asks, for the record."""

    async def all(self) -> list[Mapping[str, Any]]:
        """Those in force."""
        ...

    async def kill(self, kind: str, name: str, reason: str, by: str) -> Mapping[str, Any]:
        """Stop an agent, a tool, an upstream or a caller."""
        ...

    async def unkill(self, kind: str, name: str, by: str) -> bool:
        """Let it go on; whether it was stopped."""
        ...


def kill_routes(kills: Kills) -> list[BaseRoute]:
    """The routes, for administrators alone."""

    async def answer(request: Request) -> Response:
        if request.method in ("GET", "HEAD"):
            return JSONResponse({"kills": await kills.all()})
        query, trail = request.query_params, request.state.arrival.trail
        kind, name = query.get("kind", ""), query.get("name", "")
        trail.object = f"{kind} {name}"[:MAX_OBJECT_CHARS]
        if request.method == "DELETE":
            return JSONResponse(
                {"kind": kind, "name": name, "was_killed": await kills.unkill(kind, name, trail.principal)}
            )
        return JSONResponse(await kills.kill(kind, name, query.get("reason", ""), trail.principal))

    return [Route("/admin/v1/kills", for_admins(answer), methods=["GET", "POST", "DELETE"])]
