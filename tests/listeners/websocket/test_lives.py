"""How long a connection lives, and what it may take: deadlines, bounds, drain, and who is gone."""

import asyncio
import json
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.listeners.websocket.conftest import Serve
from tests.listeners.websocket.house import AUTHORIZED, CLOSE, OFFER, PING, PONG, TEXT, frame

from mantlet.core.call import Arrival, Reply
from mantlet.core.refusal import RateLimited
from mantlet.keys.certificates import make_authority, make_server


async def test_an_idle_connection_is_pinged_and_in_the_end_closed(serve: Serve) -> None:
    house = await serve(idle_timeout=100, ping_interval=30, ping_timeout=10)
    client = await house.ready()
    for turn in (1, 2, 3):
        house.pass_s(30)
        assert await client.frame() == (PING, b"")
        client.send(frame(PONG))
        await house.until(lambda turn=turn: house.listener.connections()[0].bytes_in == turn * len(frame(PONG)))
    house.pass_s(11)
    assert await client.closed() == 1001


async def test_a_client_that_answers_no_ping_is_gone(serve: Serve) -> None:
    house = await serve(idle_timeout=1000, ping_interval=30, ping_timeout=10)
    client = await house.ready()
    house.pass_s(31)
    assert await client.frame() == (PING, b"")
    house.pass_s(9)
    house.pass_s(2)
    assert await client.closed() == 1011


async def test_nothing_is_waited_for_from_a_client_that_answers_no_ping(serve: Serve) -> None:
    """HTTP-05: no answer to the close either, as other clients are given two seconds for."""
    house = await serve(idle_timeout=1000, ping_interval=30, ping_timeout=10)
    await house.ready()
    house.pass_s(31)
    house.pass_s(11)
    assert house.listener.connections()
    house.pass_s(0)
    await house.until(lambda: not house.listener.connections())


async def test_messages_and_requests_under_way_keep_a_connection(serve: Serve) -> None:
    house = await serve(idle_timeout=100, ping_interval=1000)
    client = await house.ready()
    house.pass_s(90)
    client.say(id=1, method="ping")
    await client.message()
    house.pass_s(90)
    house.handler = house.hang
    client.say(id=2, method="subscriptions/listen")
    await house.until(lambda: len(house.arrivals) == 2)
    house.pass_s(500)
    client.say(method="notifications/cancelled", params={"requestId": 2})
    await house.until(lambda: house.cancelled == 1)
    house.pass_s(99)
    assert house.terms.open
    house.pass_s(2)
    assert await client.closed() == 1001


@pytest.mark.parametrize(
    "part",
    [b"\x81", frame(TEXT, b"x" * 100)[:50], frame(TEXT, b"{", fin=False), frame(TEXT, b"", fin=False), b"\x81\xfe"],
)
async def test_a_message_that_does_not_end_is_not_waited_for(serve: Serve, part: bytes) -> None:
    """HTTP-05: a slow or never-ending message."""
    house = await serve(message_timeout=20, ping_interval=1000)
    client = await house.ready()
    client.send(part)
    await house.until(lambda: house.listener.connections()[0].bytes_in == len(part))
    house.pass_s(19)
    client.send(frame(PING))  # no ping buys it time
    assert house.terms.open
    await asyncio.sleep(0.01)
    house.pass_s(2)
    while (got := await client.frame())[0] == PONG:
        pass
    assert got[0] == CLOSE
    assert int.from_bytes(got[1][:2], "big") in (1002, 1008)


async def test_a_slow_handshake_is_not_waited_for(serve: Serve) -> None:
    """AUTHN-10"""
    house = await serve(header_timeout=10)
    client = await house.connect()
    client.send(house.hello()[:40])
    await house.until(lambda: [info.bytes_in for info in house.listener.connections()] == [40])
    house.pass_s(11)
    assert (await client.end()).startswith(b"HTTP/1.1 408")


async def test_who_does_not_answer_a_closing_handshake_is_cut_off(serve: Serve) -> None:
    house = await serve(idle_timeout=10)
    client = await house.ready()
    house.pass_s(11)
    assert await client.closed() == 1001
    assert house.listener.connections()
    house.pass_s(3)
    assert await client.end() == b""
    await house.until(lambda: not house.listener.connections())


async def test_a_client_that_reads_nothing_holds_back_its_own_answers_and_is_cut_off(serve: Serve) -> None:
    """RATE-06: what waits for a slow reader is bounded."""
    house = await serve(write_timeout=30, max_in_flight=8)
    answers = 0

    async def large(arrival: Arrival, message: Any) -> Reply:
        nonlocal answers
        answers += 1
        return Reply(200, [], json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": "x" * 1_000_000}).encode())

    house.handler = large
    client = await house.connect()
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    client.send(house.hello())
    for number in range(200):
        client.say(id=number, method="tools/call")
    await house.until(lambda: any(getattr(g, "is_write_paused", False) for g in house.listener._door.guests))
    for _ in range(200):
        await asyncio.sleep(0)
    assert answers < 60
    house.pass_s(31)
    await house.until(lambda: not house.listener.connections())
    assert not house.terms.open


async def test_the_end_of_the_client_cancels_its_work(serve: Serve) -> None:
    """MCP-07"""
    house = await serve()
    house.handler = house.hang
    client = await house.ready()
    for number in range(5):
        client.say(id=number, method="tools/call")
    await house.until(lambda: len(house.arrivals) == 5)
    client.writer.transport.abort()  # type: ignore[attr-defined]
    await house.until(lambda: house.cancelled == 5)
    await house.until(lambda: not house.listener.connections() and len(house.tasks) == 0)


async def test_a_thousand_connections_that_abort_leave_nothing(serve: Serve) -> None:
    house = await serve()
    house.handler = house.hang
    for _ in range(20):
        clients = [await house.ready() for _ in range(10)]
        for client in clients:
            client.say(id=1, method="tools/call")
        await house.until(lambda: sum(not g.is_answered for t in house.terms.open for g in t._in_flight.values()) == 10)  # type: ignore[attr-defined]
        for client in clients:
            client.writer.transport.abort()  # type: ignore[attr-defined]
        await house.until(lambda: not house.terms.open)
    await house.until(lambda: len(house.tasks) == 0)
    assert not house.listener._door.seats


async def test_draining_answers_what_is_under_way_and_says_goodbye(serve: Serve) -> None:
    """RES-05"""
    house = await serve()
    gate = asyncio.Event()

    async def held(arrival: Arrival, message: Any) -> Reply:
        await gate.wait()
        return await house.echo(arrival, message)

    house.handler = held
    idle, busy = await house.ready(), await house.ready()
    busy.say(id=1, method="tools/call")
    await house.until(lambda: bool(house.arrivals))
    draining = house.tasks.start(house.listener.drain(10), "drain")
    assert await idle.closed() == 1001
    idle.writer.close()
    gate.set()
    assert (await busy.message())["id"] == 1
    assert await busy.closed() == 1001
    busy.writer.close()
    await draining


async def test_what_outlives_the_grace_is_cancelled(serve: Serve) -> None:
    house = await serve()
    house.handler = house.hang
    client = await house.ready()
    client.say(id=1, method="tools/call")
    await house.until(lambda: bool(house.arrivals))
    await house.listener.drain(0.01)
    assert house.cancelled == 1
    assert await client.closed() == 1001


async def test_a_revoked_credential_ends_the_connection(serve: Serve) -> None:
    """AUTHN-06, AUTHN-10: at its next message, or at the next look."""
    house = await serve()
    asking, silent = await house.ready(), await house.ready()
    holders = dict(house.holders)
    house.holders.clear()
    asking.say(id=1, method="tools/call")
    said = await asking.message()
    assert said["error"]["code"] == 4401
    assert await asking.closed() == 1008
    house.terms.check(lambda caller: caller in holders)
    house.terms.check(lambda caller: False)
    assert await silent.closed() == 1008
    assert not house.arrivals


async def test_floods_beyond_the_limits_are_told_and_then_closed(serve: Serve) -> None:
    house = await serve(max_refused=5)

    async def limited(arrival: Arrival, message: Any) -> Reply:
        raise RateLimited(name="client", limit=1, window_s=1, remaining=0, reset_s=1, retry_after_s=1, is_global=False)

    house.handler = limited
    client = await house.ready()
    client.send(b"".join(frame(TEXT, b'{"jsonrpc":"2.0","id":%d,"method":"ping"}' % n) for n in range(50)))
    for _ in range(5):
        assert (await client.message())["error"]["code"] == 4429
    assert await client.closed() == 1013


async def test_caps_hold_at_the_door_and_those_inside_work_on(serve: Serve) -> None:
    """RATE-06"""
    house = await serve(max_connections=2)
    client, other = await house.ready(), await house.ready()
    third = await house.connect()
    assert (await third.end()).startswith(b"HTTP/1.1 503")
    client.say(id=1, method="ping")
    assert (await client.message())["id"] == 1
    other.writer.close()
    await house.until(lambda: len(house.listener.connections()) == 1)
    await house.ready()


async def test_one_principal_cannot_take_all_places(serve: Serve) -> None:
    """RATE-06"""
    house = await serve(per_caller_connections=2)
    first, _ = await house.ready(), await house.ready()
    assert (await house.knock()).status == 503
    first.writer.close()
    await house.until(lambda: len(house.terms.open) == 1)
    await house.ready()
    assert sum(house.terms.of_caller.values()) == 2


async def test_behind_a_trusted_proxy_the_client_is_who_it_says(serve: Serve) -> None:
    """HTTP-09"""
    house = await serve(trusted_proxies=["127.0.0.1/32"])
    client = await house.knock(fields=OFFER + AUTHORIZED + b"X-Forwarded-For: 203.0.113.7\r\n")
    client.say(id=1, method="ping")
    await client.message()
    assert house.arrivals[0].peer == "203.0.113.7"
    assert house.arrivals[0].trail.peer == "203.0.113.7"


async def test_over_tls_it_is_the_same(serve: Serve, tmp_path: Path) -> None:
    """TLS-01"""
    now = datetime.now(UTC)
    root = make_authority("test", 365, now)
    made = make_server(root, ["localhost"], 90, now)
    for name, text in (("ca.pem", root.certificate), ("server.pem", made.certificate), ("server.key", made.key)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    files = {"cert_file": str(tmp_path / "server.pem"), "key_file": str(tmp_path / "server.key")}
    house = await serve(tls=files, max_message_bytes=1024)
    context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    client = await house.connect(ssl=context, server_hostname="localhost")
    client.send(house.hello())
    assert await client.head() == 101
    client.say(id=1, method="ping", params={"a": "x" * 900})
    assert (await client.message())["result"] == {"a": "x" * 900}
    client.send(frame(TEXT, b"x" * 2000))
    assert await client.closed() == 1009
    await client.end()
    await house.until(lambda: not house.listener.connections())


async def test_the_list_of_connections_shows_sockets(serve: Serve) -> None:
    house = await serve()
    client = await house.knock(fields=OFFER + AUTHORIZED)
    client.say(id=1, method="ping")
    await client.message()
    (info,) = house.listener.connections()
    assert (info.peer, info.requests, info.caller) == ("127.0.0.1", 1, "default/test/alice")
    assert info.bytes_in
    assert info.bytes_out
