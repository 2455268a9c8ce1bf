"""Two nodes and two agents: identities forwarded by exchange and by encryption, and nobody else's to use.

The agents are plain ASGI programs behind `mantlet.embed`, which speak A2A's `message/send` as far as it matters here.
"""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
import pytest
import uvicorn
from bench.rig.process import free_port
from joserfc.jwk import OKPKey
from tests.attacks.house import House, call_body, fields_of, open_house

from mantlet.core.secret import Secret
from mantlet.embed import ForwardedIdentity, Node
from mantlet.keys.forwarded import derive

NEAR, FAR = "https://near.test", "https://far.test"
MASTER = Secret("m7Qx2vR9tK4wZ8nB1cY5hJ0pL3sD6fGa")
ALL = {"rules": [{"name": "all", "allow": {"roles": ["user", "admin"]}}]}


@dataclass
class Agent:
    """What it was sent, as it came and as the middleware gave it on."""

    port: int = 0
    raw: list[tuple[str, bytes, dict[str, str], bytes]] = field(default_factory=list)
    identities: list[Any] = field(default_factory=list)
    seen: list[list[bytes]] = field(default_factory=list)
    answer: tuple[int, list[tuple[bytes, bytes]], bytes] = (200, [(b"content-type", b"application/json")], b"{}")

    async def application(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = (await receive())["body"]
        self.identities.append(scope["mantlet.identity"])
        self.seen.append([name for name, _ in scope["headers"]] + [body])
        status, headers, answer = self.answer
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    def recorded(self, application: Any) -> Any:
        """What stands on the network, before the middleware."""

        async def record(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "http":
                return
            message = await receive()
            assert not message.get("more_body")
            headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
            target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
            self.raw.append((scope["method"], target, headers, message["body"]))

            async def again() -> Any:
                return message

            await application(scope, again, send)

        return record


@contextlib.asynccontextmanager
async def served(application: Any) -> AsyncIterator[int]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(application, lifespan="off", log_level="critical", ws="none"))
        serving = asyncio.ensure_future(server.serve([sock]))
        while not server.started:
            await asyncio.sleep(0.01)
        yield sock.getsockname()[1]
        server.should_exit = True
        await serving


@dataclass
class Scene:
    near: House
    far: House
    planner: Agent
    writer: Agent


def jwks_of(port: int) -> Any:
    async def fetch() -> bytes:
        reader, out = await asyncio.open_connection("127.0.0.1", port)
        out.write(b"GET /.well-known/jwks.json HTTP/1.1\r\nHost: localhost:%d\r\nConnection: close\r\n\r\n" % port)
        whole = await reader.read()
        out.close()
        return whole.partition(b"\r\n\r\n")[2]

    return fetch


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    port = free_port()
    planner, writer = Agent(), Agent()
    key = OKPKey.generate_key("X25519")
    (tmp_path / "writer.key").write_bytes(key.as_pem(private=True))
    (tmp_path / "writer.key").chmod(0o600)
    (tmp_path / "writer.pub").write_bytes(key.as_pem(private=False))
    (tmp_path / "writer.pub").chmod(0o644)
    to_planner = Node(
        issuer=NEAR,
        audience="urn:planner",
        keys=[derive(MASTER, "planner").reveal()],
        environment="development",
    )
    to_writer = Node(
        issuer=NEAR,
        audience="urn:writer",
        jwks=jwks_of(port),
        private_key_files=[str(tmp_path / "writer.key")],
        environment="development",
    )
    async with contextlib.AsyncExitStack() as opened:
        for agent, node in ((planner, to_planner), (writer, to_writer)):
            whole = agent.recorded(ForwardedIdentity(agent.application, node))
            agent.port = await opened.enter_async_context(served(whole))
        (tmp_path / "far").mkdir()
        (tmp_path / "near").mkdir()
        peer = {"name": "near", "issuer": NEAR, "audience": f"{FAR}/mcp", "role_map": {"user": "user"},
                "jwks_url": f"http://127.0.0.1:{port}/.well-known/jwks.json", "scopes": ["mcp:read"],
                "key": derive(MASTER, "far-sealed").reveal()}  # fmt: skip
        far = await opened.enter_async_context(
            open_house(
                tmp_path / "far", agent={"name": "far", "url": FAR}, auth={"peers": [peer]}, http={"allowed_hosts": []}
            )
        )
        told = {"audience": f"{FAR}/mcp", "scope": ["mcp:read"], "roles": ["user"]}
        at_far = {"transport": "peer", "url": f"http://127.0.0.1:{far.calls.port}", "server": "one"}
        near = await opened.enter_async_context(
            open_house(
                tmp_path / "near",
                servers=0,
                agent={"name": "near-1", "url": NEAR},
                http={"port": port},
                inter_agent={"communication_key": MASTER.reveal()},
                authorization=ALL,
                mcp={
                    "servers": [
                        {"name": "far", **at_far, "forward_identity": "exchange", "exchange": told},
                        {"name": "far-sealed", **at_far, "forward_identity": "encrypt", "encrypt": told},
                    ]
                },
                http_upstreams=[
                    {
                        "name": "planner",
                        "url": f"http://127.0.0.1:{planner.port}",
                        "forward_identity": "encrypt",
                        "encrypt": {"audience": "urn:planner"},
                    },
                    {
                        "name": "writer",
                        "url": f"http://127.0.0.1:{writer.port}",
                        "forward_identity": "encrypt",
                        "encrypt": {"audience": "urn:writer", "public_key_file": str(tmp_path / "writer.pub")},
                        "content_types": ["application/json", "text/plain"],
                    },
                ],
            )
        )
        yield Scene(near, far, planner, writer)


MESSAGE = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "message/send", "params": {"message": {}}}).encode()


async def send(scene: Scene, agent: str, credential: str, body: bytes = MESSAGE, **fields: str) -> Any:
    headers = {"Authorization": f"Bearer {credential}", "Content-Type": "application/json", **fields}
    return await scene.near.ask("POST", f"/api/{agent}/rpc?a=b", headers, body)


async def replay(port: int, agent: Agent, **changes: Any) -> int:
    """Send again what `agent` was sent last, to `port`; gives the status."""
    verb, target, headers, body = agent.raw[-1]
    target, body = changes.get("target", target), changes.get("body", body)
    headers = {**headers, "content-length": str(len(body)), "connection": "close"}
    reader, out = await asyncio.open_connection("127.0.0.1", port)
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    out.write(b"%b %b HTTP/1.1\r\n%b\r\n%b" % (verb.encode(), target, head.encode(), body))
    status = int((await reader.read()).split()[1])
    out.close()
    return status


# --- exchange ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("server", ["far", "far-sealed"])
async def test_a_node_takes_another_nodes_word_on_its_callers(scene: Scene, server: str) -> None:
    """FWD-01: far decides on the user of near, whose token it never sees."""
    token = scene.near.token("alice", scope="mcp:read mail", act={"sub": "planner"})
    for n in range(2):
        answer = await scene.near.call(credential=token, server=server, n=n)
        assert answer.status == 200, answer.body
        assert json.loads(answer.json["result"]["content"][0]["text"]) == {"n": n}
    calls = [record for record in scene.far.audit() if record.get("object") == "echo"]
    assert {record["principal"] for record in calls} == {"default/https://near.test/https://issuer.test#alice"}
    assert {record["authentication"] for record in calls} == {"forwarded"}
    assert len({record["credential"] for record in calls}) == (1 if server == "far" else 2)
    assert token not in json.dumps([sent.headers for sent in scene.far.one.sent])


async def test_another_caller_is_another_principal_and_its_rights_are_its_own(scene: Scene) -> None:
    """OAUTH-07: no role goes on that is not listed, or that the caller does not have."""
    assert (await scene.near.call(credential=scene.near.token("bob"), server="far")).status == 200
    root = scene.near.token("root", roles=["admin"])
    answer = await scene.near.call(credential=root, server="far")
    assert answer.status == 502  # far says 403 to near; near does not pass that on as its own (FWD-05)
    refused = [record for record in scene.far.audit() if record.get("reason") == "denied"]
    assert refused[-1]["principal"].endswith("#root")


async def test_an_exchanged_token_says_what_it_must(scene: Scene) -> None:
    """FWD-01, OAUTH-07"""
    mine = scene.near.token("alice", scope="mcp:read mail")
    upstream = scene.near.node.upstreams["far"]
    caught: list[bytes] = []
    inner = upstream._client.send  # type: ignore[union-attr]

    async def catch(message: bytes, **more: Any) -> Any:
        caught.append(message)
        return await inner(message, **more)

    upstream._client.send = catch  # type: ignore[union-attr,method-assign]
    assert (await scene.near.call(credential=mine, server="far")).status == 200
    head = caught[0].partition(b"\r\n\r\n")[0].decode().lower()
    assert mine.lower() not in head
    token = next(line for line in caught[0].decode().split("\r\n") if line.startswith("authorization: Bearer "))[22:]
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["iss"], claims["aud"], claims["env"]) == (NEAR, f"{FAR}/mcp", "development")
    assert (claims["scope"], claims["roles"], claims["act"]) == ("mcp:read", ["user"], {"sub": "near-1"})
    assert 0 < claims["exp"] - claims["iat"] <= 300
    assert claims["sub_id"] == {"format": "iss_sub", "iss": "https://issuer.test", "sub": "alice"}
    assert claims["token_hash"]
    assert jwt.get_unverified_header(token)["typ"] == "at+jwt"
    # It is for far alone: near takes it for nothing, and far takes none with another audience.
    assert (await scene.near.call(credential=token, server="far")).status == 401


async def test_the_nodes_keys_are_published(scene: Scene) -> None:
    answer = await scene.near.ask("GET", "/.well-known/jwks.json")
    (key,) = answer.json["keys"]
    assert (answer.status, key["kty"], key["use"]) == (200, "OKP", "sig")
    assert "d" not in key
    assert (await scene.far.ask("GET", "/.well-known/jwks.json")).status in (401, 404)  # it signs nothing


# --- encrypt -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["planner", "writer"])
async def test_only_the_agent_it_was_sealed_for_opens_it(scene: Scene, name: str) -> None:
    """FWD-02"""
    agent, other = (scene.planner, scene.writer) if name == "planner" else (scene.writer, scene.planner)
    token = scene.near.token("alice")
    assert (await send(scene, name, token)).status == 200
    (identity,) = agent.identities
    assert (identity.subject, identity.issuer, identity.actors) == ("alice", "https://issuer.test", ("near-1",))
    assert b"authorization" not in agent.seen[0]
    assert agent.seen[0][-1] == MESSAGE
    assert "alice" not in agent.raw[0][2]["authorization"]
    assert await replay(other.port, agent) == 401
    assert other.identities == []


@pytest.mark.parametrize("name", ["planner", "writer"])
async def test_it_is_good_for_one_request_once(scene: Scene, name: str) -> None:
    """FWD-02: a replay, another body, path or query is refused."""
    agent = scene.planner if name == "planner" else scene.writer
    token = scene.near.token("alice")
    assert (await send(scene, name, token)).status == 200
    assert await replay(agent.port, agent) == 401
    assert await replay(agent.port, agent, body=MESSAGE.replace(b"send", b"sent")) == 401
    assert await replay(agent.port, agent, target=b"/rpc?a=c") == 401
    assert await replay(agent.port, agent, target=b"/admin?a=b") == 401
    assert len(agent.identities) == 1
    assert (await send(scene, name, token)).status == 200
    assert len({raw[2]["authorization"] for raw in agent.raw}) > 1


async def test_a_body_that_cannot_be_bound_is_not_sent(scene: Scene) -> None:
    """FWD-02"""
    headers = {"Authorization": f"Bearer {scene.near.token()}", "Content-Type": "text/plain"}
    answer = await scene.near.ask("POST", "/api/writer/rpc", headers, b"x" * 300_000)
    assert answer.status == 403
    assert scene.writer.raw == []


# --- what never goes on ---------------------------------------------------------------------------------------------

SPELLINGS = [
    {"Cookie": "session=SECRET"},
    {"X-API-Key": "SECRET"},
    {"x_api_key": "SECRET"},
    {"Authorization_": "Bearer SECRET"},
    {"X-Authorization": "SECRET"},
    {"Proxy-Authorization": "Basic SECRET"},
    {"X-Forwarded-User-ID": "SECRET"},
    {"X-Forwarded-Access-Token": "SECRET"},
    {"X-Auth-Token": "SECRET"},
    {"X-Auth-Type": "SECRET"},
    {"X-Remote-User": "SECRET"},
    {"Api-Key": "SECRET"},
    {"DPoP": "SECRET"},
    {"Forwarded": "for=SECRET"},
]


@pytest.mark.parametrize("fields", SPELLINGS, ids=lambda fields: next(iter(fields)))
async def test_no_credential_goes_on_in_any_spelling(scene: Scene, fields: dict[str, str]) -> None:
    """FWD-01, FWD-03"""
    token = scene.near.token("alice")
    await send(scene, "planner", token, **fields)
    body = call_body()
    headers = {**fields_of(body, token), **fields}
    await scene.near.ask("POST", "/mcp/far", headers, json.dumps(body).encode())
    said = json.dumps([raw[2] for raw in scene.planner.raw]) + json.dumps([one.headers for one in scene.far.one.sent])
    assert "SECRET" not in said
    assert token not in said


@pytest.mark.parametrize("status", [401, 403, 407, 302])
async def test_an_agents_refusal_is_not_the_nodes(scene: Scene, status: int) -> None:
    """FWD-05"""
    scene.planner.answer = (
        status,
        [
            (b"www-authenticate", b'Bearer resource_metadata="https://evil.example"'),
            (b"set-cookie", b"a=b"),
            (b"location", b"https://evil.example"),
        ],
        b"evil",
    )
    answer = await send(scene, "planner", scene.near.token("alice"))
    assert answer.status == 502
    assert not {"www-authenticate", "set-cookie", "location"} & set(answer.headers)
    assert b"evil" not in answer.body


async def test_development_says_in_clear_who_it_is(scene: Scene) -> None:
    """FWD-01"""
    await send(scene, "planner", scene.near.token("alice"))
    headers = scene.planner.raw[0][2]
    assert headers["x-auth-type"] == "forwarded"
    assert headers["x-agent-version"]
    assert headers["x-forwarded-auth-type"] == "jwt"
    assert headers["x-forwarded-user-id"] == "alice"
    assert headers["x-forwarded-auth-provider"] == "https://issuer.test"
