"""`POST /admin/v1/reload`: take up what stands in the configuration's files now."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from mantlet.admin.app import for_admins
from mantlet.core.refusal import NotOffered

Reload = Callable[[str], Awaitable[Mapping[str, Any]]]
"""Reloads on behalf of whoever is named; gives `result`, `changed` and `reasons`."""


def reload_routes(reload: Reload | None) -> list[BaseRoute]:
    """The route, for administrators alone. None: the node was not started from files.

    What start would refuse is answered 422, with all reasons (CFG-03).
    """

    async def post(request: Request) -> Response:
        if reload is None:
            raise NotOffered("This node was not started from configuration files.")
        trail = request.state.arrival.trail
        told = await reload(trail.principal)
        if told["result"] != "refused":
            return JSONResponse(told)
        problem = {
            "type": "urn:mantlet:problem:config_refused",
            "title": "Configuration refused",
            "status": 422,
            "detail": "The configuration in force stays.",
            "reason": "config_refused",
            "request_id": trail.request_id,
        }
        return JSONResponse({**problem, **told}, 422, media_type="application/problem+json")

    return [Route("/admin/v1/reload", for_admins(post), methods=["POST"])]
