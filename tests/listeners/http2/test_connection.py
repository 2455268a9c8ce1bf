"""HTTP/2 as the same door: arrivals, answers, lists, limits and deadlines (HTTP-01 to HTTP-08, RFC 9113)."""

import asyncio
import ssl
from collections.abc import AsyncIterator

import pytest
from h2 import events
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from mantlet.core.call import Arrival, Reply
from mantlet.core.caller import Caller
from mantlet.listeners.http2.engine import STREAM_BYTES


async def test_a_request_is_the_same_arrival_and_its_answer_the_same_answer(serve2, connect) -> None:
    """HTTP-01, HTTP-11"""
    house = await serve2()
    client = await connect(house)
    more = ((b"content-type", b"text/plain"), (b"cookie", b"a=1"), (b"x-request-id", b"mine"), (b"cookie", b"b=2"))
    status, headers, body = await client.answer(client.ask(client.fields("POST", "/a%20b?c=d", more), b"hello"))
    assert (status, body) == (200, b"hello")
    assert headers[b"content-length"] == b"5"
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert headers[b"strict-transport-security"].startswith(b"max-age=")
    assert headers[b"cache-control"] == b"no-store"
    assert headers[b"x-request-id"] == b"id-1"
    assert b"connection" not in headers
    (arrival,) = house.arrivals
    assert (arrival.verb, arrival.path, arrival.query, arrival.peer) == ("POST", "/a b", b"c=d", "127.0.0.1")
    assert arrival.is_tls
    assert arrival.headers.get(b"host") == b"localhost:%d" % house.listener.port
    assert arrival.headers.get(b"cookie") == b"a=1; b=2"
    assert arrival.trail.client_request_id == "mine"
    assert not [name for name, _ in arrival.headers if name.startswith(b":")]


async def test_clients_choose_and_http_1_stays(serve2, pair) -> None:
    house = await serve2()
    for offered, agreed in ((["h2", "http/1.1"], "h2"), (["http/1.1"], "http/1.1"), (None, None)):
        context = ssl.create_default_context(cafile=pair["ca"])
        if offered:
            context.set_alpn_protocols(offered)
        client = await house.connect(ssl=context, server_hostname="localhost")
        assert client.writer.get_extra_info("ssl_object").selected_alpn_protocol() == agreed
        if agreed != "h2":
            client.send(house.get())
            assert (await client.answer())[0] == 200


async def test_many_streams_at_once_are_answered_as_they_end(serve2, connect) -> None:
    gates = {f"/{number}": asyncio.Event() for number in range(50)}

    async def handler(arrival: Arrival) -> Reply:
        await gates[arrival.path].wait()
        return Reply(200, [], arrival.path.encode())

    house = await serve2(handler)
    client = await connect(house)
    streams = {path: client.ask(client.fields(path=path)) for path in gates}
    await house.until(lambda: len(house.arrivals) == 50)
    (info,) = house.listener.connections()
    assert (info.in_flight, info.requests) == (True, 50)
    for path in reversed(gates):
        gates[path].set()
        assert (await client.answer(streams[path]))[2] == path.encode()


async def test_streams_flow_chunk_by_chunk(serve2, connect) -> None:
    more = asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        yield b"data: 1\n\n"
        await more.wait()
        yield b""
        yield b"data: 2\n\n"

    async def handler(arrival: Arrival) -> Reply:
        return Reply(200, [(b"content-type", b"text/event-stream")], chunks())

    house = await serve2(handler)
    client = await connect(house)
    stream = client.ask()
    _, headers = await client.head(stream)
    assert b"content-length" not in headers
    await client.until(lambda: client.body(stream) == b"data: 1\n\n")
    assert not client.of(events.StreamEnded)
    more.set()
    assert (await client.answer(stream))[2] == b"data: 1\n\ndata: 2\n\n"


async def test_a_reset_cancels_the_work_and_its_source(serve2, connect) -> None:
    """MCP-07"""
    closed, began = asyncio.Event(), asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        try:
            yield b"x"
            began.set()
            await asyncio.Event().wait()
        finally:
            closed.set()

    cancelled = asyncio.Event()

    async def handler(arrival: Arrival) -> Reply:
        if arrival.path == "/stream":
            return Reply(200, [], chunks())
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        raise AssertionError

    house = await serve2(handler)
    client = await connect(house)
    streaming, waiting = client.ask(client.fields(path="/stream")), client.ask()
    await client.until(lambda: client.body(streaming))
    await house.until(lambda: len(house.arrivals) == 2)
    for stream in (streaming, waiting):
        client.h2.reset_stream(stream, ErrorCodes.CANCEL)
    client.flush()
    async with asyncio.timeout(5):
        await closed.wait()
        await cancelled.wait()
    (guest,) = house.listener._door.guests
    await house.until(lambda: not guest._streams)
    assert house.errors == []


async def test_a_client_that_goes_takes_all_its_work_along(serve2, connect) -> None:
    ended = []

    async def handler(arrival: Arrival) -> Reply:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(arrival.path)
        raise AssertionError

    house = await serve2(handler)
    client = await connect(house)
    for path in ("/1", "/2"):
        client.ask(client.fields(path=path))
    await house.until(lambda: len(house.arrivals) == 2)
    client.writer.transport.abort()
    await house.until(lambda: len(ended) == 2 and not house.listener._door.seats)


async def test_a_slow_reader_holds_its_own_source_back_and_no_other(serve2, connect) -> None:
    taken = []

    async def chunks() -> AsyncIterator[bytes]:
        for number in range(1000):
            taken.append(number)
            yield b"x" * 10_000

    async def handler(arrival: Arrival) -> Reply:
        return Reply(200, [], chunks() if arrival.path == "/big" else b"ok")

    house = await serve2(handler)
    client = await connect(house)
    client.acknowledges = False
    big = client.ask(client.fields(path="/big"))
    await client.until(lambda: len(client.body(big)) == 65_535)
    assert len(taken) <= 8
    client.h2.increment_flow_control_window(1_000_000)
    assert (await client.answer(client.ask()))[2] == b"ok"
    client.h2.increment_flow_control_window(100_000, big)
    client.flush()
    await client.until(lambda: len(client.body(big)) == 165_535)
    assert len(taken) <= 18


async def test_a_reader_that_stops_is_let_go(serve2, connect) -> None:
    """`write_timeout`; crumbs of a window are no reading."""

    async def handler(arrival: Arrival) -> Reply:
        return Reply(200, [], b"x" * 200_000)

    house = await serve2(handler, write_timeout=30)
    client = await connect(house)
    client.acknowledges = False
    stream = client.ask()
    await client.until(lambda: len(client.body(stream)) == 65_535)
    house.pass_s(29)
    client.h2.increment_flow_control_window(1000)
    client.h2.increment_flow_control_window(1000, stream)
    client.flush()
    await client.until(lambda: len(client.body(stream)) == 66_535)
    house.pass_s(2)
    assert await client.reset_of(stream) == ErrorCodes.CANCEL
    assert not client.is_over


async def test_an_unread_body_stays_within_its_window(serve2, connect) -> None:
    """HTTP-06: nobody has asked for it, so no more than a window is taken."""
    go = asyncio.Event()

    async def handler(arrival: Arrival) -> Reply:
        await go.wait()
        return Reply(200, [], b"%d" % len(await arrival.read()))

    house = await serve2(handler)
    client = await connect(house)
    stream = client.ask(client.fields("POST"), ends=False)
    for _ in range(4):
        client.h2.send_data(stream, b"x" * 16_000)
    client.flush()
    await house.until(lambda: bool(house.arrivals))
    client.h2.ping(b"12345678")
    client.flush()
    await client.until(lambda: client.of(events.PingAckReceived))
    assert not client.of(events.WindowUpdated, stream)
    assert client.h2.local_flow_control_window(stream) == STREAM_BYTES - 64_000
    go.set()
    await client.until(lambda: client.of(events.WindowUpdated, stream))
    client.h2.send_data(stream, b"x" * 16_000, end_stream=True)
    client.flush()
    assert (await client.answer(stream))[2] == b"80000"


async def test_large_bodies_pass_and_larger_ones_do_not(serve2, connect) -> None:
    """HTTP-06"""
    house = await serve2(max_body_bytes=300_000)
    client = await connect(house)

    async def send(size: int, more=()) -> int:
        stream = client.ask(client.fields("POST", more=more), ends=False)
        while size and not client.of(events.ResponseReceived, stream):
            room = min(client.h2.local_flow_control_window(stream), 16_384, size)
            if not room:
                await client.read()
                continue
            size -= room
            client.h2.send_data(stream, b"x" * room, end_stream=size == 0)
            client.flush()
        return stream

    assert len((await client.answer(await send(300_000)))[2]) == 300_000
    assert len((await client.answer(await send(299_999, ((b"content-length", b"299999"),))))[2]) == 299_999
    assert (await client.answer(await send(300_001)))[0] == 413
    announced = client.ask(client.fields("POST", more=((b"content-length", b"300001"),)), ends=False)
    assert (await client.answer(announced))[0] == 413
    assert await client.reset_of(announced) == ErrorCodes.NO_ERROR
    assert (await client.answer(client.ask()))[0] == 200


async def test_a_length_that_is_not_kept_breaks(serve2, connect) -> None:
    """RFC 9113 section 8.1.1"""
    house = await serve2()
    client = await connect(house)
    client.ask(client.fields("POST", more=((b"content-length", b"3"),)), b"toolong")
    await client.until(lambda: client.goaways)
    assert client.goaways[-1][1] == ErrorCodes.PROTOCOL_ERROR


async def test_a_body_has_a_deadline(serve2, connect) -> None:
    """HTTP-05: not reset by what trickles."""
    house = await serve2(body_timeout=20)
    client = await connect(house)
    slow = client.ask(client.fields("POST"), ends=False)
    await house.until(lambda: bool(house.arrivals))
    house.pass_s(19)
    client.h2.send_data(slow, b"x")
    client.flush()
    assert (await client.answer(client.ask()))[0] == 200
    house.pass_s(2)
    assert (await client.answer(slow))[0] == 408


@pytest.mark.parametrize("silence", [b"", b"PRI * HTTP/2.0\r\n"])
async def test_a_preface_has_a_deadline(serve2, connect, silence: bytes) -> None:
    """HTTP-05"""
    house = await serve2()
    client = await connect(house, begins=False)
    client.h2.initiate_connection()
    client.raw(silence)
    await house.until(lambda: bool(house.listener._door.guests))
    house.pass_s(11)
    await house.until(lambda: all(guest._is_closing for guest in house.listener._door.guests))
    house.pass_s(1)
    await client.end()
    await house.until(lambda: not house.listener._door.seats)


async def test_an_idle_connection_ends_whatever_it_pings(serve2, connect) -> None:
    house = await serve2(idle_timeout=75)
    client = await connect(house)
    await client.answer(client.ask())
    house.pass_s(74)
    client.h2.ping(b"12345678")
    client.flush()
    await client.until(lambda: client.of(events.PingAckReceived))
    house.pass_s(2)
    await client.end()
    assert client.goaways == [(1, ErrorCodes.NO_ERROR)]


async def test_draining_answers_what_is_begun_and_turns_away_the_rest(serve2, connect) -> None:
    """RES-05"""
    gate = asyncio.Event()

    async def handler(arrival: Arrival) -> Reply:
        await gate.wait()
        return Reply(200, [], arrival.path.encode())

    house = await serve2(handler)
    client, idle = await connect(house), await connect(house)
    await idle.until(lambda: idle.of(events.SettingsAcknowledged))
    first = client.ask(client.fields(path="/first"))
    await house.until(lambda: len(house.arrivals) == 1)
    drain = asyncio.get_running_loop().create_task(house.listener.drain(5))
    await house.until(lambda: all(guest._is_leaving for guest in house.listener._door.guests))
    # Begun before the client has read of the leaving: it is served too.
    second = client.ask(client.fields(path="/second"))
    await house.until(lambda: len(house.arrivals) == 2)
    await client.until(lambda: len(client.goaways) == 2)
    assert client.goaways == [(2**31 - 1, 0), (second, 0)]
    late = client.ask(client.fields(path="/late"))
    assert await client.reset_of(late) == ErrorCodes.REFUSED_STREAM
    gate.set()
    assert (await client.answer(first))[2] == b"/first"
    assert (await client.answer(second))[2] == b"/second"
    await client.end()
    await idle.end()
    assert idle.goaways == [(2**31 - 1, 0), (0, 0)]
    async with asyncio.timeout(5):
        await drain
    assert len(house.arrivals) == 2


async def test_a_client_that_leaves_gets_its_answers(serve2, connect) -> None:
    """`h2` itself would stop at its GOAWAY."""
    gate = asyncio.Event()

    async def handler(arrival: Arrival) -> Reply:
        await gate.wait()
        return Reply(200, [], b"y" * 100_000)

    house = await serve2(handler)
    client = await connect(house)
    stream = client.ask()
    await house.until(lambda: len(house.arrivals) == 1)
    goaway = bytes(4) + b"\0\0\0\0" + b"bye"
    client.raw(len(goaway).to_bytes(3, "big") + bytes([7, 0]) + bytes(4) + goaway)
    client.h2.ping(b"12345678")
    client.flush()
    await client.until(lambda: client.of(events.PingAckReceived))
    gate.set()
    assert len((await client.answer(stream))[2]) == 100_000
    await client.end()


async def test_a_failure_in_mid_answer_resets_its_stream_alone(serve2, connect) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"x"
        raise RuntimeError

    async def handler(arrival: Arrival) -> Reply:
        if arrival.path == "/early":
            raise RuntimeError
        if arrival.path == "/split":
            return Reply(200, [(b"x", b"a\r\nb")], b"")
        return Reply(200, [], chunks() if arrival.path == "/late" else b"ok")

    house = await serve2(handler)
    client = await connect(house)
    late, early, split, other = (client.ask(client.fields(path=path)) for path in ("/late", "/early", "/split", "/"))
    assert await client.reset_of(late) == ErrorCodes.INTERNAL_ERROR
    assert (await client.answer(early))[0] == 500
    assert (await client.answer(split))[0] == 500
    assert (await client.answer(other))[2] == b"ok"
    assert len(house.errors) == 3


async def test_head_and_empty_answers(serve2, connect) -> None:
    async def handler(arrival: Arrival) -> Reply:
        return Reply(204 if arrival.path == "/none" else 200, [], b"" if arrival.path in ("/none", "/") else b"abc")

    house = await serve2(handler)
    client = await connect(house)
    status, headers, body = await client.answer(client.ask(client.fields("HEAD", "/abc")))
    assert (status, headers[b"content-length"], body) == (200, b"3", b"")
    status, headers, body = await client.answer(client.ask(client.fields(path="/none")))
    assert (status, b"content-length" in headers, body) == (204, False, b"")
    status, headers, body = await client.answer(client.ask())
    assert (status, headers[b"content-length"], body) == (200, b"0", b"")


async def test_expectations_are_met_when_somebody_wants_the_body(serve2, connect) -> None:
    house = await serve2()
    client = await connect(house)
    stream = client.ask(client.fields("POST", more=((b"expect", b"100-continue"),)), ends=False)
    await client.until(lambda: client.of(events.InformationalResponseReceived, stream))
    client.h2.send_data(stream, b"x", end_stream=True)
    client.flush()
    assert (await client.answer(stream))[2] == b"x"


async def test_hosts_origins_and_preflights_have_the_same_lists(serve2, connect) -> None:
    """HTTP-02, HTTP-03, HTTP-12"""
    house = await serve2(cors_origins=["https://app.example"])
    client = await connect(house)

    def foreign(authority: bytes):
        return [field if field[0] != b":authority" else (b":authority", authority) for field in client.fields()]

    assert (await client.answer(client.ask(foreign(b"evil.example"))))[0] == 421
    for origin, expected in ((b"https://app.example", 200), (b"https://evil.example", 403), (b"null", 403)):
        status, headers, _ = await client.answer(client.ask(client.fields(more=((b"origin", origin),))))
        assert status == expected
        assert (b"access-control-allow-origin" in headers) == (expected == 200)
        asked = ((b"origin", origin), (b"access-control-request-method", b"POST"))
        status, headers, _ = await client.answer(client.ask(client.fields("OPTIONS", more=asked)))
        assert status == (204 if expected == 200 else 403)
        assert (b"access-control-allow-methods" in headers) == (expected == 200)
    denied = ((b"origin", b"https://app.example"), (b"access-control-request-method", b"BREW"))
    status, headers, _ = await client.answer(client.ask(client.fields("OPTIONS", more=denied)))
    assert (status, b"access-control-allow-origin" in headers) == (403, False)
    assert len(house.arrivals) == 1


async def test_a_client_certificate_comes_with_every_stream(serve2, pair, trusting, connect, tmp_path) -> None:
    """TLS-02"""
    from datetime import UTC, datetime
    from pathlib import Path

    from mantlet.keys.certificates import make_authority, make_client

    now = datetime.now(UTC)
    root = make_authority("callers", 2, now)
    made = make_client(root, ["spiffe://example/a"], [], 1, now)
    (Path(tmp_path) / "ca.pem").write_text(root.certificate)
    (Path(tmp_path) / "c.pem").write_text(made.certificate + made.key)
    tls = {"cert_file": pair["cert_file"], "key_file": pair["key_file"], "client_ca_file": str(tmp_path / "ca.pem")}
    house = await serve2(tls=tls)
    trusting.load_cert_chain(tmp_path / "c.pem")
    client = await connect(house)
    for _ in range(2):
        assert (await client.answer(client.ask()))[0] == 200
    assert {arrival.peer_certificate.uris for arrival in house.arrivals} == {("spiffe://example/a",)}


async def test_what_a_node_offers_is_bounded(serve2, connect) -> None:
    """HTTP-06: the settings say so, and they hold at once."""
    house = await serve2(max_streams=7, max_header_bytes=2048)
    client = await connect(house)
    (changed,) = await client.until(lambda: client.of(events.RemoteSettingsChanged))
    settings = {code: setting.new_value for code, setting in changed.changed_settings.items()}
    assert settings[SettingCodes.MAX_CONCURRENT_STREAMS] == 7
    assert settings[SettingCodes.MAX_HEADER_LIST_SIZE] == 2048
    assert settings.get(SettingCodes.ENABLE_CONNECT_PROTOCOL, 0) == 0


async def test_the_clients_table_offer_is_not_taken(serve2, connect) -> None:
    house = await serve2()
    client = await connect(house)
    client.h2.update_settings({SettingCodes.HEADER_TABLE_SIZE: 2**31})
    client.flush()
    assert (await client.answer(client.ask()))[0] == 200
    (guest,) = house.listener._door.guests
    assert guest._h2.encoder.header_table_size == 4096


async def test_forwarded_clients_are_told_apart(serve2, connect) -> None:
    """HTTP-09"""
    house = await serve2(trusted_proxies=["127.0.0.1"])
    client = await connect(house)
    for address in (b"192.0.2.1", b"192.0.2.2"):
        await client.answer(client.ask(client.fields(more=((b"x-forwarded-for", address),))))
    assert [arrival.peer for arrival in house.arrivals] == ["192.0.2.1", "192.0.2.2"]


async def test_whoever_is_nobody_leaves_for_a_newcomer_and_who_is_served_stays(serve2, connect) -> None:
    """RATE-06, HTTP-05: a stranger's body may come as slowly as it likes, and keeps nobody out by it."""
    gate = asyncio.Event()

    async def handler(arrival: Arrival) -> Reply:
        if arrival.path == "/known":
            arrival.caller = Caller("alice", "idp", "jwt")
        elif arrival.path == "/wait":
            await gate.wait()
        return Reply(200, [], await arrival.read())

    house = await serve2(handler, max_connections=4)
    waiting, slow, silent, known = [await connect(house) for _ in range(4)]
    await known.answer(known.ask(known.fields(path="/known")))
    waited = waiting.ask(waiting.fields(path="/wait"))
    slow.ask(slow.fields("POST", "/slow"), b"x", ends=False)
    await house.until(lambda: len(house.arrivals) == 3)
    assert house.listener._door.seats.lent
    for leaving in (slow, silent):
        newcomer = await connect(house)
        await leaving.end()
        await newcomer.answer(newcomer.ask(newcomer.fields(path="/known")))
    with pytest.raises((ConnectionError, ssl.SSLError)):
        await connect(house)
    gate.set()
    assert (await waiting.answer(waited))[0] == 200
    assert (await known.answer(known.ask(known.fields(path="/known"))))[0] == 200
