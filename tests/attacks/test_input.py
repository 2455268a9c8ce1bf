"""Hostile bytes at the front door: refused by name, never a 500, never sent on."""

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import pytest
from tests.attacks.house import META, TOOLS, Client, House, call_body, fields_of, open_house

GOOD = call_body(message="x")


async def post(house: House, body: bytes, **fields: str) -> Any:
    credential = house.keys["alice"]
    given = {**fields_of(GOOD, credential), **{name.replace("_", "-"): value for name, value in fields.items()}}
    return await house.ask("POST", "/mcp/one", given, body)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", -32700),
        (b"{", -32700),
        (b"\xef\xbb\xbf" + json.dumps(GOOD).encode(), -32700),
        (b"\xff\xfe", -32700),
        (json.dumps(GOOD).encode().replace(b'"id": 1', b'"id": 1, "id": 2'), -32700),
        (json.dumps(GOOD).encode().replace(b'"name": "echo"', b'"name": "echo", "n\\u0061me": "exec"'), -32700),
        (json.dumps(GOOD).encode().replace(b'"x"', b"NaN"), -32700),
        (json.dumps(GOOD).encode().replace(b'"x"', b"1e999"), -32700),
        (json.dumps(GOOD).encode().replace(b'"x"', b"1" * 4301), -32700),
        (json.dumps(GOOD).encode().replace(b'"x"', b'"\\ud800"'), -32700),
        (json.dumps(GOOD).encode().replace(b'"x"', b"[" * 100_000 + b"]" * 100_000), -32700),
        (json.dumps(GOOD).encode().replace(b'"x"', json.dumps({str(n): n for n in range(10_001)}).encode()), -32700),
        (json.dumps([GOOD]).encode(), -32600),
        (json.dumps({**GOOD, "id": None}).encode(), -32600),
        (json.dumps({**GOOD, "id": 1.5}).encode(), -32600),
        (json.dumps({**GOOD, "METHOD": "x"}).encode(), -32600),
        (json.dumps({"jsonrpc": "2.0", "id": 1, "result": {}}).encode(), -32600),
        (json.dumps({**GOOD, "params": {"name": "echo"}}).encode(), -32602),
        (json.dumps({**GOOD, "params": {"name": "exec", "_meta": META}}).encode(), -32020),
        (json.dumps({**GOOD, "method": "tools/list"}).encode(), -32020),
    ],
    ids=range(20),
)
async def test_what_is_malformed_hears_the_protocols_own_code(house: House, body: bytes, code: int) -> None:
    """VAL-01, VAL-02, MCP-01 … MCP-03"""
    answer = await post(house, body)
    assert answer.status == 400
    assert answer.json["error"]["code"] == code
    assert house.one.sent == []


async def test_a_body_at_the_limit_passes_and_one_byte_more_does_not(house: House) -> None:
    """HTTP-07"""
    raw = json.dumps(GOOD).encode()
    limit = house.config.http.max_body_bytes
    assert (await post(house, raw + b" " * (limit - len(raw)))).status == 200
    assert len(house.one.sent[-1].body) == limit
    client = await Client.to(house.calls.port)
    fields = {**fields_of(GOOD, house.keys["alice"]), "Content-Length": str(limit + 1)}
    assert (await client.ask("POST", "/mcp/one", fields)).status == 413
    client.close()
    assert len(house.one.sent) == 1


async def test_noise_is_never_a_500_and_never_sent_on(house: House) -> None:
    chance = random.Random(20261121)
    raw = json.dumps(GOOD).encode()
    for _ in range(300):
        at, kind = chance.randrange(len(raw)), chance.randrange(4)
        noise = bytes(chance.randrange(256) for _ in range(chance.randrange(1, 9)))
        broken = [raw[:at] + noise + raw[at:], raw[:at], raw[:at] + raw[at + 3 :], noise][kind]
        answer = await post(house, broken)
        assert answer.status in (200, 400, 403, 404), (broken, answer)
    for sent in house.one.sent:
        assert sent.message["params"]["name"] == sent.headers["mcp-name"] == "echo"


async def test_a_mirrored_argument_that_contradicts_its_header_stays_here(house: House) -> None:
    """MCP-01: at the server's own endpoint and at that of all servers."""
    schema = {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}
    house.one.tools = [*TOOLS, {"name": "query", "inputSchema": schema}]
    body = call_body(name="query", region="eu")
    for path in ("/mcp/one", "/mcp"):
        server = path.removeprefix("/mcp").strip("/")
        listed = await house.send(call_body("tools/list"), server=server)
        assert "query" in [tool["name"] for tool in listed.json["result"]["tools"]]
        for more, status in (({}, 400), ({"Mcp-Param-Region": "us"}, 400), ({"Mcp-Param-Region": "eu"}, 200)):
            fields = {**fields_of(body, house.keys["alice"]), **more}
            answer = await house.ask("POST", path, fields, json.dumps(body).encode())
            assert answer.status == status
            if status == 400:
                assert answer.json["error"]["code"] == -32020
    calls = [sent for sent in house.one.sent if sent.message.get("method") == "tools/call"]
    assert [sent.headers["mcp-param-region"] for sent in calls] == ["eu", "eu"]


async def test_slow_ones_are_shown_out_while_others_are_served(tmp_path: Path) -> None:
    """HTTP-05: a hundred slow heads and a hundred slow bodies, each fed a byte at a time."""
    async with open_house(tmp_path, http={"header_timeout": 0.5, "body_timeout": 0.5}) as house:
        fields = {**fields_of(GOOD, house.keys["alice"]), "Content-Length": "1000"}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items()).encode()
        clients = await asyncio.gather(*(Client.to(house.calls.port) for _ in range(200)))

        async def trickle(client: Client, start: bytes) -> bytes:
            client.writer.write(start)
            reading = asyncio.ensure_future(client.reader.read())
            while not reading.done():
                client.writer.write(b"x")
                await asyncio.wait({reading}, timeout=0.05)
            client.close()
            return b"" if reading.exception() else reading.result()

        host = f"Host: localhost:{house.calls.port}\r\n".encode()
        starts = [b"POST /mcp/one HTTP/1.1\r\n" + host + b"X-Slow: "] * 100
        starts += [b"POST /mcp/one HTTP/1.1\r\n" + host + head + b"\r\n"] * 100
        async with asyncio.timeout(20):
            slow = [asyncio.ensure_future(trickle(*pair)) for pair in zip(clients, starts, strict=True)]
            statuses = [(await house.call()).status for _ in range(50)]
            said = await asyncio.gather(*slow)
        assert set(statuses) == {200}
        assert {answer[:12] for answer in said} <= {b"HTTP/1.1 408", b""}
        assert len(house.one.sent) == 50
