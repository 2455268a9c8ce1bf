"""Callers' own grants at a real upstream: npm oidc-provider gives them, a server on the SDK demands them."""

import asyncio
import contextlib
import html
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import jwt
import pytest
from bench.rig.process import free_port
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError, UrlElicitationRequiredError
from mcp_types import ElicitRequestURLParams, ElicitResult
from tests.attacks.house import Answer, House, call_body, open_house
from tests.servers.guarded import Guarded, guarded
from tests.servers.oidc_provider import DEVICE, Idp, needs_node, running_idp

from mantlet.keys.signing import make_signing_key
from mantlet.policies.authorization_server.code import challenge_of
from mantlet.upstreams.identity.user.kept import GrantKey, unseal

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
        "redirect_uris": ["http://127.0.0.1/oauth/callback/docs", "http://127.0.0.1/oauth/callback/api"],
        "token_endpoint_auth_method": "client_secret_basic",
    }
    login = node | {"client_id": "login", "client_secret": Idp.secret("login")}
    login["redirect_uris"] = ["http://127.0.0.1/oauth/login/corp"]
    with running_idp(tmp_path_factory.mktemp("idp"), clients=[node, login]) as idp:
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
        return sent_to(
            await self.post("/oauth/connect", {"ticket": ticket_in(page), "api_key": key, "decision": "allow"})
        )

    async def begin_login(self, page: Answer, action: str = "/oauth/connect") -> str:
        """Press the button of the issuer; where the browser is sent."""
        answer = await self.post(action, {"ticket": ticket_in(page), "login": "corp"})
        return sent_to(answer)

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


def sent_to(answer: Answer) -> str:
    found = re.search(r'http-equiv="refresh" content="0;url=([^"]+)"', answer.body.decode())
    assert found, answer.body
    return html.unescape(found[1])


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
async def scene_of(
    folder: Path, idp: Idp, *, service: bool = False, login: bool = False, **user: Any
) -> AsyncIterator[Scene]:
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
        api = {"name": "api", "url": docs.url.removesuffix("/mcp"), "forward_identity": "user"}
        api["user"] = given | {"resource": docs.url}
        sections: dict[str, Any] = {"http_upstreams": [api]} if service else {}
        if login:
            make_signing_key(folder / "jwt.key")
            corp = {
                "name": "corp",
                "issuer": idp.issuer,
                "audience": f"http://127.0.0.1:{port}/mcp",
                "roles": ["user"],
                "login": {"client_id": "login", "client_secret": Idp.secret("login"), "scope": ["mcp:read"]},
            }
            client = {"id": "desk", "redirect_uris": ["http://127.0.0.1/callback"], "roles": ["user"]}
            sections["auth"] = {
                "issuers": [corp],
                "jwt": {"key_file": str(folder / "jwt.key")},
                "server": {"clients": [client], "device": {"interval": 1}},
            }
        async with open_house(
            folder, servers=0, authorization=RULES, http={"port": port}, mcp={"servers": [server]}, **sections
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


async def test_a_modern_client_without_pages_gets_the_error_that_the_specification_has(scene: Scene) -> None:
    """FWD-01: -32021 at 400, never a question that it cannot answer, and no wait."""
    answer = await whoami(scene)
    assert answer.status == 400
    error = answer.json["error"]
    assert error["code"] == -32021
    assert error["data"]["requiredCapabilities"] == {"elicitation": {"url": {}}}
    page = await scene.browser().get(error["data"]["url"])
    assert page.status == 200
    assert not scene.docs.seen  # the server was not even asked


async def test_who_declines_is_not_asked_again_and_again(scene: Scene) -> None:
    asked = 0

    async def declined(_: Any, __: Any) -> ElicitResult:
        nonlocal asked
        asked += 1
        return ElicitResult(action="decline")

    async with scene.client("2026-07-28", elicitation_callback=declined) as client:
        with pytest.raises(MCPError) as told:
            await client.call_tool("whoami", {})
    assert told.value.error.code == 4403
    assert asked == 1


async def test_the_page_wants_the_very_user_who_was_asked(scene: Scene) -> None:
    """OAUTH-04 FWD-04: a link of Alice's that Bob opens connects nothing, to neither of them."""
    link = await scene.link("alice")
    bob = scene.browser()
    page = await bob.get(link)
    form = {"ticket": ticket_in(page), "api_key": scene.house.keys["bob"], "decision": "allow"}
    refused = await bob.post("/oauth/connect", form)
    assert (refused.status, b"somebody else" in refused.body) == (400, True)
    assert b"alice" not in page.body + refused.body  # and it does not say whose it is
    for who in ("alice", "bob"):
        assert (await whoami(scene, who)).json["error"]["code"] == -32021


async def test_each_user_has_their_own(scene: Scene) -> None:
    """FWD-01: chosen by caller and upstream."""
    for who in ("alice", "bob"):
        await scene.browser().connect(await scene.link(who), scene.house.keys[who], who)
    assert text_of(await whoami(scene, "alice")) == "alice mcp:read"
    assert text_of(await whoami(scene, "bob")) == "bob mcp:read"
    assert len({fields["authorization"] for fields in scene.docs.headers}) == 2


async def test_a_state_is_good_once_in_its_own_browser_and_for_its_own_upstream(scene: Scene) -> None:
    """OAUTH-03"""
    alice, thief = scene.browser(), scene.browser()
    back = await alice.log_in(await alice.set_out(await scene.link(), scene.house.keys["alice"]))
    assert (await thief.get(back)).status == 400  # another browser, and it spends nothing
    assert (await alice.get(back.replace("/callback/docs", "/callback/other"))).status in (400, 401, 404)
    assert (await alice.get(back)).status == 200
    assert (await alice.get(back)).status == 400  # again
    assert text_of(await whoami(scene)) == "alice mcp:read"
    assert scene.idp.counts["/token"] >= 1


async def test_of_one_answer_that_comes_many_times_at_once_one_is_taken(scene: Scene) -> None:
    """OAUTH-03: the code is redeemed once."""
    alice = scene.browser()
    back = await alice.log_in(await alice.set_out(await scene.link(), scene.house.keys["alice"]))
    before = scene.idp.counts.get("/token", 0)
    answers = await asyncio.gather(*(alice.get(back) for _ in range(10)))
    assert sorted(answer.status for answer in answers) == [200] + [400] * 9
    assert scene.idp.counts["/token"] == before + 1


@pytest.mark.parametrize("iss", ["https://evil.example", "", None])
async def test_an_answer_of_another_issuer_is_never_redeemed(scene: Scene, iss: str | None) -> None:
    """OAUTH-03: mix-up (RFC 9207): also without `iss`, where the issuer always says it; also of an error."""
    for kind in ("code", "error"):
        alice = scene.browser()
        back = await alice.log_in(await alice.set_out(await scene.link(), scene.house.keys["alice"]))
        parts = urlsplit(back)
        answer = {name: values[0] for name, values in parse_qs(parts.query).items()}
        del answer["iss"]
        if iss is not None:
            answer["iss"] = iss
        if kind == "error":
            del answer["code"]
            answer |= {"error": "access_denied", "error_description": "<b>call 555-1234</b>"}
        before = scene.idp.counts.get("/token", 0)
        refused = await alice.get(f"{parts.path}?{urlencode(answer)}")
        assert refused.status == 400
        assert b"another server" in refused.body
        assert b"call 555" not in refused.body
        assert scene.idp.counts.get("/token", 0) == before
    assert (await whoami(scene)).status == 400


async def test_what_the_server_says_of_an_error_is_not_shown(scene: Scene) -> None:
    """OAUTH-03: an honest no connects nothing, and its words are a stranger's."""
    alice = scene.browser()
    back = await alice.log_in(await alice.set_out(await scene.link(), scene.house.keys["alice"]))
    answer = {name: values[0] for name, values in parse_qs(urlsplit(back).query).items()}
    told = {"state": answer["state"], "iss": answer["iss"], "error": "access_denied", "error_description": "<b>hi</b>"}
    refused = await alice.get(f"/oauth/callback/docs?{urlencode(told)}")
    assert (refused.status, b"<b>" in refused.body, b"access_denied" in refused.body) == (400, False, False)


@pytest.mark.parametrize(
    "change",
    [
        lambda form: form | {"ticket": form["ticket"][:-2] + "AA"},
        lambda form: form | {"ticket": ""},
        lambda form: form | {"api_key": ""},
        lambda form: form | {"api_key": "mantlet_wrong"},
        lambda form: {name: value for name, value in form.items() if name != "decision"},
    ],
)
async def test_a_form_that_is_not_the_users_own_sends_nobody_away(scene: Scene, change: Any) -> None:
    """OAUTH-04"""
    alice = scene.browser()
    page = await alice.get(await scene.link())
    form = {"ticket": ticket_in(page), "api_key": scene.house.keys["alice"], "decision": "allow"}
    answer = await alice.post("/oauth/connect", change(form))
    assert b"http-equiv" not in answer.body


async def test_a_form_counts_once_in_its_own_browser_from_its_own_page(scene: Scene) -> None:
    """OAUTH-04: no framing either."""
    alice, other = scene.browser(), scene.browser()
    page = await alice.get(await scene.link())
    assert page.headers["x-frame-options"] == "DENY"
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    form = {"ticket": ticket_in(page), "api_key": scene.house.keys["alice"], "decision": "allow"}
    assert b"http-equiv" not in (await other.post("/oauth/connect", form)).body
    crossed = await alice.post("/oauth/connect", form, **{"Sec-Fetch-Site": "cross-site"})
    assert b"http-equiv" not in crossed.body
    assert b"http-equiv" in (await alice.post("/oauth/connect", form)).body
    assert b"http-equiv" not in (await alice.post("/oauth/connect", form)).body


async def test_fifty_calls_whose_token_was_taken_back_make_one_refresh(scene: Scene) -> None:
    """FWD-04: what the server refused with 401 is asked once more, by a token that was got once for all."""
    await scene.browser().connect(await scene.link(), scene.house.keys["alice"])
    assert text_of(await whoami(scene)) == "alice mcp:read"
    scene.docs.revoked |= set(scene.docs.seen)
    before = scene.idp.counts["/token"]
    answers = await asyncio.gather(*(whoami(scene) for _ in range(50)))
    assert {text_of(answer) for answer in answers} == {"alice mcp:read"}
    assert scene.idp.counts["/token"] == before + 1


async def test_a_server_that_takes_no_token_is_no_reason_to_ask_for_more(scene: Scene) -> None:
    """FWD-05: its 401 is not the node's own; 502, and no storm at the authorization server."""
    await scene.browser().connect(await scene.link(), scene.house.keys["alice"])
    assert text_of(await whoami(scene)) == "alice mcp:read"
    scene.docs.is_closed = True
    before = scene.idp.counts["/token"]
    for _ in range(5):
        answer = await whoami(scene)
        assert answer.status == 502
        assert "www-authenticate" not in answer.headers
    assert scene.idp.counts["/token"] == before + 1


async def test_a_grant_that_the_server_has_ended_is_asked_for_anew(scene: Scene) -> None:
    """FWD-04"""
    await scene.browser().connect(await scene.link(), scene.house.keys["alice"])
    assert text_of(await whoami(scene)) == "alice mcp:read"
    for caller in [("default", "mantlet:api-key", "alice")]:
        book = scene.house.node.current.generation.steps.grants._grants["docs"]
        row = await book._rows.find(GrantKey("docs", *caller))
        kept = unseal(row.sealed, GrantKey("docs", *caller), row.server, book._sealer)
    assert (
        await asyncio.to_thread(
            scene.idp.request, "POST", "/token/revocation", form={"token": kept.refresh_token}, client="node"
        )
    ).status == 200
    scene.docs.revoked |= set(scene.docs.seen)
    assert (await whoami(scene)).json["error"]["code"] == -32021
    assert "grant.ended" in [record["event"] for record in scene.house.audit()]
    await scene.browser().connect(await scene.link(), scene.house.keys["alice"])
    assert text_of(await whoami(scene)) == "alice mcp:read"


async def test_an_administrator_sees_and_takes_back_what_users_granted(scene: Scene) -> None:
    """FWD-04: without a token in sight; the server is told."""
    await scene.browser().connect(await scene.link(), scene.house.keys["alice"])
    assert text_of(await whoami(scene)) == "alice mcp:read"
    root = {"Authorization": f"Bearer {scene.house.keys['root']}"}
    listed = await scene.house.ask("GET", "/admin/v1/grants", root, door="admin")
    assert [(one["upstream"], one["subject"], one["server"]) for one in listed.json["grants"]] == [
        ("docs", "alice", scene.idp.issuer)
    ]
    assert not any(token.encode() in listed.body for token in scene.docs.seen)
    nobody = {"Authorization": f"Bearer {scene.house.keys['bob']}"}
    assert (await scene.house.ask("GET", "/admin/v1/grants", nobody, door="admin")).status == 403
    body = b'{"subject": "alice", "upstream": "docs"}'
    fields = root | {"Content-Type": "application/json"}
    told = await scene.house.ask("POST", "/admin/v1/grants/revoke", fields, body, door="admin")
    assert told.json == {"revoked": 1, "told": 1}
    async with asyncio.timeout(10):
        while (await whoami(scene)).status == 200:
            await asyncio.sleep(0.2)  # a process looks every two seconds
    events = [record["event"] for record in scene.house.audit()]
    assert {"grant.created", "grant.revoked"} <= set(events)


async def test_no_credential_is_written_down(scene: Scene, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """AUD-06: not in the trail, the log or the database."""
    alice = scene.browser()
    back = await alice.log_in(await alice.set_out(await scene.link(), scene.house.keys["alice"]))
    await alice.get(back)
    assert text_of(await whoami(scene)) == "alice mcp:read"
    code = parse_qs(urlsplit(back).query)["code"][0]
    state = parse_qs(urlsplit(back).query)["state"][0]
    said = "".join(capfd.readouterr()).encode()
    written = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file() and file.suffix != ".yaml")
    for secret in (code, state, *scene.docs.seen, Idp.secret("node"), scene.house.keys["alice"]):
        assert secret.encode() not in said + written


async def test_a_legacy_client_finds_one_tool_and_is_told_by_its_own_error(scene: Scene) -> None:
    """FWD-01: -32042 with the page (2025-11-25, client/elicitation)."""
    async with scene.client("legacy") as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["mantlet_connect"]
        for tool in ("mantlet_connect", "whoami"):
            with pytest.raises(MCPError) as told:
                await client.call_tool(tool, {})
            error = UrlElicitationRequiredError.from_error(told.value.error)
            url = error.elicitations[0].url
        assert (await scene.browser().connect(url, scene.house.keys["alice"])).status == 200
        assert "connected" in (await client.call_tool("mantlet_connect", {})).content[0].text
    async with scene.client("legacy") as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["whoami", "wait"]
        assert (await client.call_tool("whoami", {})).content[0].text == "alice mcp:read"


async def test_a_modern_client_finds_one_tool_and_by_it_the_others(scene: Scene) -> None:
    """The lists of a server that wants a token for everything."""

    async def elicited(_: Any, params: Any) -> ElicitResult:
        await scene.browser().connect(params.url, scene.house.keys["alice"])
        return ElicitResult(action="accept")

    async with scene.client("auto", elicitation_callback=elicited) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["mantlet_connect"]
        assert (await client.list_resources()).resources == []
        assert "connected" in (await client.call_tool("mantlet_connect", {})).content[0].text
        assert [tool.name for tool in (await client.list_tools()).tools] == ["whoami", "wait"]
        assert (await client.call_tool("whoami", {})).content[0].text == "alice mcp:read"


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_at_the_endpoint_of_all_servers_it_is_the_same(scene: Scene, era: str) -> None:
    house, session = scene.house, ""
    if era == "legacy":
        began = await house.legacy("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}})
        session = began.headers["mcp-session-id"]

    async def ask(method: str, params: dict[str, Any]) -> Any:
        if era == "legacy":
            return (await house.legacy(method, params, session=session)).json
        body = call_body(method, params.get("name", ""))
        return (await house.send(body, server="")).json

    listed = await ask("tools/list", {})
    (name,) = (tool["name"] for tool in listed["result"]["tools"])
    assert name.endswith("mantlet_connect")
    told = await ask("tools/call", {"name": name, "arguments": {}})
    assert told["error"]["code"] == (-32042 if era == "legacy" else -32021)
    await scene.browser().connect(await scene.link(), house.keys["alice"])
    listed = await ask("tools/list", {})
    name = next(tool["name"] for tool in listed["result"]["tools"] if tool["name"].endswith("whoami"))
    called = await ask("tools/call", {"name": name, "arguments": {}})
    assert called["result"]["content"][0]["text"] == "alice mcp:read"


async def test_the_rules_come_first(scene: Scene) -> None:
    """AUTHZ-07: who may not call is neither asked for consent nor told that there is something to consent to."""
    for method in ("tools/call", "tools/list", "server/discover"):
        answer = await scene.house.send(
            call_body(method, "whoami"), server="docs", credential=scene.house.keys["norules"]
        )
        assert b"oauth/connect" not in answer.body
        assert b"mantlet_connect" not in answer.body
        assert answer.json.get("error", {}).get("code", 4403) == 4403


async def test_a_plain_service_gets_the_callers_own_token_too(tmp_path: Path, idp: Idp) -> None:
    """FWD-01: `http_upstreams`; who has no grant is told where consent is given."""
    async with scene_of(tmp_path, idp, service=True) as scene:
        fields = {"Authorization": f"Bearer {scene.house.keys['alice']}"}
        told = await scene.house.ask("GET", "/api/api/mcp", fields)
        assert (told.status, told.json["reason"]) == (403, "consent_required")
        url = re.search(r"Open (\S+) in", told.json["detail"])
        assert url
        assert (await scene.browser().connect(url[1], scene.house.keys["alice"])).status == 200
        await scene.house.ask("GET", "/api/api/mcp", fields)
        shown = scene.docs.headers[-1]["authorization"]
        assert shown.startswith("Bearer eyJ")
        assert scene.house.keys["alice"] not in shown
        # The service takes it back: the same call gets another one, once, and its 401 is nobody's.
        scene.docs.revoked |= set(scene.docs.seen)
        before = scene.idp.counts["/token"]
        answer = await scene.house.ask("GET", "/api/api/mcp", fields)
        assert answer.status != 502
        assert "www-authenticate" not in answer.headers
        assert scene.docs.headers[-1]["authorization"] not in (shown, "")
        assert scene.idp.counts["/token"] == before + 1


# --- logging in at an issuer ---


@pytest.fixture
async def corp(tmp_path: Path, idp: Idp) -> AsyncIterator[Scene]:
    """With an issuer of callers at which one can log in on the node's pages."""
    async with scene_of(tmp_path, idp, login=True) as scene:
        yield scene


async def token_of(scene: Scene, user: str) -> str:
    """As a client gets it."""
    resource = f"http://127.0.0.1:{scene.house.calls.port}/mcp"
    return str((await asyncio.to_thread(scene.idp.authorize, user, resource))["access_token"])


async def link_of(scene: Scene, token: str) -> str:
    answer = await scene.house.call("whoami", credential=token, server="docs")
    assert answer.json["error"]["code"] == -32021, answer.body
    return str(answer.json["error"]["data"]["url"])


async def test_a_caller_of_an_issuer_proves_it_by_logging_in_there(corp: Scene) -> None:
    """OAUTH-03 OAUTH-04: no key in sight; from one login the browser goes on to the other."""
    token, alice = await token_of(corp, "alice"), corp.browser()
    page = await alice.get(await link_of(corp, token))
    assert b"api_key" not in page.body  # they have none
    back = await alice.log_in(await alice.begin_login(page))
    assert urlsplit(back).path == "/oauth/login/corp"
    onward = sent_to(await alice.get(back))
    assert (await alice.get(await alice.log_in(onward))).status == 200
    assert text_of(await corp.house.call("whoami", credential=token, server="docs")) == "alice mcp:read"


async def test_another_user_of_the_issuer_connects_nothing(corp: Scene) -> None:
    """OAUTH-04: Alice's link, Bob's login."""
    token, bob = await token_of(corp, "alice"), corp.browser()
    page = await bob.get(await link_of(corp, token))
    refused = await bob.get(await bob.log_in(await bob.begin_login(page), "bob"))
    assert (refused.status, b"somebody else" in refused.body) == (400, True)
    assert (await corp.house.call("whoami", credential=token, server="docs")).status == 400


async def test_the_answer_of_a_login_is_good_once_in_its_browser_and_at_its_place(corp: Scene) -> None:
    """OAUTH-03: a login that is slipped into another's browser logs nobody in (session fixation)."""
    token = await token_of(corp, "alice")
    alice, victim = corp.browser(), corp.browser()
    page = await alice.get(await link_of(corp, token))
    back = await alice.log_in(await alice.begin_login(page))
    assert (await victim.get(back)).status == 400
    assert (await alice.get(back.replace("/login/corp", "/callback/docs"))).status == 400
    assert (await alice.get(back)).status == 200
    assert (await alice.get(back)).status == 400


async def test_a_program_gets_tokens_for_who_logs_in_at_the_issuer(corp: Scene) -> None:
    """OAUTH-04: the node's own authorization code, in front of the issuer's login."""
    house, alice, verifier = corp.house, corp.browser(), "v" * 43
    asked = {
        "response_type": "code",
        "client_id": "desk",
        "redirect_uri": "http://127.0.0.1:5555/callback",
        "state": "mine",
        "code_challenge": challenge_of(verifier),
        "code_challenge_method": "S256",
    }
    page = await alice.get(f"/oauth/authorize?{urlencode(asked)}")
    back = await alice.log_in(await alice.begin_login(page, "/oauth/authorize"))
    answer = await alice.get(back)
    assert answer.status == 303
    given = {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}
    assert given["state"] == "mine"
    form = {"grant_type": "authorization_code", "client_id": "desk", "code": given["code"]}
    form |= {"redirect_uri": asked["redirect_uri"], "code_verifier": verifier}
    fields = {"Content-Type": "application/x-www-form-urlencoded"}
    tokens = (await house.ask("POST", "/oauth/token", fields, urlencode(form).encode())).json
    claims = jwt.decode(tokens["access_token"], options={"verify_signature": False})
    assert claims["sub"] == f"{corp.idp.issuer}#alice"  # nobody who owns a key is called so
    assert claims["roles"] == ["user"]
    form = {"grant_type": "refresh_token", "client_id": "desk", "refresh_token": tokens["refresh_token"]}
    again = await house.ask("POST", "/oauth/token", fields, urlencode(form).encode())
    assert again.status == 200, again.body
    # And with such a token they prove themselves by the same login.
    token = again.json["access_token"]
    page = await alice.get(await link_of(corp, token))
    onward = sent_to(await alice.get(await alice.log_in(await alice.begin_login(page))))
    assert (await alice.get(await alice.log_in(onward))).status == 200
    assert text_of(await house.call("whoami", credential=token, server="docs")) == "alice mcp:read"


async def test_a_device_gets_tokens_for_who_logs_in_at_the_issuer(corp: Scene) -> None:
    """OAUTH-06"""
    house, bob = corp.house, corp.browser()
    fields = {"Content-Type": "application/x-www-form-urlencoded"}
    begun = (await house.ask("POST", "/oauth/device_authorization", fields, b"client_id=desk")).json
    page = await bob.post("/oauth/device", {"user_code": begun["user_code"]})
    done = await bob.get(await bob.log_in(await bob.begin_login(page, "/oauth/device"), "bob"))
    assert (done.status, b"allowed" in done.body) == (200, True)
    form = {"grant_type": DEVICE, "client_id": "desk", "device_code": begun["device_code"]}
    tokens = (await house.ask("POST", "/oauth/token", fields, urlencode(form).encode())).json
    claims = jwt.decode(tokens["access_token"], options={"verify_signature": False})
    assert claims["sub"] == f"{corp.idp.issuer}#bob"


async def test_a_program_that_is_refused_at_the_issuer_gets_no_code(corp: Scene) -> None:
    """OAUTH-03"""
    alice = corp.browser()
    asked = {
        "response_type": "code",
        "client_id": "desk",
        "redirect_uri": "http://127.0.0.1:5555/callback",
        "code_challenge": challenge_of("v" * 43),
        "code_challenge_method": "S256",
    }
    page = await alice.get(f"/oauth/authorize?{urlencode(asked)}")
    there = await alice.begin_login(page, "/oauth/authorize")
    state = parse_qs(urlsplit(there).query)["state"][0]
    told = urlencode({"state": state, "iss": corp.idp.issuer, "error": "access_denied"})
    answer = await alice.get(f"/oauth/login/corp?{told}")
    assert (answer.status, "location" in answer.headers) == (400, False)
