"""API keys over the admin API: `GET` and `POST /admin/v1/keys`, `GET` and `DELETE /admin/v1/keys/{id}` (AUTHN-05)."""

from collections.abc import Mapping
from typing import Annotated, Any, Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from mantlet.admin.app import for_admins
from mantlet.core.refusal import InvalidParams, NotFound

Word = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The body of a POST. Without `expires_in` (seconds) the key does not expire."""

    name: Word
    owner: str = ""
    tenant: str = "default"
    kind: str = "service"
    roles: tuple[Word, ...] = ()
    scopes: tuple[Word, ...] = ()
    expires_in: Annotated[float, msgspec.Meta(gt=0)] | None = None


class Keys(Protocol):
    """What the node can do with its keys. `by` is who asks, for the record."""

    async def all(self) -> list[Mapping[str, Any]]:
        """Every key, revoked ones too, oldest first; never a key or its hash."""
        ...

    async def create(self, wanted: Wanted, by: str) -> Mapping[str, Any]:
        """Make one; `key` in the answer is given this once. Raises `InvalidParams`."""
        ...

    async def revoke(self, key_id: str, by: str) -> Mapping[str, Any] | None:
        """End one for ever; None when there is no such key."""
        ...


def key_routes(keys: Keys) -> list[BaseRoute]:
    """The routes, for administrators alone."""

    async def several(request: Request) -> Response:
        if request.method != "POST":
            return JSONResponse({"keys": await keys.all()})
        trail = request.state.arrival.trail
        made = await keys.create(_wanted(await request.body()), trail.principal)
        trail.object = made["id"]
        # Shown once: nobody on the way may keep it.
        return JSONResponse(made, status_code=201, headers={"cache-control": "no-store"})

    async def one(request: Request) -> Response:
        key_id = request.path_params["id"]
        if request.method == "DELETE":
            told = await keys.revoke(key_id, request.state.arrival.trail.principal)
        else:
            told = next((key for key in await keys.all() if key["id"] == key_id), None)
        if told is None:
            raise NotFound
        return JSONResponse(told)

    return [
        Route("/admin/v1/keys", for_admins(several), methods=["GET", "POST"]),
        Route("/admin/v1/keys/{id}", for_admins(one), methods=["GET", "DELETE"]),
    ]


def _wanted(body: bytes) -> Wanted:
    try:
        return msgspec.json.decode(body, type=Wanted)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidParams(f"The body is not what a new key needs: {error}") from error
