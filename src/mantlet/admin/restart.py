"""`POST /admin/v1/restart` exchanges the workers; `GET` tells how that stands."""

from collections.abc import Mapping
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from mantlet.admin.app import for_admins
from mantlet.core.refusal import NotOffered


class Restart(Protocol):
    """What the node can do. `state` is `none`, `under way`, `done` or `failed`."""

    async def begin(self, by: str) -> Mapping[str, Any]:
        """Begin, unless one is under way; on behalf of whoever is named."""
        ...

    def told(self) -> Mapping[str, Any]:
        """How it stands."""
        ...


def restart_routes(restart: Restart | None) -> list[BaseRoute]:
    """The route, for administrators alone. None: the node is one process."""

    async def answer(request: Request) -> Response:
        if restart is None:
            raise NotOffered("A node of one process has none to put in its place: set http.workers to 2 or more.")
        if request.method == "POST":
            return JSONResponse(await restart.begin(request.state.arrival.trail.principal), 202)
        return JSONResponse(restart.told())

    return [Route("/admin/v1/restart", for_admins(answer), methods=["GET", "POST"])]
