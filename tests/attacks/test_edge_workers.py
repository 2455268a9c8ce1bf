"""HTTP/2 and the PROXY protocol at a node of two workers: what strangers send before anybody knows who they are."""

import asyncio
import contextlib
import json
import ssl
import struct
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from bench.rig.gateway import config, stdio
from bench.rig.process import Program, free_port
from hpack import Encoder
from tests.attacks.house import META, fields_of
from tests.attacks.test_message_doors import Lines
from tests.node.processes.support import eventually

from mantlet.keys.api_keys import make_api_key
from mantlet.ops import certs

pytestmark = pytest.mark.slow

EVERYTHING = str(Path(__file__).parents[1] / "servers" / "everything.py")
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(1, 10)
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
PATIENCE_S = 20.0
TRIES = 6


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def proxied(source: str, rest: bytes = b"") -> bytes:
    """A PROXY header of version 2, for a connection from `source`."""
    addresses = bytes(map(int, source.split("."))) + bytes([127, 0, 0, 1]) + b"\x12\x34\x01\xbb" + rest
    return SIGNATURE + b"\x21\x11" + len(addresses).to_bytes(2, "big") + addresses


@dataclass
class Node:
    """With TLS and HTTP/2 at its HTTP door, and a proxy required at its TCP door."""

    folder: Path
    port: int
    tcp: int
    key: str

    def context(self, *protocols: str) -> ssl.SSLContext:
        made = ssl.create_default_context(cafile=self.folder / "certs" / "ca.pem")
        made.set_alpn_protocols(list(protocols))
        return made

    async def raw(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        async with asyncio.timeout(PATIENCE_S):
            opened = await asyncio.open_connection("localhost", self.port, ssl=self.context("h2"))
        assert opened[1].get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
        opened[1].write(PREFACE + frame(SETTINGS))
        return opened

    async def calls(self, count: int = TRIES) -> None:
        """Every call is answered, over connections of their own."""
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call",
                "params": {"_meta": META, "name": "echo", "arguments": {"message": "m"}}}  # fmt: skip
        for _ in range(count):
            async with httpx2.AsyncClient(http2=True, verify=self.context("h2"), timeout=PATIENCE_S) as client:
                url = f"https://localhost:{self.port}/mcp/one"
                answer = await client.post(url, json=body, headers=fields_of(body, self.key))
                assert (answer.status_code, answer.http_version) == (200, "HTTP/2")
                assert answer.json()["result"]["content"][0]["text"] == "m"

    async def lines(self, before: bytes, token: str = "") -> Lines:
        lines = Lines(*await asyncio.open_connection("127.0.0.1", self.tcp))
        lines.writer.write(before)
        params = {"token": token or self.key, "server": "one"}
        lines.say({"jsonrpc": "2.0", "id": 0, "method": "auth", "params": params})
        return lines


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("edge")
    certs.authority(folder / "certs", "Test", 30)
    certs.server(folder / "certs", "server", ["localhost"], 20)
    key = make_api_key()[1].reveal()
    port, tcp, admin = free_port(), free_port(), free_port()
    tls = {"cert_file": str(folder / "certs" / "server.pem"), "key_file": str(folder / "certs" / "server.key")}
    whole: dict[str, Any] = config([stdio("one", sys.executable, EVERYTHING, "--stdio")])
    whole["http"] = {"port": port, "workers": 2, "http2": True, "tls": tls, "header_timeout": 5, "max_streams": 50}
    whole["tcp"] = {
        "enabled": True, "port": tcp, "auth_timeout": 2, "proxy_protocol": "required",
        "trusted_proxies": ["127.0.0.1/32"],
    }  # fmt: skip
    whole["admin"] = {"port": admin}
    whole["auth"] = {
        "api_keys": [{"name": "alice", "key": key, "roles": ["user"]}],
        "failures": {"per_address": 3, "per_credential": 1000, "window": 600},
    }
    whole["authorization"] = {"rules": [{"name": "users", "allow": {"roles": ["user"]}}]}
    whole["audit"] = {"path": str(folder / "audit")}
    whole["database"] = {"url": f"sqlite:///{folder / 'mantlet.db'}"}
    file = folder / "mantlet.yaml"
    file.write_text(json.dumps(whole))
    program = Program([sys.executable, "-m", "mantlet", "serve", "-c", str(file)], folder / "gateway.log")
    try:
        program.wait_listening(port)
        node = Node(folder, port, tcp, key)

        def is_ready() -> bool:
            try:
                asyncio.run(node.calls(1))
            except (AssertionError, httpx2.TransportError):
                return False
            return True

        eventually(is_ready, within_s=60)
        yield node
    finally:
        program.stop()


@pytest.fixture
async def node(running: Node) -> AsyncIterator[Node]:
    """Whatever was done to it, both workers serve after."""
    yield running
    await running.calls()


def request(stream: int, encoder: Encoder, flags: int = 0x5, *more: tuple[str, str]) -> bytes:
    fields = [(":method", "POST"), (":path", "/mcp/one"), (":scheme", "https"), (":authority", "localhost"), *more]
    return frame(HEADERS, flags, stream, encoder.encode(fields))


def resets() -> bytes:
    encoder = Encoder()
    return b"".join(
        request(stream, encoder) + frame(RST, 0, stream, struct.pack("!I", 8)) for stream in range(1, 4001, 2)
    )


def streams() -> bytes:
    encoder = Encoder()
    return b"".join(request(stream, encoder, 0x4) for stream in range(1, 801, 2))


FLOODS = {
    "resets (CVE-2023-44487)": resets,
    "continuations (CVE-2024-27316)": lambda: (
        frame(HEADERS, 0, 1, b"\x82") + frame(CONTINUATION, 0, 1, b"\x00" + b"\x01a\x01b" * 2000) * 200
    ),
    "empty continuations": lambda: frame(HEADERS, 0, 1, b"\x82") + frame(CONTINUATION, 0, 1) * 20_000,
    "settings": lambda: frame(SETTINGS, payload=struct.pack("!HI", 1, 4096)) * 20_000,
    "pings": lambda: frame(PING, payload=bytes(8)) * 20_000,
    "windows": lambda: frame(WINDOW, payload=struct.pack("!I", 1)) * 20_000,
    "streams that stay open": streams,
    "a frame too large": lambda: frame(HEADERS, 0x5, 1, bytes(70_000)),
    "a header bomb": lambda: frame(HEADERS, 0x5, 1, b"\x40\x01a\x7f\xe1\x1e" + b"b" * 4000 + b"\xbe" * 12_000),
    "half a header": lambda: frame(HEADERS, 0, 1, b"\x82\x84"),
    "a window that is too wide": lambda: frame(WINDOW, payload=struct.pack("!I", 0x7FFFFFFF)) * 3,
    "a push": lambda: frame(PUSH, 0x4, 1, struct.pack("!I", 2) + b"\x82"),
    "no frame": lambda: b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100,
}


@pytest.mark.parametrize("name", FLOODS)
async def test_what_costs_a_client_nothing_ends_its_connection(node: Node, name: str) -> None:
    """HTTP-05, HTTP-06: at both workers, while others call."""
    flood = FLOODS[name]()
    opened = [await node.raw() for _ in range(TRIES)]
    for _, writer in opened:
        writer.write(flood)
    await node.calls()
    for reader, writer in opened:
        async with asyncio.timeout(PATIENCE_S):
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                while await reader.read(65_536):
                    pass
        writer.close()


@pytest.mark.parametrize(
    "before",
    [
        b"",
        b"PROXY TCP4 203.0.113.7 127.0.0.1 1 2\r\n",
        SIGNATURE,
        SIGNATURE + b"\x31\x11\x00\x0c" + bytes(12),
        SIGNATURE + b"\x21\x11\x00\x04" + bytes(4),
        SIGNATURE + b"\x21\x11\xff\xff" + bytes(100),
        proxied("203.0.113.7")[:-3],
        proxied("203.0.113.7", b"\x03\x00\x04" + b"\x00\x00\x00\x01"),
    ],
)
async def test_nobody_comes_in_without_a_whole_header(node: Node, before: bytes) -> None:
    """HTTP-09: not even with a good key, at either worker."""
    for _ in range(TRIES):
        lines = await node.lines(before)
        with contextlib.suppress(ConnectionError):
            said = await lines.hear()
            # Of a header cut short the rest is taken out of the first line, which is none then.
            assert said is None or said["error"]["code"] == -32700
        lines.writer.close()


async def test_guesses_count_against_who_the_proxy_says_and_not_against_the_proxy(node: Node) -> None:
    """AUTHN-07, HTTP-09"""
    wrong = make_api_key()[1].reveal()
    codes = []
    for _ in range(4 * TRIES):
        lines = await node.lines(proxied("203.0.113.66"), wrong)
        codes.append((await lines.hear())["error"]["code"])
        lines.writer.close()
    assert set(codes) == {4401, 4429}
    assert codes.count(4401) <= 6  # three at each worker
    for source in ("203.0.113.67", "203.0.113.66"):
        lines = await node.lines(proxied(source))
        assert "result" in await lines.hear()  # an owner always gets in
        lines.writer.close()
    lines = await node.lines(proxied("203.0.113.68"), wrong)
    assert (await lines.hear())["error"]["code"] == 4401
    lines.writer.close()


async def test_a_second_header_is_no_header(node: Node) -> None:
    """HTTP-09: whoever stands behind the proxy cannot name himself anew."""
    for _ in range(TRIES):
        lines = await node.lines(proxied("203.0.113.7") + proxied("198.51.100.1"))
        assert (await lines.hear())["error"]["code"] == -32700
        assert await lines.hear() is None
        lines.writer.close()
