"""Assertions of an enterprise's issuer for its people: npm oidc-provider gives them, servers on the SDK and the node's
own authorization server take them (draft-ietf-oauth-identity-assertion-authz-grant)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.attacks.house import Answer, House, open_house
from tests.node.test_forwarding import free_port
from tests.servers.enterprise import CLIENT, SECRET, Enterprise, enterprise
from tests.servers.oidc_provider import Idp, needs_node, running_idp

pytestmark = [pytest.mark.node, needs_node, pytest.mark.slow]
RULES = {"rules": [{"name": "all", "allow": {"roles": ["user", "admin"]}}]}


@dataclass
class Scene:
    house: House
    idp: Idp
    far: Enterprise

    async def token(self, user: str = "alice") -> str:
        resource = f"http://127.0.0.1:{self.house.calls.port}/mcp"
        return str((await asyncio.to_thread(self.idp.authorize, user, resource))["access_token"])

    async def whoami(self, token: str) -> Answer:
        return await self.house.call("whoami", credential=token, server="far")


@contextlib.asynccontextmanager
async def scene_of(folder: Path, **application: Any) -> AsyncIterator[Scene]:
    port, far_port = free_port(), free_port()
    issuer = f"http://127.0.0.1:{far_port}"
    applications = {issuer: {"client_id": CLIENT, "users": ["alice"], **application}}
    with running_idp(folder, applications=applications) as idp:
        keys = lambda: idp.request("GET", "/jwks").json  # noqa: E731
        async with enterprise(idp.issuer, keys, far_port) as far:
            given = {
                "grant": "id_jag",
                "issuer": issuer,
                "client_id": CLIENT,
                "client_secret": SECRET,
                "scope": ["mcp:read"],
                "idp": {"issuer": idp.issuer, "client_id": "exchanger", "client_secret": Idp.secret("exchanger")},
            }
            server = {"name": "far", "url": far.url, "forward_identity": "user", "user": given}
            corp = {
                "name": "corp",
                "issuer": idp.issuer,
                "audience": f"http://127.0.0.1:{port}/mcp",
                "roles": ["user"],
            }
            async with open_house(
                folder,
                servers=0,
                authorization=RULES,
                http={"port": port},
                mcp={"servers": [server]},
                auth={"issuers": [corp]},
            ) as house:
                yield Scene(house, idp, far)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene_of(tmp_path) as scene:
        yield scene


async def test_a_caller_of_the_enterprise_is_known_without_a_question(scene: Scene) -> None:
    """FWD-01 OAUTH-07: their own token goes back to its issuer alone."""
    token = await scene.token()
    answers = await asyncio.gather(*(scene.whoami(token) for _ in range(20)))
    assert {answer.json["result"]["content"][0]["text"] for answer in answers} == {"alice mcp:read"}
    assert len(scene.far.assertions) == 1  # one asking for all
    assert token not in scene.far.assertions
    assert token not in scene.far.tokens


async def test_who_has_no_access_there_is_denied_and_not_asked(scene: Scene) -> None:
    answer = await scene.whoami(await scene.token("bob"))
    assert (answer.status, answer.json["error"]["code"]) == (403, 4403)
    assert not scene.far.assertions


async def test_callers_of_other_issuers_are_refused(scene: Scene) -> None:
    """OAUTH-07: nobody else's token is shown to this issuer."""
    before = scene.idp.counts
    answer = await scene.whoami(scene.house.keys["alice"])
    assert (answer.status, answer.json["error"]["code"]) == (403, 4403)
    assert scene.idp.counts.get("/token", 0) == before.get("/token", 0)


async def test_a_token_that_was_taken_back_is_got_anew_once(scene: Scene) -> None:
    """FWD-05"""
    token = await scene.token()
    first = await scene.whoami(token)
    assert first.status == 200, scene.house.audit()[-1]["why"]
    scene.far.tokens.clear()
    answers = await asyncio.gather(*(scene.whoami(token) for _ in range(20)))
    assert {answer.status for answer in answers} == {200}
    assert len(scene.far.assertions) == 2
    scene.far.tokens.clear()
    assert (await scene.whoami(token)).status == 502  # what was just got is not got over and over
    assert len(scene.far.assertions) == 2


@pytest.mark.parametrize(
    "application",
    [{"aud": "https://evil.example"}, {"client_id": "somebody-else"}, {"typ": "at+jwt"}],
    ids=["audience", "client", "type"],
)
async def test_an_assertion_for_another_is_not_handed_on(tmp_path: Path, application: dict[str, Any]) -> None:
    """OAUTH-08: whoever runs the server could use it there."""
    async with scene_of(tmp_path, **application) as scene:
        answer = await scene.whoami(await scene.token())
        assert answer.status == 503
        assert not scene.far.assertions
