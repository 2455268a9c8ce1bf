"""Callers' grants at upstreams over the admin API: `GET /admin/v1/grants`, `POST /admin/v1/grants/revoke` (FWD-04)."""

from collections.abc import Mapping
from typing import Annotated, Any, Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from mantlet.admin.app import for_admins
from mantlet.core.refusal import InvalidParams

Word = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]


class Revoked(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The body of the POST: whose grants, and where."""

    subject: Word
    upstream: str = ""
    """Empty: at all of them."""
    issuer: Word | None = None
    """Of the caller. Null: whichever."""
    tenant: Word = "default"


class Grants(Protocol):
    """What the node can do with grants. `by` is who asks, for the record."""

    async def all(self) -> list[Mapping[str, Any]]:
        """Every grant; no token of theirs."""
        ...

    async def revoke(self, upstream: str, subject: str, issuer: str | None, tenant: str, by: str) -> Mapping[str, Any]:
        """Take them back, everywhere within seconds; how many there were."""
        ...


def grant_routes(grants: Grants) -> list[BaseRoute]:
    """The routes, for administrators alone."""

    async def several(_: Request) -> Response:
        return JSONResponse({"grants": await grants.all()})

    async def revoke(request: Request) -> Response:
        what = _read(await request.body())
        by = request.state.arrival.trail.principal
        return JSONResponse(await grants.revoke(what.upstream, what.subject, what.issuer, what.tenant, by))

    return [
        Route("/admin/v1/grants", for_admins(several), methods=["GET"]),
        Route("/admin/v1/grants/revoke", for_admins(revoke), methods=["POST"]),
    ]


def _read(body: bytes) -> Revoked:
    try:
        return msgspec.json.decode(body, type=Revoked)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidParams(f"The body does not say whose grants to revoke: {error}") from error
