"""Endpoints over the admin API: `GET`, `POST` (drain) and `DELETE` (undrain)
`/admin/v1/endpoints?server=SERVER&endpoint=ENDPOINT&for=SECONDS`."""

from collections.abc import Mapping
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from mantlet.admin.app import MAX_OBJECT_CHARS, for_admins, seconds


class EndpointOrders(Protocol):
    """What the node can do with its servers' endpoints. `by` is who asks, for the record."""

    async def all(self) -> list[Mapping[str, Any]]:
        """Each endpoint's state, as each worker sees it."""
        ...

    async def drain(self, server: str, endpoint: str, for_s: float | None, by: str) -> Mapping[str, Any]:
        """Let one take no new calls."""
        ...

    async def undrain(self, server: str, endpoint: str, by: str) -> bool:
        """Let it take calls again; whether it was drained."""
        ...


def endpoint_routes(orders: EndpointOrders) -> list[BaseRoute]:
    """The routes, for administrators alone."""

    async def answer(request: Request) -> Response:
        if request.method in ("GET", "HEAD"):
            return JSONResponse({"endpoints": await orders.all()})
        query, trail = request.query_params, request.state.arrival.trail
        server, endpoint = query.get("server", ""), query.get("endpoint", "")
        trail.object = f"{server} {endpoint}"[:MAX_OBJECT_CHARS]
        if request.method == "DELETE":
            was = await orders.undrain(server, endpoint, trail.principal)
            return JSONResponse({"server": server, "endpoint": endpoint, "was_drained": was})
        return JSONResponse(await orders.drain(server, endpoint, seconds(query.get("for")), trail.principal))

    return [Route("/admin/v1/endpoints", for_admins(answer), methods=["GET", "POST", "DELETE"])]
