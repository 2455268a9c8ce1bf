"""Callers' own grants at a real upstream: npm oidc-provider gives them, a server on the SDK demands them."""

import asyncio
import contextlib
import html
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import ElicitRequestURLParams, ElicitResult
from tests.attacks.house import Answer, House, open_house
from tests.node.test_forwarding import free_port
from tests.servers.guarded import Guarded, guarded
from tests.servers.oidc_provider import Idp, needs_node, running_idp

pytestmark = [pytest.mark.node, needs_node, pytest.mark.slow]
RULES = {"rules": [{"name": "all", "allow": {"roles": ["user", "admin"]}}]}


@pytest.fixture(scope="module")
def idp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Idp]:
    node = {
        "client_id": "node",
        "client_secret": Idp.secret("node"),
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "application_type": "native",
        "redirect_uris": ["http://127.0.0.1/oauth/callback/docs", "http://127.0.0.1/oauth/callback/other"],
        "token_endpoint_auth_method": "client_secret_basic",
    }
    with running_idp(tmp_path_factory.mktemp("idp"), clients=[node]) as idp:
        yield idp


@dataclass
class Browser:
    """A browser at the node and at the provider: cookies, forms, and no more than a human would do with them."""

    house: House
    idp: Idp
    cookies: dict[str, str] = field(default_factory=dict)

    async def get(self, url: str) -> Answer:
        parts = urlsplit(url)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        return self._kept(await self.house.ask("GET", path, self._fields()))

    async def post(self, path: str, form: dict[str, str], **more: str) -> Answer:
        body = urlencode(form).encode()
        fields = {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin", **more}
        return self._kept(await self.house.ask("POST", path, {**self._fields(), **fields}, body))

    async def set_out(self, url: str, key: str) -> str:
        """Open the link, prove who it is; where the browser is sent."""
        page = await self.get(url)
        assert page.status == 200, page.body
        answer = await self.post("/oauth/connect", {"ticket": ticket_in(page), "api_key": key, "decision": "allow"})
        found = re.search(r'http-equiv="refresh" content="0;url=([^"]+)"', answer.body.decode())
        assert found, answer.body
        return html.unescape(found[1])

    async def log_in(self, there: str, user: str = "alice") -> str:
        """At the provider; where its answer leads."""
        return (await asyncio.to_thread(self.idp.browse, f"{there}&login_hint={user}"))["url"]

    async def connect(self, url: str, key: str, user: str = "alice") -> Answer:
        """The whole way."""
        return await self.get(await self.log_in(await self.set_out(url, key), user))

    def _fields(self) -> dict[str, str]:
        jar = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return {"Cookie": jar} if jar else {}

    def _kept(self, answer: Answer) -> Answer:
        if (given := answer.headers.get("set-cookie")) is not None:
            name, _, value = given.partition(";")[0].partition("=")
            self.cookies[name] = value
        return answer


def ticket_in(page: Answer) -> str:
    found = re.search(r'name="ticket" value="([^"]+)"', page.body.decode())
    assert found, page.body
    return html.unescape(found[1])


@dataclass
class Scene:
    house: House
    idp: Idp
    docs: Guarded

    def browser(self) -> Browser:
        return Browser(self.house, self.idp)

    async def link(self, who: str = "alice") -> str:
        """The page that a call without a grant names."""
        answer = await self.house.legacy(
            "tools/call", {"name": "whoami", "arguments": {}}, server="docs", credential=self.house.keys[who]
        )
        assert answer.json["error"]["code"] == -32042, answer.body
        return str(answer.json["error"]["data"]["elicitations"][0]["url"])

    @contextlib.asynccontextmanager
    async def client(self, mode: str, who: str = "alice", **more: Any) -> AsyncIterator[Client]:
        headers = {"Authorization": f"Bearer {self.house.keys[who]}"}
        async with httpx2.AsyncClient(headers=headers, timeout=30) as http:
            transport = streamable_http_client(f"http://127.0.0.1:{self.house.calls.port}/mcp/docs", http_client=http)
            async with Client(transport, mode=mode, **more) as client:
                yield client


@contextlib.asynccontextmanager
async def scene_of(folder: Path, idp: Idp, **user: Any) -> AsyncIterator[Scene]:
    port = free_port()
    async with guarded(idp.issuer, lambda: idp.request("GET", "/jwks").json) as docs:
        given = {
            "issuer": idp.issuer,
            "client_id": "node",
            "client_secret": Idp.secret("node"),
            "scope": ["mcp:read"],
            **user,
        }
        server = {"name": "docs", "url": docs.url, "forward_identity": "user", "user": given}
        async with open_house(
            folder, servers=0, authorization=RULES, http={"port": port}, mcp={"servers": [server]}
        ) as house:
            yield Scene(house, idp, docs)


@pytest.fixture
async def scene(tmp_path: Path, idp: Idp) -> AsyncIterator[Scene]:
    async with scene_of(tmp_path, idp) as scene:
        yield scene


async def whoami(scene: Scene, who: str = "alice") -> Answer:
    return await scene.house.call("whoami", credential=scene.house.keys[who], server="docs")


def text_of(answer: Answer) -> str:
    assert answer.status == 200, answer.body
    return str(answer.json["result"]["content"][0]["text"])


async def test_a_modern_client_is_sent_to_the_page_and_its_retry_passes(scene: Scene) -> None:
    """FWD-01 OAUTH-03: nothing of the caller's own request goes on; the token is for the upstream alone."""
    opened: list[str] = []

    async def elicited(_: Any, params: Any) -> ElicitResult:
        assert isinstance(params, ElicitRequestURLParams)
        opened.append(params.url)
        done = await scene.browser().connect(params.url, scene.house.keys["alice"])
        assert done.status == 200, done.body
        return ElicitResult(action="accept")

    async with scene.client("2026-07-28", elicitation_callback=elicited) as client:
        first = await client.call_tool("whoami", {})
        second = await client.call_tool("whoami", {})
    assert [first.content[0].text, second.content[0].text] == ["alice mcp:read"] * 2
    assert len(opened) == 1
    shown = {fields["authorization"] for fields in scene.docs.headers}
    assert shown
    assert not any(scene.house.keys["alice"] in one for one in shown)
    assert all(name not in fields for fields in scene.docs.headers for name in ("cookie", "x-api-key"))
