"""`POST /admin/v1/leave?after=SECONDS` ends the node with notice; `DELETE` takes it back."""

import math
from typing import Final, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from mantlet.admin.app import for_admins
from mantlet.core.refusal import InvalidParams, NotOffered

NOTICE_S: Final = 10.0


class Leaving(Protocol):
    """What the node can do, on behalf of whoever is named."""

    async def begin(self, by: str, notice_s: float) -> None:
        """Say that it goes, and go after `notice_s`."""
        ...

    async def stay(self, by: str) -> bool:
        """Take it back; whether there was anything to."""
        ...


def leave_routes(leaving: Leaving | None) -> list[BaseRoute]:
    """The route, for administrators alone."""

    async def answer(request: Request) -> Response:
        if leaving is None:
            raise NotOffered("This node is ended by whoever has started it.")
        principal = request.state.arrival.trail.principal
        if request.method == "DELETE":
            return JSONResponse({"was_leaving": await leaving.stay(principal)})
        try:
            notice_s = float(request.query_params.get("after", NOTICE_S))
        except ValueError:
            notice_s = math.nan
        if math.isnan(notice_s):
            raise InvalidParams("after is a number of seconds.")
        await leaving.begin(principal, notice_s)
        return JSONResponse({"leaves_after_s": notice_s}, 202)

    return [Route("/admin/v1/leave", for_admins(answer), methods=["POST", "DELETE"])]
