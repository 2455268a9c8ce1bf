import json
from collections.abc import Mapping
from typing import Any

import pytest

from mantlet.admin.app import PUBLIC, build_app
from mantlet.admin.blocks import block_routes
from mantlet.admin.bridge import bridge
from mantlet.admin.keys import Wanted, key_routes
from mantlet.admin.limits import limit_routes
from mantlet.admin.tokens import TakenBack, token_routes
from mantlet.core.call import Arrival
from mantlet.core.caller import Caller
from mantlet.core.headers import Headers
from mantlet.core.record import Trail
from mantlet.core.refusal import Denied, InvalidParams, NotFound, Unauthenticated, UnsupportedMediaType


class Operations:
    ready = True

    async def readiness(self) -> tuple[bool, Mapping[str, Any]]:
        return self.ready, {"audit": "able"}

    async def metrics(self) -> bytes:
        return b"# HELP x\n"

    async def status(self) -> Mapping[str, Any]:
        return {"version": "1"}

    async def connections(self) -> list[Mapping[str, Any]]:
        return [{"peer": "192.0.2.1"}]

    async def upstreams(self) -> list[Mapping[str, Any]]:
        return []


class Limits:
    def __init__(self) -> None:
        self.forgotten: list[str] = []

    async def status(self, client: str) -> Mapping[str, Any]:
        return {"limits": []}

    async def reset(self, client: str) -> int:
        self.forgotten.append(client)
        return 1


class Blocks:
    async def all(self) -> list[Mapping[str, Any]]:
        return []

    async def block(self, address: str, for_s: float | None, by: str) -> Mapping[str, Any]:
        return {"address": address}

    async def unblock(self, address: str, by: str) -> bool:
        return True


class Tokens:
    def __init__(self) -> None:
        self.taken: list[TakenBack] = []

    async def revoke(self, what: TakenBack, by: str) -> Mapping[str, Any]:
        self.taken.append(what)
        return {"logins": 0}

    async def logins(self) -> list[Mapping[str, Any]]:
        return []


class Keys:
    def __init__(self) -> None:
        self.made: list[Any] = []

    async def all(self) -> list[Mapping[str, Any]]:
        return [{"id": "one"}]

    async def create(self, wanted: Wanted, by: str) -> Mapping[str, Any]:
        self.made.append(wanted)
        return {"id": "two", "key": "mk_two_x", "by": by}

    async def revoke(self, key_id: str, by: str) -> Mapping[str, Any] | None:
        return {"id": key_id, "by": by} if key_id == "one" else None


def arrival(
    path: str,
    verb: str = "GET",
    roles: frozenset[str] | None = None,
    query: bytes = b"",
    body: bytes = b"",
    media_type: bytes = b"application/json",
) -> Arrival:
    async def read() -> bytes:
        return body

    caller = None if roles is None else Caller("ada", "keys", "api_key", roles=roles)
    headers = Headers([(b"content-type", media_type)] if media_type else [])
    return Arrival(
        verb, path, query, headers, "127.0.0.1", read, 1e9, Trail("r1", "admin", "127.0.0.1", 0.0), caller=caller
    )


def app() -> Any:
    more = [*limit_routes(Limits()), *block_routes(Blocks()), *key_routes(Keys()), *token_routes(Tokens())]
    return build_app(Operations(), more)


ROUTES = [route.path for route in app().routes]  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", [path for path in ROUTES if path not in PUBLIC])
@pytest.mark.parametrize(("roles", "refusal"), [(None, Unauthenticated), (frozenset({"user"}), Denied)])
async def test_every_route_but_the_public_ones_is_for_administrators(path, roles, refusal) -> None:
    """AUTHN-01, AUTHZ-05: the real route table."""
    with pytest.raises(refusal):
        await bridge(app())(arrival(path, "POST" if path.endswith("revocations") else "GET", roles=roles))


@pytest.mark.parametrize("path", sorted(PUBLIC))
async def test_public_routes_tell_strangers_up_or_down_only(path) -> None:
    """AUTHN-08"""
    reply = await bridge(build_app(Operations()))(arrival(path))
    assert reply.status == 200
    assert path == "/metrics" or json.loads(reply.body) == {"status": "up"}


async def test_a_node_that_cannot_take_calls_is_not_ready_but_alive() -> None:
    operations = Operations()
    operations.ready = False
    handle = bridge(build_app(operations))
    assert [(await handle(arrival(path))).status for path in ("/livez", "/readyz", "/health")] == [200, 503, 503]


async def test_an_administrator_resets_a_client_whose_name_has_slashes() -> None:
    limits = Limits()
    admin = frozenset({"admin"})
    client = "default/https://idp.example/ada"
    reset = arrival("/admin/v1/limits", "DELETE", admin, query=b"client=default/https%3A%2F%2Fidp.example/ada")
    reply = await bridge(build_app(Operations(), limit_routes(limits)))(reset)
    assert json.loads(reply.body) == {"client": client, "reset": 1}
    assert limits.forgotten == [client]
    assert reset.trail.object == client


async def test_an_unknown_path_is_refused_as_everywhere() -> None:
    with pytest.raises(NotFound):
        await bridge(build_app(Operations()))(arrival("/admin/v2/status", roles=frozenset({"admin"})))


ADMIN = frozenset({"admin"})


async def test_a_new_key_is_shown_once_and_kept_by_nobody_on_the_way() -> None:
    """AUTHN-05"""
    reply = await bridge(app())(arrival("/admin/v1/keys", "POST", ADMIN, body=b'{"name": "ci", "roles": ["user"]}'))
    assert (reply.status, reply.header(b"cache-control")) == (201, b"no-store")
    assert json.loads(reply.body)["key"] == "mk_two_x"
    told = json.loads((await bridge(app())(arrival("/admin/v1/keys", roles=ADMIN))).body)
    assert told == {"keys": [{"id": "one"}]}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"name": ""}',
        b'{"name": "ci", "admin": true}',
        b'{"name": "ci", "roles": "admin"}',
        b'{"name": "ci", "expires_in": -1}',
        b'{"name": "ci", "expires_in": true}',
        b'\xff{"name": "ci"}',
    ],
)
async def test_an_odd_wish_for_a_key_makes_none(body: bytes) -> None:
    keys = Keys()
    with pytest.raises(InvalidParams):
        await bridge(build_app(Operations(), key_routes(keys)))(arrival("/admin/v1/keys", "POST", ADMIN, body=body))
    assert keys.made == []


async def test_a_key_is_ended_by_its_id_and_an_unknown_one_is_not_found() -> None:
    reply = await bridge(app())(arrival("/admin/v1/keys/one", "DELETE", ADMIN))
    assert json.loads(reply.body)["id"] == "one"
    for verb in ("GET", "DELETE"):
        with pytest.raises(NotFound):
            await bridge(app())(arrival("/admin/v1/keys/none", verb, ADMIN))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"token": ""}',
        b'{"token": "a", "login": "b"}',
        b'{"tenant": "t"}',
        b'{"token": 1}',
        b'{"all": "x"}',
    ],
)
async def test_what_is_taken_back_is_named_once(body: bytes) -> None:
    """TOK-10"""
    tokens = Tokens()
    door = bridge(build_app(Operations(), token_routes(tokens)))
    with pytest.raises(InvalidParams):
        await door(arrival("/admin/v1/revocations", "POST", ADMIN, body=body))
    assert tokens.taken == []
    reply = await door(arrival("/admin/v1/revocations", "POST", ADMIN, body=b'{"token": "a"}'))
    assert (reply.status, [what.token for what in tokens.taken]) == (201, ["a"])


@pytest.mark.parametrize(
    "media_type", [b"", b"text/plain", b"application/x-www-form-urlencoded", b"multipart/form-data", b"json"]
)
async def test_a_body_that_is_not_called_json_is_refused(media_type: bytes) -> None:
    """HTTP-07: 415, and nothing is done."""
    for path in ("/admin/v1/keys", "/admin/v1/revocations"):
        with pytest.raises(UnsupportedMediaType):
            await bridge(app())(arrival(path, "POST", ADMIN, body=b'{"name": "ci"}', media_type=media_type))


@pytest.mark.parametrize("media_type", [b"application/json", b"Application/JSON; charset=utf-8"])
async def test_json_by_any_spelling_is_taken(media_type: bytes) -> None:
    body = b'{"name": "ci", "roles": ["user"]}'
    reply = await bridge(app())(arrival("/admin/v1/keys", "POST", ADMIN, body=body, media_type=media_type))
    assert reply.status == 201
