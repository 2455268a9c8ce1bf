"""`MantletMiddleware` on a real server, with an application that remembers what it was asked."""

import asyncio
import json
import secrets
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn
import websockets
from tests.attacks.house import Client

from mantlet.core.config_error import ConfigError
from mantlet.embed import MantletMiddleware
from mantlet.embed.gateway import CALLER

RULES = [
    {"name": "readers", "allow": {"roles": ["user"], "paths": ["/open/*", "/stream", "/silent", "/bad/*", "/ws"]}},
    {"name": "json", "allow": {"roles": ["user"], "paths": ["/json"], "when": "args.size < 10"}},
]


@dataclass
class App:
    """Answers by path."""

    scopes: list[dict[str, Any]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for word in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{word}.complete"})
            return
        self.scopes.append(dict(scope))
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            while (message := await receive())["type"] == "websocket.receive":
                await send({"type": "websocket.send", "text": message["text"]})
            self.left.set()
            return
        path = scope["path"]
        if path == "/bad/raise":
            raise RuntimeError("never to be seen outside")
        body = b""
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            more = message["more_body"]
        self.bodies.append(body)
        if path == "/bad/nothing":
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-app", b"yes")]})
        if path == "/silent":
            await send({"type": "http.response.body", "body": b"a", "more_body": True})
            try:
                await asyncio.Event().wait()
            finally:
                self.left.set()
        if path == "/stream":
            for part in (b"a", b"b"):
                await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"%d" % len(body)})


@dataclass
class House:
    app: App
    middleware: MantletMiddleware
    port: int
    key: str
    folder: Path
    clients: list[Client] = field(default_factory=list)

    async def client(self) -> Client:
        self.clients.append(await Client.to(self.port))
        return self.clients[-1]

    async def ask(self, path: str, verb: str = "GET", body: bytes = b"", **headers: Any) -> Any:
        client = await self.client()
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return await client.ask(verb, path, {"X-API-Key": self.key, **fields}, body)

    def records(self) -> list[dict[str, Any]]:
        lines = [line for file in self.folder.glob("audit/*.jsonl") for line in file.read_text().splitlines()]
        return [record for line in lines if (record := json.loads(line)).get("event") == "call"]


def configured(folder: Path, **more: Any) -> dict[str, Any]:
    key_file = folder / "alice.key"
    key_file.touch(0o600)
    key_file.write_text(secrets.token_urlsafe(40))
    return {
        "environment": "development",
        "auth": {"api_keys": [{"name": "alice", "key_file": str(key_file), "roles": ["user"]}]},
        "authorization": {"rules": RULES},
        "http": {"max_body_bytes": 100_000, "body_timeout": 0.5},
        "database": {"url": f"sqlite:///{folder}/mantlet.db"},
        "audit": {"path": str(folder / "audit")},
        **more,
    }


@asynccontextmanager
async def served(folder: Path, **more: Any) -> AsyncIterator[House]:
    app = App()
    config: Mapping[str, Any] = configured(folder, **more)
    middleware = MantletMiddleware(app, config)
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(middleware, log_config=None, ws="websockets-sansio"))
    running = asyncio.ensure_future(server.serve(sockets=[sock]))
    while not server.started:  # it tells nobody
        await asyncio.sleep(0.01)
        assert not running.done()
    house = House(app, middleware, sock.getsockname()[1], (folder / "alice.key").read_text(), folder)
    try:
        yield house
    finally:
        for client in house.clients:
            client.writer.close()
        server.should_exit = True
        await running


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with served(tmp_path) as opened:
        yield opened


async def test_who_may_is_passed_on_without_the_credential(house: House) -> None:
    """FWD-01, AUTHZ-01"""
    answer = await house.ask("/open/a?b=c", Cookie="mine=1")
    assert (answer.status, answer.body, answer.headers["x-app"]) == (200, b"0", "yes")
    assert answer.headers["x-ratelimit-remaining"] == "19"
    (scope,) = house.app.scopes
    assert scope[CALLER].subject == "alice"
    names = {name for name, _ in scope["headers"]}
    assert b"x-api-key" not in names
    assert b"cookie" in names
    assert house.key.encode() not in str(scope["headers"]).encode()


@pytest.mark.parametrize(
    ("path", "verb", "headers", "status", "reason"),
    [
        ("/open/a", "GET", {"X_API_Key": "wrong"}, 401, "invalid_credential"),
        ("/open/a", "GET", {"X_API_Key": ""}, 401, None),
        ("/secret", "GET", {}, 403, "denied"),
        ("/", "GET", {}, 403, "denied"),
        ("/open/../secret", "GET", {}, 400, "malformed"),
        ("/open/%2e%2e/secret", "GET", {}, 400, "malformed"),
        ("/open%2fa", "GET", {}, 400, "malformed"),
        ("/open/a;b", "GET", {}, 400, "malformed"),
        ("/open/%00", "GET", {}, 400, "malformed"),
        ("/open/a", "GET", {"Host": "evil.test"}, 421, None),
        ("/open/a", "GET", {"Origin": "https://evil.test"}, 403, "forbidden_origin"),
        ("/open/a", "TRACE", {}, 405, None),
        ("/open/a", "GET", {"Content_Encoding": "gzip"}, 415, None),
        ("/open/a", "GET", {"Authorization": "Bearer x"}, 400, None),
    ],
)
async def test_what_does_not_pass(
    house: House, path: str, verb: str, headers: dict[str, str], status: int, reason: str | None
) -> None:
    """AUTHN-02, AUTHZ-01, HTTP-02, HTTP-03, HTTP-10"""
    answer = await house.ask(path, verb, b"", **headers)
    assert answer.status == status, answer.body
    if reason:
        assert answer.json["reason"] == reason
    assert not house.app.scopes
    (record,) = house.records()
    assert record["status"] == status


async def test_strangers_are_challenged(house: House) -> None:
    """AUTHN-01"""
    answer = await (await house.client()).ask("GET", "/open/a")
    assert (answer.status, answer.headers["www-authenticate"][:6]) == (401, "Bearer")
    assert "resource_metadata" not in answer.headers["www-authenticate"], "nobody has said where this application is"
    assert not house.app.scopes


@pytest.mark.parametrize("url", ["", "http://localhost:1234/base"])
async def test_metadata_is_named_and_served_where_the_application_is(tmp_path: Path, url: str) -> None:
    """AUTHN-04, OAUTH-01: never at an address where nobody listens."""
    agent = {"agent": {"url": url}} if url else {}
    async with served(tmp_path, **agent) as house:
        answer = await (await house.client()).ask("GET", "/open/a")
        path = "/.well-known/oauth-protected-resource/base/mcp"
        named = f', resource_metadata="http://localhost:1234{path}"' if url else ""
        assert answer.headers["www-authenticate"] == f'Bearer realm="mantlet"{named}'
        document = await (await house.client()).ask("GET", path)
        assert document.status == (200 if url else 404)


async def test_json_is_read_for_rules_and_passed_on_as_it_came(house: House) -> None:
    """AUTHZ-02, VAL-01, VAL-02"""
    body = b'{"size":  1 }'
    assert (await house.ask("/json", "POST", body, Content_Type="application/json")).status == 200
    assert house.app.bodies == [body]
    assert (await house.ask("/json", "POST", b'{"size":10}', Content_Type="application/json")).status == 403
    twice = await house.ask("/json", "POST", b'{"size":1,"size":99}', Content_Type="application/json")
    assert (twice.status, twice.json["reason"]) == (400, "invalid_json")
    assert len(house.app.bodies) == 1


async def test_bodies_have_a_bound_and_a_deadline(house: House) -> None:
    """HTTP-05, HTTP-06"""
    kind: Any = {"Content_Type": "application/octet-stream"}
    assert (await house.ask("/open/a", "POST", b"x" * 100_000, **kind)).body == b"100000"
    assert (await house.ask("/open/a", "POST", b"x" * 100_001, **kind)).status == 413
    client = await house.client()
    head = f"POST /open/a HTTP/1.1\r\nHost: localhost:{house.port}\r\nX-API-Key: {house.key}\r\n"
    chunked = head + "Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
    client.writer.write(chunked.encode() + b"1\r\nx\r\n")
    answer = await asyncio.wait_for(client.answer(whole=False), 10)
    assert answer.status in (408, 500)
    assert house.app.bodies == [b"x" * 100_000]


async def test_answers_stream_and_who_leaves_ends_them(house: House) -> None:
    """RES-03"""
    assert (await house.ask("/stream")).body == b"ab0"
    client = await house.client()
    answer = await client.ask("GET", "/silent", {"X-API-Key": house.key}, whole=False)
    assert answer.status == 200
    client.writer.close()
    await asyncio.wait_for(house.app.left.wait(), 10)


@pytest.mark.parametrize("path", ["/bad/raise", "/bad/nothing"])
async def test_an_application_that_fails_is_one_plain_error(house: House, path: str) -> None:
    """ERR-01, ERR-02"""
    answer = await house.ask(path)
    assert (answer.status, answer.json["reason"]) == (500, "internal")
    assert b"never" not in answer.body
    assert (await house.ask("/open/a")).status == 200


async def test_limits_hold_and_say_so(tmp_path: Path) -> None:
    """RATE-01"""
    async with served(tmp_path, limits={"client": {"requests": 2, "window": 60}}) as house:
        assert [(await house.ask("/open/a")).status for _ in range(3)] == [200, 200, 429]
        assert len(house.app.scopes) == 2
        verdicts = [record["verdict"] for record in house.records()]
        assert verdicts == ["allow", "allow", "deny"]


async def test_websockets_are_asked_for_like_a_get(house: House) -> None:
    """AUTHN-02"""
    uri = f"ws://localhost:{house.port}"
    key = {"X-API-Key": house.key}
    async with websockets.connect(f"{uri}/ws", additional_headers=key) as socket:
        await socket.send("hello")
        assert await socket.recv() == "hello"
    for path, headers in (("/ws", {}), ("/ws", {"X-API-Key": "no"}), ("/secret", key)):
        with pytest.raises(websockets.InvalidStatus) as refused:
            await websockets.connect(f"{uri}{path}", additional_headers=headers)
        assert refused.value.response.status_code in (401, 403)
    assert len(house.app.scopes) == 1


@pytest.mark.parametrize("is_silent", [True, False])
async def test_a_websocket_ends_with_the_right_that_opened_it(
    house: House, monkeypatch: pytest.MonkeyPatch, is_silent: bool
) -> None:
    """AUTHN-06: within seconds, though nobody says a word, and the application is told; nothing more is passed on."""
    gate = await house.middleware._open()
    async with websockets.connect(
        f"ws://localhost:{house.port}/ws", additional_headers={"X-API-Key": house.key}
    ) as one:
        await one.send("hello")
        assert await one.recv() == "hello"
        monkeypatch.setattr(gate._talks, "_is_current", lambda caller: False)
        if not is_silent:
            await one.send("still there?")
        async with asyncio.timeout(5):
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await one.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008
    async with asyncio.timeout(5):
        await house.app.left.wait()
    assert not gate._talks._open


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"environment": "production", "http": {"allowed_hosts": []}}, "audit"),
        ({"limits": {"client": {"request": 1}}}, "request"),
        ({"nonsense": 1}, "nonsense"),
        # RATE-03: each would count by itself, and nobody would notice.
        ({"http": {"workers": 2}}, "store.url: several processes"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused_at_once(tmp_path: Path, more: dict[str, Any], said: str) -> None:
    """CFG-01"""
    if more.get("environment") == "production":
        more = {**more, "auth": {"mock": {"tokens": {"t": {"subject": "x"}}}}}
        said = "mock"
    with pytest.raises(ConfigError, match=said):
        MantletMiddleware(App(), configured(tmp_path, **more))
