"""A whole gateway on real sockets in the test's own loop, upstreams that remember what they are sent, raw clients."""

import asyncio
import contextlib
import json
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
import yaml

from mantlet.keys.api_keys import make_api_key
from mantlet.listeners.http import HttpListener
from mantlet.node.build.built import Node
from mantlet.node.build.root import build
from mantlet.node.config import load
from mantlet.node.config.model import Config
from mantlet.node.doors.opening import Doors, open_calls
from mantlet.node.operators.door import open_admin
from mantlet.node.operators.local_member import LocalMember
from mantlet.node.shared import Shared

ISSUER = "https://issuer.test"
AUDIENCE = "https://mantlet.test/mcp"
VERSION = "2026-07-28"
META = {"io.modelcontextprotocol/protocolVersion": VERSION, "io.modelcontextprotocol/clientCapabilities": {}}
PLENTY = {"requests": 1_000_000_000, "window": 60}
RULES = [
    {"name": "admins", "allow": {"roles": ["admin"]}},
    {"name": "no-exec", "deny": {"tools": ["exec"]}},
    {"name": "users", "allow": {"roles": ["user"]}},
]
TOOLS = [{"name": "echo"}, {"name": "hold"}, {"name": "stream"}, {"name": "exec"}]


@dataclass(frozen=True)
class Answer:
    """What came back on the wire."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """One connection, and no opinion on what may be sent over it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
        self.reader, self.writer, self.port = reader, writer, port

    @classmethod
    async def to(cls, port: int) -> "Client":
        return cls(*await asyncio.open_connection("127.0.0.1", port), port)

    async def ask(
        self, verb: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b"", *, whole: bool = True
    ) -> Answer:
        fields = {"Host": f"localhost:{self.port}", **(headers or {})}
        if body or verb == "POST":
            fields.setdefault("Content-Length", str(len(body)))
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self.writer.write(f"{verb} {path} HTTP/1.1\r\n{head}\r\n".encode() + body)
        return await self.answer(verb, whole=whole)

    async def answer(self, verb: str = "GET", *, whole: bool = True) -> Answer:
        status, *lines = (await self.reader.readuntil(b"\r\n\r\n"))[:-4].decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = b""
        if whole and verb != "HEAD":
            if "chunked" in headers.get("transfer-encoding", ""):
                body = b"".join([chunk async for chunk in self.chunks()])
            else:
                body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return Answer(int(status.split()[1]), headers, body)

    async def chunks(self) -> AsyncIterator[bytes]:
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            yield (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readexactly(2)

    def close(self) -> None:
        self.writer.close()


def call_body(method: str = "tools/call", name: str = "echo", *, raw_id: Any = 1, **arguments: Any) -> dict[str, Any]:
    params: dict[str, Any] = {"_meta": META}
    if method == "tools/call":
        params |= {"name": name, "arguments": arguments}
    return {"jsonrpc": "2.0", "id": raw_id, "method": method, "params": params}


def fields_of(body: Mapping[str, Any], credential: str = "") -> dict[str, str]:
    fields = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": VERSION,
        "Mcp-Method": str(body.get("method", "")),
    }
    if "name" in body.get("params", {}):
        fields["Mcp-Name"] = body["params"]["name"]
    if credential:
        fields["Authorization"] = f"Bearer {credential}"
    return fields


@dataclass
class Sent:
    """One request as an upstream got it."""

    verb: str
    headers: dict[str, str]
    body: bytes

    @property
    def message(self) -> Any:
        return json.loads(self.body) if self.body else {}


@dataclass
class Upstream:
    """An MCP server of both eras: `echo` says its arguments, `hold` waits for `release`, `stream` never ends."""

    name: str
    tools: list[dict[str, Any]] = field(default_factory=lambda: list(TOOLS))
    hangs: bool = False
    sent: list[Sent] = field(default_factory=list)
    held: int = 0
    release: asyncio.Event = field(default_factory=asyncio.Event)
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0
    sessions: set[str] = field(default_factory=set)
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        self.release.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                line, *lines = (await reader.readuntil(b"\r\n\r\n"))[:-4].decode("latin-1").split("\r\n")
                headers = {name.lower(): value for name, _, value in (one.partition(": ") for one in lines)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                sent = Sent(line.split()[0], headers, body)
                self.sent.append(sent)
                await self._answer(sent, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.gone.set()
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _until_released(self, reader: asyncio.StreamReader) -> None:
        leaving, released = asyncio.ensure_future(reader.read(1)), asyncio.ensure_future(self.release.wait())
        await asyncio.wait({leaving, released}, return_when=asyncio.FIRST_COMPLETED)
        for waiting in (leaving, released):
            waiting.cancel()
        await asyncio.wait({leaving, released})
        if not leaving.cancelled():
            raise ConnectionError("it left")

    async def _answer(self, sent: Sent, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        message, extra = sent.message, ""
        method = message.get("method", "")
        if self.hangs:
            self.reached.set()
            await self._until_released(reader)
        if sent.verb != "POST" or "id" not in message:
            writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
            return
        result: Any = {"resultType": "complete"}
        if method == "initialize":
            session = f"session-of-{self.name}-{len(self.sessions)}"
            self.sessions.add(session)
            extra = f"Mcp-Session-Id: {session}\r\n"
            info = {"name": self.name, "version": "1"}
            result = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": info}
        elif method == "tools/list":
            result |= {"tools": self.tools, "ttlMs": 0, "cacheScope": "public"}
        elif method == "tools/call":
            name, arguments = message["params"]["name"], message["params"].get("arguments", {})
            if name == "hold":
                self.held += 1
                self.reached.set()
                await self._until_released(reader)
            if name == "stream":
                await self._stream(reader, writer)
                return
            result |= {"content": [{"type": "text", "text": json.dumps(arguments)}], "from": self.name}
        raw = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{extra}Content-Length: {len(raw)}\r\n\r\n"
        writer.write(head.encode() + raw)

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        event = b'data: {"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":1}}\n\n'
        writer.write(b"%x\r\n%b\r\n" % (len(event), event))
        self.reached.set()
        await self._until_released(reader)


@dataclass
class House:
    """The gateway and all around it."""

    config: Config
    node: Node
    calls: HttpListener
    admin: HttpListener
    upstreams: dict[str, Upstream]
    keys: dict[str, str]
    secret: str
    folder: Path

    @property
    def one(self) -> Upstream:
        return self.upstreams["one"]

    def token(self, subject: str = "alice", *, key: str = "", algorithm: str = "HS256", **claims: Any) -> str:
        now_s = int(time.time())
        whole = {"iss": ISSUER, "aud": AUDIENCE, "sub": subject, "iat": now_s, "nbf": now_s - 1, "exp": now_s + 600,
                 "jti": secrets.token_hex(8), "roles": ["user"], **claims}  # fmt: skip
        return jwt.encode(
            {name: value for name, value in whole.items() if value is not None},
            None if algorithm == "none" else key or self.secret,
            algorithm=algorithm,
            headers={"typ": "at+jwt"},
        )

    async def ask(
        self, verb: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b"", *, door: str = "calls"
    ) -> Answer:
        client = await Client.to(self.calls.port if door == "calls" else self.admin.port)
        try:
            return await client.ask(verb, path, headers, body)
        finally:
            client.close()

    async def call(self, name: str = "echo", *, credential: str = "", server: str = "one", **arguments: Any) -> Answer:
        body = call_body(name=name, **arguments)
        return await self.send(body, credential=credential, server=server)

    async def send(self, body: Mapping[str, Any], *, credential: str = "", server: str = "one") -> Answer:
        path = f"/mcp/{server}" if server else "/mcp"
        fields = fields_of(body, credential or self.keys["alice"])
        return await self.ask("POST", path, fields, json.dumps(body).encode())

    async def legacy(
        self, method: str, params: Any = None, *, server: str = "", session: str = "", credential: str = "", **more: Any
    ) -> Answer:
        fields = {"Content-Type": "application/json", "Authorization": f"Bearer {credential or self.keys['alice']}"}
        if session:
            fields |= {"Mcp-Session-Id": session, "MCP-Protocol-Version": "2025-11-25"}
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}, **more}
        body = {name: value for name, value in body.items() if value is not ...}
        return await self.ask("POST", f"/mcp/{server}" if server else "/mcp", fields, json.dumps(body).encode())

    def audit(self) -> list[dict[str, Any]]:
        files = sorted(Path(self.config.audit.path).glob("audit-*.jsonl"))
        return [json.loads(line) for file in files for line in file.read_bytes().splitlines()]


@contextlib.asynccontextmanager
async def open_house(folder: Path, *, servers: int = 1, era: str = "dual", **sections: Any) -> AsyncIterator[House]:
    """A node with `servers` upstreams (`one`, `two`, …), users alice and bob, admin root, and norules."""
    names = ["one", "two", "three", "four", "five"][:servers]
    upstreams = {name: Upstream(name) for name in names}
    keys = {name: make_api_key()[1].reveal() for name in ("alice", "bob", "root", "norules")}
    roles = {"alice": ["user"], "bob": ["user"], "root": ["admin"], "norules": []}
    secret = secrets.token_urlsafe(48)
    (folder / "jwt.secret").write_text(secret)
    (folder / "jwt.secret").chmod(0o600)
    for upstream in upstreams.values():
        await upstream.open()
    base: dict[str, Any] = {
        "environment": "development",
        "http": {"port": 0},
        "admin": {"port": 0},
        "database": {"url": f"sqlite:///{folder / 'mantlet.db'}"},
        "audit": {"path": str(folder / "audit"), "retry_interval": 0.05},
        "auth": {
            "api_keys": [{"name": name, "key": key, "roles": roles[name]} for name, key in keys.items()],
            "jwt": {"secret_file": str(folder / "jwt.secret"), "algorithms": ["HS256"], "issuer": ISSUER,
                    "audience": AUDIENCE},
            "failures": {"per_address": 1_000_000, "per_credential": 1_000_000},
        },
        "limits": {"client": PLENTY, "global": PLENTY, "burst": None, "connections": {"per_address": 1000}},
        "authorization": {"rules": RULES},
        "mcp": {
            "limits": {"list_timeout_ms": 300},
            "servers": [
                {"name": u.name, "transport": "http", "url": f"http://127.0.0.1:{u.port}/mcp", "era": era}
                for u in upstreams.values()
            ],
        },
    }  # fmt: skip
    whole = {
        **base,
        **{
            name: {**base.get(name, {}), **section} if isinstance(section, dict) else section
            for name, section in sections.items()
        },
    }
    file = folder / "mantlet.yaml"
    file.write_text(yaml.safe_dump(whole))
    config = load([str(file)], {}).config
    async with contextlib.AsyncExitStack() as opened:
        for upstream in upstreams.values():
            opened.push_async_callback(upstream.close)
        node = await opened.enter_async_context(build(config, Shared(config.store.url)))
        calls = await open_calls(node)
        members = [LocalMember(node, Doors({"http": calls}, []))]
        admin = await open_admin(node, lambda: members)
        try:
            yield House(config, node, calls, admin, upstreams, keys, secret, folder)
        finally:
            for upstream in upstreams.values():
                await upstream.close()
            await calls.close()
            await admin.close()
