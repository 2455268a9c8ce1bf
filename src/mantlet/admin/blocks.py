"""Blocked addresses over the admin API: `GET`, `POST` and `DELETE /admin/v1/blocks?address=ADDRESS&for=SECONDS`."""

from collections.abc import Mapping
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from mantlet.admin.app import MAX_OBJECT_CHARS, for_admins, seconds


class Blocks(Protocol):
    """What the node can do with addresses. `by` is who asks, for the record."""

    async def all(self) -> list[Mapping[str, Any]]:
        """Those that are blocked."""
        ...

    async def block(self, address: str, for_s: float | None, by: str) -> Mapping[str, Any]:
        """Block one, for a time or as its history says."""
        ...

    async def unblock(self, address: str, by: str) -> bool:
        """Let it in again; whether it was blocked."""
        ...


def block_routes(blocks: Blocks) -> list[BaseRoute]:
    """The routes, for administrators alone."""

    async def answer(request: Request) -> Response:
        if request.method in ("GET", "HEAD"):
            return JSONResponse({"blocks": await blocks.all()})
        trail = request.state.arrival.trail
        address = trail.object = request.query_params.get("address", "")[:MAX_OBJECT_CHARS]
        if request.method == "DELETE":
            was = await blocks.unblock(address, trail.principal)
            return JSONResponse({"address": address, "was_blocked": was})
        return JSONResponse(await blocks.block(address, seconds(request.query_params.get("for")), trail.principal))

    return [Route("/admin/v1/blocks", for_admins(answer), methods=["GET", "POST", "DELETE"])]
