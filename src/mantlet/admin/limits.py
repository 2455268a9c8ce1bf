"""A client's windows over the admin API: `GET` and `DELETE /admin/v1/limits?client=CLIENT`."""

from collections.abc import Mapping
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from mantlet.admin.app import MAX_OBJECT_CHARS, for_admins


class ClientLimits(Protocol):
    """What the node knows of a client's limits."""

    async def status(self, client: str) -> Mapping[str, Any]:
        """Its windows."""
        ...

    async def reset(self, client: str) -> int:
        """Forget them; how many there were."""
        ...


def limit_routes(limits: ClientLimits) -> list[BaseRoute]:
    """The routes, for administrators alone."""

    async def answer(request: Request) -> Response:
        client = request.query_params.get("client", "")
        request.state.arrival.trail.object = client[:MAX_OBJECT_CHARS]
        if request.method == "DELETE":
            return JSONResponse({"client": client, "reset": await limits.reset(client)})
        return JSONResponse({"client": client, **await limits.status(client)})

    return [Route("/admin/v1/limits", for_admins(answer), methods=["GET", "DELETE"])]
