"""The doors for messages, attacked as a whole: nobody gets in who may not, nothing gets further than over HTTP."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from tests.attacks.house import Answer, Client, House, call_body, open_house
from tests.attacks.test_doors import bad_credentials
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from mantlet.core.caller import Caller
from mantlet.core.key_proof import answer_of, message_of, proof_of
from mantlet.keys.api_keys import read_pepper
from mantlet.keys.new_key import NewKey, make
from mantlet.listeners.http import HttpListener
from mantlet.listeners.messages.carrier import Terms
from mantlet.listeners.tcp.listener import TcpListener
from mantlet.node.doors.messages import open_tcp, open_websocket

PATIENCE_S = 10.0
ON = {"enabled": True, "port": 0}


@dataclass
class Doors:
    """A gateway with all of them open."""

    house: House
    websocket: HttpListener
    tcp: TcpListener
    terms: list[Terms]
    opened: list["Lines"] = field(default_factory=list)

    async def knock(self, headers: dict[str, str], path: str = "/ws/one", port: int = 0) -> Answer:
        """The opening handshake alone."""
        client = await Client.to(port or self.websocket.port)
        fields = {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(b"0123456789abcdef").decode(),
        }
        try:
            return await client.ask("GET", path, fields | headers, whole=False)
        finally:
            client.close()

    def socket(self, credential: str = "", path: str = "/ws/one") -> connect:
        token = credential or self.house.keys["alice"]
        return connect(
            f"ws://localhost:{self.websocket.port}{path}",
            additional_headers={"Authorization": f"Bearer {token}"},
            subprotocols=["mcp"],  # type: ignore[list-item]
            open_timeout=PATIENCE_S,
        )

    async def lines(self, credential: str | None = None, server: str = "one") -> "Lines":
        lines = Lines(*await asyncio.open_connection("localhost", self.tcp.port))
        self.opened.append(lines)
        token = self.house.keys["alice"] if credential is None else credential
        lines.say({"jsonrpc": "2.0", "id": 0, "method": "auth", "params": {"token": token, "server": server}})
        return lines


@dataclass
class Lines:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def say(self, message: Any) -> None:
        self.writer.write(json.dumps(message).encode() + b"\n")

    async def hear(self) -> Any:
        async with asyncio.timeout(PATIENCE_S):
            line = await self.reader.readline()
        return json.loads(line) if line else None


@asynccontextmanager
async def open_doors(folder: Path, **sections: Any) -> AsyncIterator[Doors]:
    sections = {"websocket": ON, "tcp": ON} | sections
    async with open_house(folder, **sections) as house:
        websocket, its_terms = await open_websocket(house.node)
        tcp, tcp_terms = await open_tcp(house.node)
        doors = Doors(house, websocket, tcp, [its_terms, tcp_terms])
        try:
            yield doors
        finally:
            for lines in doors.opened:
                lines.writer.close()
            await websocket.close()
            await tcp.close()


@pytest.fixture
async def doors(tmp_path: Path) -> AsyncIterator[Doors]:
    async with open_doors(tmp_path) as opened:
        yield opened


async def heard(socket: ClientConnection) -> Any:
    async with asyncio.timeout(PATIENCE_S):
        return json.loads(await socket.recv())


async def code_of(socket: ClientConnection) -> int | None:
    """With what it is closed, after all that is said before."""
    while True:
        try:
            await heard(socket)
        except ConnectionClosed as closed:
            return None if closed.rcvd is None else closed.rcvd.code


async def say(socket: ClientConnection, body: Any) -> None:
    await socket.send(json.dumps(body))


# --- getting in ----------------------------------------------------------------------------------------------------


async def test_no_bad_credential_opens_a_websocket(doors: Doors) -> None:
    """AUTHN-01, AUTHN-02, AUTHN-03, AUTHN-10"""
    for name, (headers, status) in bad_credentials(doors.house).items():
        for path in ("/ws", "/ws/one", "/ws/nothing", "/ws/workflow", "/", "/mcp/one"):
            answer = await doors.knock(headers, path)
            assert answer.status == status, (name, path)
    assert not doors.house.one.sent


@pytest.mark.parametrize("place", ["token", "access_token", "key", "ticket", "auth"])
async def test_no_token_in_the_url_opens_a_websocket(doors: Doors, place: str) -> None:
    """AUTHN-03"""
    answer = await doors.knock({}, f"/ws/one?{place}={doors.house.keys['alice']}")
    assert answer.status == 401
    both = await doors.knock(
        {"Authorization": f"Bearer {doors.house.keys['alice']}"}, f"/ws/one?token={doors.house.keys['alice']}"
    )
    assert both.status == 400


async def test_no_bad_token_opens_a_tcp_connection(doors: Doors) -> None:
    """AUTHN-10: an error, the end, 0 calls upstream."""
    bad = [headers["Authorization"] for headers, status in bad_credentials(doors.house).values()
           if status == 401 and "Authorization" in headers]  # fmt: skip
    for token in [value.removeprefix("Bearer ") for value in bad] + ["", "a b", "x\r\nX-API-Key: y", "é", "x" * 20_000]:
        lines = await doors.lines(token)
        lines.say(call_body(raw_id=5))
        said = await lines.hear()
        assert said["error"]["code"] in (4401, 4400), (token, said)
        assert await lines.hear() is None
        lines.writer.close()
    assert not doors.house.one.sent


async def test_the_admin_door_and_the_calls_door_upgrade_nothing(doors: Doors) -> None:
    admin = {"Authorization": f"Bearer {doors.house.keys['root']}"}
    for port in (doors.house.calls.port, doors.house.admin.port):
        assert (await doors.knock(admin, "/ws", port)).status in (400, 404, 405)
        assert (await doors.knock(admin, "/mcp", port)).status != 101


async def test_no_credential_and_no_ticket_is_ever_written_down(doors: Doors) -> None:
    """AUD-06"""
    house = doors.house
    client = await Client.to(doors.websocket.port)
    answer = await client.ask("POST", "/ws/ticket", {"Authorization": f"Bearer {house.keys['alice']}"})
    ticket = answer.json["ticket"]
    client.close()
    opened = await doors.knock({"Sec-WebSocket-Protocol": f"mcp, mantlet.ticket.{ticket}"})
    assert opened.status == 101
    again = await doors.knock({"Sec-WebSocket-Protocol": f"mcp, mantlet.ticket.{ticket}"})
    assert again.status == 401
    (await doors.lines()).writer.close()
    (await doors.lines("wrong-token-of-somebody")).writer.close()
    async with doors.socket() as socket:
        await say(socket, call_body())
        await heard(socket)
    metrics = await house.ask("GET", "/metrics", door="admin")
    written = json.dumps(house.audit()) + metrics.body.decode() + repr(doors.websocket.connections())
    for secret in (ticket, house.keys["alice"], "wrong-token-of-somebody"):
        assert secret not in written
    said = {(record["door"], record["action"], record.get("status")) for record in house.audit() if "door" in record}
    assert ("websocket", "POST /ws/ticket", 200) in said
    assert ("websocket", "GET /ws", 101) in said
    assert ("websocket", "GET /ws", 401) in said
    assert ("websocket", "tools/call", 200) in said
    assert ("tcp", "AUTH /mcp", 200) in said
    assert ("tcp", "AUTH /mcp", 401) in said


# --- what is inside ------------------------------------------------------------------------------------------------


async def test_rules_hold_for_messages_as_for_requests(doors: Doors) -> None:
    """AUTHZ-01: decided on what was parsed, whatever door it came by."""
    lines = await doors.lines()
    await lines.hear()
    async with doors.socket() as socket:
        for raw_id, name, code in ((1, "exec", 4403), (2, "echo", None)):
            body = call_body(name=name, raw_id=raw_id)
            await say(socket, body)
            lines.say(body)
            for said in (await heard(socket), await lines.hear()):
                assert said["id"] == raw_id
                assert said.get("error", {}).get("code") == code
    assert [sent.message["params"]["name"] for sent in doors.house.one.sent] == ["echo", "echo"]
    async with doors.socket(doors.house.keys["norules"]) as socket:
        await say(socket, call_body())
        assert (await heard(socket))["error"]["code"] == 4403


async def test_a_message_is_read_as_strictly_as_a_body(doors: Doors) -> None:
    """VAL-01, VAL-02, MCP-02, MCP-03"""
    good = json.dumps(call_body())
    async with doors.socket() as socket:
        for text, code in (
            (good.replace('"id": 1', '"id": 1, "id": 2'), -32700),
            (good.replace('"method"', '"Method": "x", "method"'), -32600),
            (good.replace('"id": 1', '"id": null'), -32600),
            (good.replace('"id": 1', '"id": 1.5'), -32600),
            (f"[{good}]", -32600),
            (good.replace("2026-07-28", "2099-01-01"), -32022),
            (good.replace('"io.modelcontextprotocol/clientCapabilities": {}', '"x": 1'), -32602),
            (good.replace("tools/call", "tools/steal"), -32601),
            (good.replace('"name": "echo"', '"name": 7'), -32602),
            ("[" * 100 + "]" * 100, -32700),
        ):
            await socket.send(text)
            said = await heard(socket)
            assert said["error"]["code"] == code, text
    assert not doors.house.one.sent


async def test_limits_are_one_over_all_doors(tmp_path: Path) -> None:
    """RATE-01: no door is a way around a limit; its opening counts, too."""
    async with open_doors(tmp_path, limits={"client": {"requests": 6, "window": 600}}) as doors:
        assert (await doors.house.call()).status == 200
        async with doors.socket() as socket:
            await say(socket, call_body(raw_id=1))
            assert "result" in await heard(socket)
            lines = await doors.lines()
            assert "result" in await lines.hear()
            lines.say(call_body(raw_id=1))
            assert "result" in await lines.hear()
            await say(socket, call_body(raw_id=2))
            assert "result" in await heard(socket)
            await say(socket, call_body(raw_id=3))
            said = await heard(socket)
            assert said["id"] == 3
            assert said["error"]["code"] == 4429
            assert said["error"]["data"]["limit"] == 6
        assert (await doors.house.call()).status == 429
        assert len(doors.house.one.sent) == 4


async def test_equal_ids_of_two_callers_are_never_mixed_up(doors: Doors) -> None:
    """MCP-05"""
    async with doors.socket() as alice, doors.socket(doors.house.keys["bob"]) as bob:
        for number in range(50):
            await say(alice, call_body(raw_id=number, who="alice", n=number))
            await say(bob, call_body(raw_id=number, who="bob", n=number))
        for socket, name in ((alice, "alice"), (bob, "bob")):
            for _ in range(50):
                said = await heard(socket)
                assert json.loads(said["result"]["content"][0]["text"]) == {"who": name, "n": said["id"]}


async def test_a_cancelled_request_is_cancelled_at_the_server(doors: Doors) -> None:
    """MCP-07: and nothing is sent for it."""
    async with doors.socket() as socket:
        await say(socket, call_body(name="hold", raw_id=1))
        await doors.house.one.reached.wait()
        cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
        await say(socket, cancel)
        async with asyncio.timeout(PATIENCE_S):
            await doors.house.one.gone.wait()
        await say(socket, call_body(raw_id=2))
        assert (await heard(socket))["id"] == 2


@pytest.mark.parametrize("door", ["websocket", "tcp"])
async def test_who_leaves_takes_the_work_along(doors: Doors, door: str) -> None:
    """MCP-07: within a second."""
    if door == "websocket":
        socket = await doors.socket()
        await say(socket, call_body(name="hold"))
        await doors.house.one.reached.wait()
        socket.transport.abort()
    else:
        lines = await doors.lines()
        await lines.hear()
        lines.say(call_body(name="hold"))
        await doors.house.one.reached.wait()
        lines.writer.transport.abort()
    async with asyncio.timeout(1.0):
        await doors.house.one.gone.wait()


async def test_a_legacy_session_lives_and_ends_with_its_connection(doors: Doors) -> None:
    """MCP-04"""
    info = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
    async with doors.socket() as socket:
        await say(socket, {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": info})
        assert (await heard(socket))["result"]["protocolVersion"] == "2025-11-25"
        await say(socket, {"jsonrpc": "2.0", "method": "notifications/initialized"})
        call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo", "arguments": {}}}
        await say(socket, call)
        assert (await heard(socket))["id"] == 1
    async with asyncio.timeout(PATIENCE_S):
        while not any(sent.verb == "DELETE" for sent in doors.house.one.sent):
            await asyncio.sleep(0.01)
    session = "session-of-one-0"
    assert all(sent.headers.get("mcp-session-id") == session for sent in doors.house.one.sent[1:])


async def test_a_connection_ends_with_the_token_that_opened_it(doors: Doors) -> None:
    """AUTHN-06, AUTHN-10: at most 5 s after its expiry, also when nothing is said."""
    token = doors.house.token(exp=int(time.time()) + 2)
    lines = await doors.lines(token)
    assert (await lines.hear())["result"]["expires_in"] <= 2
    async with doors.socket(token) as socket:
        began_s = time.monotonic()
        assert await code_of(socket) == 1008
        assert await lines.hear() is None
        assert time.monotonic() - began_s < 7


async def test_a_revoked_caller_gets_no_further_message_through(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    """AUTHN-06"""
    lines = await doors.lines()
    await lines.hear()
    async with doors.socket() as socket:
        for provider in doors.house.node.current.generation.authenticate._providers:  # type: ignore[union-attr]
            monkeypatch.setattr(provider, "is_current", lambda _: False)
        await say(socket, call_body())
        lines.say(call_body())
        assert (await heard(socket))["error"]["code"] == 4401
        assert (await lines.hear())["error"]["code"] == 4401
        assert await code_of(socket) == 1008
        assert await lines.hear() is None
    assert not doors.house.one.sent


async def test_a_server_that_dies_in_the_call_is_an_error_and_not_the_end_of_the_connection(doors: Doors) -> None:
    async with doors.socket() as socket:
        await say(socket, call_body(name="hold", raw_id=1))
        await doors.house.one.reached.wait()
        await doors.house.one.close()
        said = await heard(socket)
        assert (said["id"], said["error"]["code"]) == (1, 4502)
        await doors.house.one.open()
        await say(socket, call_body(raw_id=2))
        assert (await heard(socket))["id"] == 2


async def test_draining_says_goodbye_at_every_door(doors: Doors) -> None:
    """RES-05"""
    lines = await doors.lines()
    await lines.hear()
    async with doors.socket() as socket:
        await say(socket, call_body(name="hold", raw_id=1))
        await doors.house.one.reached.wait()
        draining = asyncio.gather(doors.websocket.drain(PATIENCE_S), doors.tcp.drain(PATIENCE_S))
        assert await lines.hear() is None
        doors.house.one.release.set()
        assert (await heard(socket))["id"] == 1
        assert await code_of(socket) == 1001
        lines.writer.close()
        await draining


async def test_a_flood_over_the_limits_is_shut_out(tmp_path: Path) -> None:
    limits = {"client": {"requests": 5, "window": 600}}
    async with open_doors(tmp_path, limits=limits) as doors, doors.socket() as socket:
        for number in range(200):
            await say(socket, call_body(raw_id=number))
        assert await code_of(socket) == 1013
        assert len(doors.house.one.sent) <= 5


async def test_many_aborts_leave_no_task_behind(doors: Doors) -> None:
    """MCP-07"""
    node = doors.house.node
    before = len(node.tasks)
    for _ in range(10):
        sockets = [await doors.socket() for _ in range(10)]
        for socket in sockets:
            await say(socket, call_body(name="hold"))
        for socket in sockets:
            socket.transport.abort()
    async with asyncio.timeout(PATIENCE_S):
        while len(node.tasks) > before or doors.terms[0].open:
            await asyncio.sleep(0.01)


async def test_a_foreign_page_gets_neither_socket_nor_ticket(tmp_path: Path) -> None:
    """HTTP-03"""
    section = ON | {"allowed_origins": ["https://app.example"]}
    async with open_doors(tmp_path, websocket=section) as doors:
        for origin in ("https://evil.example", "null", "https://app.example:8443", "http://app.example"):
            headers = {"Authorization": f"Bearer {doors.house.keys['alice']}", "Origin": origin}
            assert (await doors.knock(headers)).status == 403
            client = await Client.to(doors.websocket.port)
            assert (await client.ask("POST", "/ws/ticket", headers)).status == 403
            client.close()
        assert len(doors.house.node.state) == 0  # type: ignore[arg-type]


async def test_whose_ticket_it_is_decides_what_it_opens(doors: Doors) -> None:
    """AUTHN-10"""
    client = await Client.to(doors.websocket.port)
    answer = await client.ask("POST", "/ws/ticket", {"Authorization": f"Bearer {doors.house.keys['norules']}"})
    client.close()
    async with connect(
        f"ws://localhost:{doors.websocket.port}/ws/one", subprotocols=answer.json["subprotocols"]
    ) as socket:
        assert socket.subprotocol == "mcp"
        await say(socket, call_body())
        assert (await heard(socket))["error"]["code"] == 4403
    principals = {record["principal"] for record in doors.house.audit() if record.get("action") == "tools/call"}
    assert principals == {Caller("norules", "mantlet:api-key", "api_key").name}


# --- a key that is proved and not sent


async def proved(lines: "Lines", key: str, key_id: str, *, server: str = "one", nonce: str = "n" * 22) -> Any:
    """The answer to the second `auth`, and whether the node has proved itself too."""
    lines.say(
        {"jsonrpc": "2.0", "id": 0, "method": "auth", "params": {"key": key_id, "nonce": nonce, "server": server}}
    )
    challenge = (await lines.hear())["result"]["challenge"]
    message = message_of(key_id, nonce, challenge, server)
    lines.say({"jsonrpc": "2.0", "id": 1, "method": "auth", "params": {"proof": proof_of(key.encode(), message)}})
    said = await lines.hear()
    if "result" in said:
        assert said["result"]["proof"] == answer_of(key.encode(), message)
    return said


async def strangers(doors: Doors) -> Lines:
    lines = Lines(*await asyncio.open_connection("localhost", doors.tcp.port))
    doors.opened.append(lines)
    return lines


async def test_keys_of_config_and_store_prove_themselves(doors: Doors) -> None:
    """AUTHN-10, AUTHN-05: and they act as the same caller as when they are sent."""
    alice = doors.house.keys["alice"]
    stored, key = make(NewKey("robot", roles=["user"]), now_s=time.time(), pepper=pepper_of(doors))
    older, key_of_older = make(NewKey("old"), now_s=time.time(), pepper=pepper_of(doors))
    store = doors.house.node.durable.api_keys
    await store.create(stored)
    await store.create(replace(older, verifier=""))
    for text, key_id in ((alice, alice.split("_")[1]), (key.reveal(), stored.id)):
        lines = await strangers(doors)
        assert "result" in await proved(lines, text, key_id)
        lines.say(call_body())
        assert (await lines.hear())["result"]["from"] == "one"
    for text, key_id in ((key_of_older.reveal(), older.id), (alice, stored.id), (key.reveal(), "0" * 12)):
        lines = await strangers(doors)
        assert (await proved(lines, text, key_id))["error"]["code"] == 4401
        assert await lines.hear() is None
    await store.revoke(stored.id, time.time())
    assert (await proved(await strangers(doors), key.reveal(), stored.id))["error"]["code"] == 4401
    assert len(doors.house.one.sent) == 2
    written = json.dumps(doors.house.audit())
    assert key.reveal() not in written
    assert "invalid_credential" in written


async def test_guesses_at_proofs_are_counted_like_guesses_at_keys(tmp_path: Path) -> None:
    """AUTHN-07"""
    async with open_doors(tmp_path, auth={"failures": {"per_address": 3, "per_credential": 100}}) as doors:
        alice = doors.house.keys["alice"]
        codes = [
            (await proved(await strangers(doors), "wrong", alice.split("_")[1]))["error"]["code"] for _ in range(5)
        ]
        assert codes == [4401, 4401, 4401, 4429, 4429]


async def test_a_proof_is_worth_nothing_at_other_doors(doors: Doors) -> None:
    """AUTHN-02"""
    key = doors.house.keys["alice"]
    proof = proof_of(key.encode(), message_of(key.split("_")[1], "n" * 22, "c" * 32, ""))
    for credential in (proof, f"{key.split('_')[1]}.{proof}", f"mk_{key.split('_')[1]}_{proof}"):
        assert (await doors.house.call(credential=credential)).status == 401
        assert (await doors.knock({"Authorization": f"Bearer {credential}"})).status == 401


def pepper_of(doors: Doors) -> bytes:
    return read_pepper(doors.house.config.database.pepper_path)
