"""The TCP door: `auth` first and within its time, lines however they are cut, sessions that end."""

import asyncio
import json
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.listeners.tcp.conftest import Serve
from tests.listeners.tcp.house import BOB

from mantlet.core.call import Arrival, Reply
from mantlet.core.caller import Caller
from mantlet.core.clock import SYSTEM
from mantlet.core.refusal import RateLimited
from mantlet.keys.certificates import make_authority, make_server
from mantlet.listeners.tls import Served, TlsConfig


async def test_auth_gives_a_session_with_its_end(serve: Serve) -> None:
    house = await serve(session_lifetime=600)
    client = await house.connect()
    said = await client.auth()
    assert said["id"] == "auth"
    assert said["result"]["expires_in"] == 600
    assert said["result"]["expires_at"] == 1600
    assert len(said["result"]["session"]) >= 22
    client.say(id=1, method="ping", params={"a": 1})
    assert await client.line() == {"jsonrpc": "2.0", "id": 1, "result": {"a": 1}}
    (arrival,) = house.arrivals
    assert (arrival.path, arrival.caller, arrival.is_message) == ("/mcp", house.holders[b"alice-token"], True)


async def test_a_session_ends_no_later_than_its_credential(serve: Serve) -> None:
    house = await serve(session_lifetime=600)
    house.holders[b"short-token"] = Caller("carol", "test", "test", expires_at_s=1060.0)
    client = await house.connect()
    assert (await client.auth("short-token"))["result"]["expires_in"] == 60


async def test_auth_may_name_one_server(serve: Serve) -> None:
    house = await serve()
    client = await house.ready(server="one")
    client.say(id=1, method="ping")
    await client.line()
    assert house.arrivals[0].path == "/mcp/one"
    assert house.openings[0].trail.server == "one"


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ({"id": 1, "method": "tools/list"}, 4401),
        ({"id": 1, "method": "initialize", "params": {}}, 4401),
        ({"method": "auth", "params": {"token": "alice-token"}}, 4401),
        ({"id": 1, "result": {}}, 4401),
        ({"id": 1, "method": "auth"}, -32602),
        ({"id": 1, "method": "auth", "params": {"token": 7}}, -32602),
        ({"id": 1, "method": "auth", "params": {"token": None}}, -32602),
        ({"id": 1, "method": "auth", "params": {"token": "alice-token", "role": "admin"}}, -32602),
        ({"id": 1, "method": "auth", "params": {"token": "alice-token", "server": 1}}, -32602),
        ({"id": 1, "method": "auth", "params": {"token": "wrong"}}, 4401),
        ({"id": 1, "method": "auth", "params": {"token": "alice-token", "server": "nobody"}}, 4404),
        ({"id": 1, "method": "auth", "params": {"token": "alice-token"}, "Method": "x"}, -32600),
        ([{"id": 1, "method": "auth", "params": {"token": "alice-token"}}], -32600),
        ("nonsense", -32600),
    ],
)
async def test_nothing_but_a_good_auth_opens_the_connection_and_there_is_one_try(
    serve: Serve, sent: Any, code: int
) -> None:
    """AUTHN-10: an error, the end, and nothing upstream."""
    house = await serve()
    client = await house.connect()
    message = {"jsonrpc": "2.0", **sent} if isinstance(sent, dict) else sent
    client.send(json.dumps(message).encode() + b"\n")
    client.say(id=2, method="auth", params={"token": "alice-token"})
    said = await client.line()
    assert said["error"]["code"] == code
    assert await client.end() == b""
    assert not house.arrivals
    assert not house.terms.open


@pytest.mark.parametrize("line", [b"{nonsense\n", b'{"jsonrpc":"2.0","id":1,"id":2,"method":"auth"}\n', b"\xff\n"])
async def test_what_is_no_json_opens_nothing(serve: Serve, line: bytes) -> None:
    house = await serve()
    client = await house.connect()
    client.send(line)
    assert (await client.line())["error"]["code"] == -32700
    assert await client.end() == b""


async def test_messages_behind_an_auth_wait_for_it(serve: Serve) -> None:
    house = await serve()
    house.may_open = asyncio.Event()
    client = await house.connect()
    client.say(id="auth", method="auth", params={"token": "alice-token"})
    client.say(id=1, method="ping")
    await house.until(lambda: bool(house.openings))
    assert not house.arrivals
    house.may_open.set()
    assert (await client.line())["id"] == "auth"
    assert (await client.line())["id"] == 1


@pytest.mark.parametrize("sent", [b"", b'{"jsonrpc":"2.0","id":1,', b"\n\n\n"])
async def test_who_does_not_authenticate_in_time_is_sent_away(serve: Serve, sent: bytes) -> None:
    """AUTHN-10: within 10 s."""
    house = await serve()
    client = await house.connect()
    client.send(sent)
    await house.until(lambda: [info.bytes_in for info in house.listener.connections()] == [len(sent)])
    house.pass_s(9)
    assert house.listener.connections()
    house.pass_s(1)
    assert (await client.line())["error"]["code"] == 4401
    assert await client.end() == b""


async def test_a_stranger_may_not_fill_the_memory(serve: Serve) -> None:
    house = await serve()
    client = await house.connect()
    client.send(b"x" * 40_000)
    assert (await client.line())["error"]["code"] == 4413
    await client.end()


# --- lines ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 3, 10, 1000])
async def test_lines_may_be_cut_anywhere_and_come_many_at_once(serve: Serve, size: int) -> None:
    house = await serve(max_in_flight=4)
    client = await house.ready()
    ends = [b"\n", b"\r\n", b"\n\n"]
    text = b"".join(b'{"jsonrpc":"2.0","id":%d,"method":"ping"}%b' % (n, ends[n % 3]) for n in range(60))
    for at in range(0, len(text), size):
        client.send(text[at : at + size])
        if size < 10:
            await client.writer.drain()
    assert {(await client.line())["id"] for _ in range(60)} == set(range(60))


async def test_an_answer_over_several_lines_comes_as_one(serve: Serve) -> None:
    house = await serve()
    client = await house.ready()
    client.say(id=1, method="ping", params={"a": ["\n", "\r"]})
    assert (await client.line())["result"] == {"a": ["\n", "\r"]}


@pytest.mark.parametrize("end", [b"", b"\n"])
async def test_a_line_that_is_too_long_is_told_and_ends_the_connection(serve: Serve, end: bytes) -> None:
    house = await serve(max_line_bytes=2000)
    client = await house.ready()
    client.send(b"x" * 300_000 + end)
    assert (await client.line())["error"]["code"] == 4413
    await client.end()
    await house.until(lambda: not house.terms.open)
    assert not house.arrivals


async def test_a_line_that_does_not_end_is_not_waited_for(serve: Serve) -> None:
    house = await serve(message_timeout=20)
    client = await house.ready()
    before = house.listener.connections()[0].bytes_in
    client.send(b'{"jsonrpc"')
    await house.until(lambda: house.listener.connections()[0].bytes_in > before)
    house.pass_s(19)
    assert house.terms.open
    house.pass_s(2)
    assert await client.end() == b""


# --- sessions ------------------------------------------------------------------------------------------------------


async def test_an_expired_session_answers_nothing_until_auth_and_ends_without_it(serve: Serve) -> None:
    """AUTHN-10: the session carries an expiry and is checked on every message."""
    house = await serve(session_lifetime=60, idle_timeout=1000)
    client, lost = await house.ready(), await house.ready()
    house.pass_s(60)
    client.say(id=1, method="ping")
    said = await client.line()
    assert (said["id"], said["error"]["code"]) == (1, 4401)
    assert not house.arrivals
    assert "result" in await client.auth()
    client.say(id=2, method="ping")
    assert (await client.line())["id"] == 2
    house.pass_s(11)
    assert await lost.end() == b""
    assert len(house.terms.open) == 1


async def test_an_auth_on_the_way_renews_the_session_and_disturbs_nothing(serve: Serve) -> None:
    house = await serve(session_lifetime=60, idle_timeout=1000)
    gate = asyncio.Event()

    async def held(arrival: Arrival, message: Any) -> Reply:
        await gate.wait()
        return await house.echo(arrival, message)

    house.handler = held
    client = await house.ready()
    client.say(id=1, method="tools/call")
    await house.until(lambda: bool(house.arrivals))
    house.pass_s(50)
    assert (await client.auth())["result"]["expires_in"] == 60
    house.pass_s(50)
    gate.set()
    assert (await client.line())["id"] == 1


@pytest.mark.parametrize("params", [{"token": "bob-token"}, {"token": "alice-token", "server": "one"}])
async def test_a_connection_stays_with_whom_and_what_it_was_opened_for(serve: Serve, params: dict[str, str]) -> None:
    house = await serve()
    client = await house.ready()
    client.say(id=9, method="auth", params=params)
    assert (await client.line())["error"]["code"] == 4403
    client.say(id=1, method="ping")
    assert (await client.line())["id"] == 1
    assert house.arrivals[0].caller != BOB


async def test_a_bad_auth_on_an_open_connection_changes_nothing(serve: Serve) -> None:
    house = await serve()
    client = await house.ready()
    assert (await client.auth("wrong"))["error"]["code"] == 4401
    client.say(id=1, method="ping")
    assert (await client.line())["id"] == 1


async def test_auth_as_an_argument_is_no_auth(serve: Serve) -> None:
    house = await serve()
    client = await house.ready()
    client.say(id=1, method="tools/call", params={"name": "auth", "arguments": {"method": "auth"}})
    assert (await client.line())["result"]["name"] == "auth"
    assert len(house.openings) == 1


# --- lives ---------------------------------------------------------------------------------------------------------


async def test_an_idle_connection_is_closed(serve: Serve) -> None:
    house = await serve(idle_timeout=100)
    client = await house.ready()
    house.pass_s(99)
    client.say(id=1, method="ping")
    await client.line()
    house.pass_s(99)
    assert house.terms.open
    house.pass_s(2)
    assert await client.end() == b""


async def test_the_end_of_the_client_cancels_its_work(serve: Serve) -> None:
    """MCP-07"""
    house = await serve()
    house.handler = house.hang
    client = await house.ready()
    for number in range(5):
        client.say(id=number, method="tools/call")
    await house.until(lambda: len(house.arrivals) == 5)
    client.writer.transport.abort()  # type: ignore[attr-defined]
    await house.until(lambda: house.cancelled == 5 and len(house.tasks) == 0)
    assert not house.listener._door.seats


async def test_a_client_that_reads_nothing_is_cut_off(serve: Serve) -> None:
    house = await serve(write_timeout=30, max_in_flight=8)
    answers = 0

    async def large(arrival: Arrival, message: Any) -> Reply:
        nonlocal answers
        answers += 1
        return Reply(200, [], json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": "x" * 1_000_000}).encode())

    house.handler = large
    client = await house.ready()
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    for number in range(200):
        client.say(id=number, method="tools/call")
    await house.until(lambda: any(guest.is_write_paused for guest in house.listener._door.guests))
    for _ in range(200):
        await asyncio.sleep(0)
    assert answers < 60
    house.pass_s(31)
    await house.until(lambda: not house.listener.connections())


async def test_floods_beyond_the_limits_are_told_and_then_closed(serve: Serve) -> None:
    house = await serve(max_refused=5)

    async def limited(arrival: Arrival, message: Any) -> Reply:
        raise RateLimited(name="client", limit=1, window_s=1, remaining=0, reset_s=1, retry_after_s=1, is_global=False)

    house.handler = limited
    client = await house.ready()
    client.send(b"".join(b'{"jsonrpc":"2.0","id":%d,"method":"ping"}\n' % number for number in range(50)))
    for _ in range(5):
        assert (await client.line())["error"]["code"] == 4429
    assert await client.end() == b""


async def test_a_revoked_credential_ends_the_connection(serve: Serve) -> None:
    """AUTHN-06"""
    house = await serve()
    client, other = await house.ready(), await house.ready(token="bob-token")
    assert house.terms.check(lambda caller: caller == BOB) == 1
    assert await client.end() == b""
    other.say(id=1, method="ping")
    assert (await other.line())["id"] == 1


async def test_caps_hold_at_the_door_and_those_inside_work_on(serve: Serve) -> None:
    """RATE-06"""
    house = await serve(max_connections=2)
    client, stranger = await house.ready(), await house.connect()
    await house.until(lambda: len(house.listener.connections()) == 2)
    await house.ready()
    assert await stranger.end() == b""
    assert (house.listener.refused_connections, house.listener.displaced_connections) == (0, 1)
    assert await (await house.connect()).end() == b""
    assert house.listener.refused_connections == 1
    client.say(id=1, method="ping")
    assert (await client.line())["id"] == 1


async def test_one_principal_cannot_take_all_places(serve: Serve) -> None:
    """RATE-06"""
    house = await serve(per_caller_connections=2)
    first, _ = await house.ready(), await house.ready()
    third = await house.connect()
    assert (await third.auth())["error"]["code"] == 4503
    assert await third.end() == b""
    await house.ready(token="bob-token")
    first.writer.close()
    await house.until(lambda: len(house.terms.open) == 2)
    await house.ready()


async def test_draining_answers_what_is_under_way(serve: Serve) -> None:
    """RES-05"""
    house = await serve()
    gate = asyncio.Event()

    async def held(arrival: Arrival, message: Any) -> Reply:
        await gate.wait()
        return await house.echo(arrival, message)

    house.handler = held
    idle, busy, stranger = await house.ready(), await house.ready(), await house.connect()
    busy.say(id=1, method="tools/call")
    await house.until(lambda: len(house.listener.connections()) == 3 and bool(house.arrivals))
    draining = house.tasks.start(house.listener.drain(10), "drain")
    for gone in (idle, stranger):
        assert await gone.end() == b""
        gone.writer.close()
    gate.set()
    assert (await busy.line())["id"] == 1
    assert await busy.end() == b""
    busy.writer.close()
    await draining


async def test_over_tls_it_is_the_same(serve: Serve, tmp_path: Path) -> None:
    """TLS-01: and a plaintext client gets no answer at all."""
    now = datetime.now(UTC)
    root = make_authority("test", 365, now)
    made = make_server(root, ["localhost"], 90, now)
    for name, text in (("ca.pem", root.certificate), ("server.pem", made.certificate), ("server.key", made.key)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    files = TlsConfig(cert_file=str(tmp_path / "server.pem"), key_file=str(tmp_path / "server.key"))
    tls = Served("tcp", files, clock=SYSTEM, alpn=())
    house = await serve(tls=tls)
    context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    client = await house.connect(ssl=context, server_hostname="localhost")
    assert "result" in await client.auth()
    client.say(id=1, method="ping")
    assert (await client.line())["id"] == 1
    plain = await house.connect()
    plain.say(id=1, method="auth", params={"token": "alice-token"})
    assert b"jsonrpc" not in await plain.end()
