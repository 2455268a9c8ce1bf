"""Assertions of an enterprise's issuer for its people: npm oidc-provider gives them, servers on the SDK and the node's
own authorization server take them (draft-ietf-oauth-identity-assertion-authz-grant)."""

import asyncio
import base64
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jwt
import pytest
from bench.rig.process import free_port
from tests.attacks.house import Answer, House, open_house
from tests.servers.enterprise import CLIENT, SECRET, Enterprise, enterprise
from tests.servers.oidc_provider import EXCHANGE, Idp, needs_node, running_idp

from mantlet.core.api_key import id_of
from mantlet.keys.api_keys import make_api_key
from mantlet.keys.signing import make_signing_key

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


# --- shown to the node's own authorization server ---


@dataclass
class Own:
    house: House
    idp: Idp
    root: str
    client: str
    key: str

    async def assertion(self, user: str = "alice", **more: Any) -> str:
        """As a client of the enterprise gets it."""
        subject = (await asyncio.to_thread(self.idp.authorize, user, "https://anything.example"))["access_token"]
        form = {
            "grant_type": EXCHANGE,
            "requested_token_type": "urn:ietf:params:oauth:token-type:id-jag",
            "subject_token": subject,
            "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "audience": self.root,
            "scope": "mcp:read",
            **more,
        }
        return str((await asyncio.to_thread(lambda: self.idp.token(client="exchanger", **form)))["access_token"])

    async def show(self, assertion: str, *, secret: str = "", **form: str) -> Answer:
        pair = base64.b64encode(f"{self.client}:{secret or self.key}".encode()).decode()
        fields = {"Content-Type": "application/x-www-form-urlencoded", "Authorization": f"Basic {pair}"}
        whole = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion, **form}
        return await self.house.ask("POST", "/oauth/token", fields, urlencode(whole).encode())


@contextlib.asynccontextmanager
async def own_of(folder: Path, *, by: tuple[str, ...] = ("corp",), **application: Any) -> AsyncIterator[Own]:
    held = socket.socket()  # until the provider has chosen another
    held.bind(("127.0.0.1", 0))
    port = held.getsockname()[1]
    root = f"http://127.0.0.1:{port}"
    key = make_api_key()[1].reveal()
    client = id_of(key.encode())
    assert client is not None
    make_signing_key(folder / "jwt.key")
    with running_idp(folder, applications={root: {"client_id": client, **application}}) as idp:
        held.close()
        corp = {"name": "corp", "issuer": idp.issuer, "audience": f"{root}/mcp", "claims": {"roles": "groups"}}
        auth = {
            "api_keys": [{"name": "program", "key": key, "roles": ["user"]}],
            "issuers": [corp],
            "jwt": {"key_file": str(folder / "jwt.key")},
            "server": {"assertions": {"issuers": list(by)}},
        }
        async with open_house(folder, authorization=RULES, http={"port": port}, auth=auth) as house:
            yield Own(house, idp, root, client, key)


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[Own]:
    async with own_of(tmp_path, claims={"groups": ["user", "admin"]}) as own:
        yield own


async def test_the_node_gives_a_token_for_an_assertion_and_no_more_than_it_says(own: Own) -> None:
    """OAUTH-07"""
    published = await own.house.ask("GET", "/.well-known/oauth-authorization-server")
    assert published.json["authorization_grant_profiles_supported"] == ["urn:ietf:params:oauth:grant-profile:id-jag"]
    given = await own.show(await own.assertion())
    assert given.status == 200, given.body
    assert "refresh_token" not in given.json
    claims = jwt.decode(given.json["access_token"], options={"verify_signature": False})
    assert claims["sub"] == f"{own.idp.issuer}#alice"
    assert claims["roles"] == ["user"]  # an administrator there is none by a program here
    assert claims["scope"] == "mcp:read"
    called = await own.house.call(credential=given.json["access_token"], message="hi")
    assert called.status == 200
    more = await own.show(await own.assertion(), scope="mcp:read mcp:write")
    assert (more.status, more.json["error"]) == (400, "invalid_scope")


async def test_an_assertion_counts_once(own: Own) -> None:
    """OAUTH-07: also of those that are shown in one moment."""
    assertion = await own.assertion()
    answers = await asyncio.gather(*(own.show(assertion) for _ in range(10)))
    assert sorted(answer.status for answer in answers) == [200] + [400] * 9
    assert {answer.json["error"] for answer in answers if answer.status == 400} == {"invalid_grant"}


async def test_an_assertion_for_one_resource_is_for_no_other(own: Own) -> None:
    """OAUTH-07"""
    part = f"{own.root}/mcp/one"
    given = await own.show(await own.assertion(resource=part))
    assert jwt.decode(given.json["access_token"], options={"verify_signature": False})["aud"] == part
    other = await own.show(await own.assertion(resource=part), resource=f"{own.root}/mcp")
    assert (other.status, other.json["error"]) == (400, "invalid_target")
    foreign = await own.show(await own.assertion(resource="https://elsewhere.example"))
    assert (foreign.status, foreign.json["error"]) == (400, "invalid_target")


async def test_other_tokens_are_no_assertions(own: Own) -> None:
    """TOK-06 OAUTH-07: an access token of the same issuer, a changed one, and one of our own."""
    access = (await asyncio.to_thread(own.idp.authorize, "alice", f"{own.root}/mcp"))["access_token"]
    good = await own.assertion()
    ours = (await own.show(good)).json["access_token"]
    head, body, signature = (await own.assertion()).split(".")
    for bad in (access, ours, f"{head}.{body}.{signature[:-4]}AAAA", "x", "eyJ", "a.b.c", "x" * 60_000):
        answer = await own.show(bad)
        assert (answer.status, answer.json["error"]) == (400, "invalid_grant"), bad[:40]


async def test_only_the_client_that_it_names_may_show_it_and_only_with_its_secret(own: Own) -> None:
    """OAUTH-08"""
    assertion = await own.assertion()
    wrong = await own.show(assertion, secret="wrong")
    assert (wrong.status, wrong.json["error"]) == (401, "invalid_client")
    fields = {"Content-Type": "application/x-www-form-urlencoded"}
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion, "client_id": "mantlet"}
    public = await own.house.ask("POST", "/oauth/token", fields, urlencode(form).encode())
    assert (public.status, public.json["error"]) == (400, "unauthorized_client")
    assert (await own.show(assertion)).status == 200  # and none of it was spent by that


@pytest.mark.parametrize(
    "application",
    [
        {"aud": "https://other.example"},
        {"aud": ["https://other.example", "..."]},
        {"client_id": "somebody-else"},
        {"typ": "at+jwt"},
        {"claims": {"cnf": {"jkt": "x" * 43}}},
        {"claims": {"resource": ["https://a.example"]}},
    ],
    ids=["audience", "two audiences", "client", "type", "bound", "resources"],
)
async def test_an_assertion_that_is_for_others_is_refused(tmp_path: Path, application: dict[str, Any]) -> None:
    """OAUTH-07 OAUTH-08"""
    async with own_of(tmp_path, **application) as own:
        answer = await own.show(await own.assertion())
        assert answer.status == 400
        assert answer.json["error"] in ("invalid_grant", "invalid_target")
