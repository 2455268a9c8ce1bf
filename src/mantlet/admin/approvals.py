"""Approvals over the admin API: `GET /admin/v1/approvals`, `GET /admin/v1/approvals/{id}`, and `POST` there with
`decision=approve` or `decision=deny` in the query."""

from collections.abc import Mapping
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from mantlet.admin.app import for_admins
from mantlet.core.caller import Caller
from mantlet.core.refusal import InvalidParams


class Approvals(Protocol):
    """What an operator can do with calls that wait."""

    async def all(self) -> list[Mapping[str, Any]]:
        """Those that are kept, the newest first."""
        ...

    async def one(self, request_id: str) -> Mapping[str, Any]:
        """One with all its arguments, hidden characters made visible."""
        ...

    async def decide(self, request_id: str, by: Caller, *, allows: bool, remark: str) -> Mapping[str, Any]:
        """Say yes or no."""
        ...


def approval_routes(approvals: Approvals) -> list[BaseRoute]:
    """The routes, for administrators alone."""

    async def several(_: Request) -> Response:
        return JSONResponse({"approvals": await approvals.all()})

    async def one(request: Request) -> Response:
        request_id = request.path_params["id"]
        if request.method != "POST":
            return JSONResponse(await approvals.one(request_id))
        decision = request.query_params.get("decision", "")
        if decision not in ("approve", "deny"):
            raise InvalidParams("decision is approve or deny.")
        remark = request.query_params.get("note", "")
        caller = request.state.arrival.caller
        told = await approvals.decide(request_id, caller, allows=decision == "approve", remark=remark)
        return JSONResponse(told)

    return [
        Route("/admin/v1/approvals", for_admins(several), methods=["GET"]),
        Route("/admin/v1/approvals/{id}", for_admins(one), methods=["GET", "POST"]),
    ]
