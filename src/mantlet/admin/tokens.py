"""Tokens over the admin API: `POST /admin/v1/revocations` takes back, `GET /admin/v1/logins` lists (TOK-10)."""

from collections.abc import Mapping
from typing import Annotated, Any, Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from mantlet.admin.app import for_admins
from mantlet.core.refusal import InvalidParams

Word = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]


class TakenBack(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The body of a POST: exactly one of the first five."""

    token: Word | None = None
    """A token's `jti`."""
    login: Word | None = None
    client: Word | None = None
    key: Word | None = None
    subject: Word | None = None
    issuer: Word | None = None
    """Of `token` and `subject`. Default: this node's own."""
    tenant: Word = "default"


class Tokens(Protocol):
    """What the node can do with tokens. `by` is who asks, for the record."""

    async def revoke(self, what: TakenBack, by: str) -> Mapping[str, Any]:
        """Take it back, everywhere within seconds."""
        ...

    async def logins(self) -> list[Mapping[str, Any]]:
        """The logins that go on; no token of theirs."""
        ...


def token_routes(tokens: Tokens) -> list[BaseRoute]:
    """The routes, for administrators alone."""

    async def revocations(request: Request) -> Response:
        trail = request.state.arrival.trail
        return JSONResponse(await tokens.revoke(_read(await request.body()), trail.principal), status_code=201)

    async def logins(_: Request) -> Response:
        return JSONResponse({"logins": await tokens.logins()})

    return [
        Route("/admin/v1/revocations", for_admins(revocations), methods=["POST"]),
        Route("/admin/v1/logins", for_admins(logins), methods=["GET"]),
    ]


def _read(body: bytes) -> TakenBack:
    try:
        what = msgspec.json.decode(body, type=TakenBack)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidParams(f"The body does not say what to revoke: {error}") from error
    if sum(one is not None for one in (what.token, what.login, what.client, what.key, what.subject)) != 1:
        raise InvalidParams("Name exactly one of token, login, client, key and subject.")
    return what
