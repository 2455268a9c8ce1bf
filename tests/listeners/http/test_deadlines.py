"""Receipt has an absolute end, and so has everything else (HTTP-05). Time is the tests' own."""

import asyncio

from mantlet.core.call import Arrival, Reply
from mantlet.core.record import Trail
from mantlet.core.refusal import ReceiptTimeout, Refusal
from mantlet.listeners.http.door import CROWD, EXPIRED_A_TURN
from mantlet.listeners.http.lifetime import LINGER_BYTES, LINGER_S


async def test_a_silent_connection_is_closed(serve) -> None:
    house = await serve()
    client = await house.connect()
    await house.until(lambda: len(house.listener.connections()) == 1)
    house.pass_s(9.9)
    assert len(house.listener.connections()) == 1
    house.pass_s(0.2)
    assert await client.rest() == b""
    assert house.refusals == []


async def test_a_trickled_head_is_answered_408_at_its_deadline(serve) -> None:
    house = await serve()
    client = await house.connect()
    for byte in b"GET / HTTP":
        client.send(bytes([byte]))
        connection = await seen(house)
        count = connection.bytes_in
        await house.until(lambda: connection.bytes_in > 0)  # noqa: B023
        assert connection.bytes_in >= count
        house.pass_s(0.9)
    await house.until(lambda: connection.bytes_in == 10)
    assert house.refusals == []
    house.pass_s(1.1)
    assert (await client.answer())[0] == 408
    assert await client.rest() == b""
    assert house.arrivals == []


async def seen(house):
    await house.until(lambda: len(house.listener._door.guests) == 1)
    return next(iter(house.listener._door.guests))


async def test_a_later_heads_deadline_runs_from_its_first_byte(serve) -> None:
    house = await serve()
    client = await house.connect()
    client.send(house.get())
    await client.answer()
    house.pass_s(30)
    before = (await seen(house)).bytes_in
    client.send(b"GET")
    await house.until(lambda: next(iter(house.listener._door.guests)).bytes_in > before)
    house.pass_s(9.9)
    client.send(b" /")
    assert house.refusals == []
    house.pass_s(0.2)
    assert (await client.answer())[0] == 408


async def test_a_slow_body_is_answered_408_at_its_deadline(serve) -> None:
    house = await serve(body_timeout=5)
    client = await house.connect()
    client.send(b"POST / HTTP/1.1\r\n" + house.host + b"Content-Length: 10\r\n\r\n12345")
    await house.until(lambda: len(house.arrivals) == 1)
    house.pass_s(4.9)
    client.send(b"6")
    house.pass_s(0.2)
    status, headers, _ = await client.answer()
    assert (status, headers[b"connection"]) == (408, b"close")
    assert house.bodies == []
    assert await client.rest() == b""


async def test_a_body_past_its_deadline_fails_whoever_reads_it_later(serve) -> None:
    gate = asyncio.Event()

    async def handler(arrival: Arrival) -> Reply:
        await gate.wait()
        return Reply(200, [], await arrival.read())

    house = await serve(handler)
    client = await house.connect()
    client.send(b"POST / HTTP/1.1\r\n" + house.host + b"Content-Length: 10\r\n\r\n12345")
    await house.until(lambda: len(house.arrivals) == 1)
    house.pass_s(61)
    gate.set()
    assert (await client.answer())[0] == 408


async def test_a_body_that_is_thrown_away_has_a_deadline_too(serve) -> None:
    async def handler(arrival: Arrival) -> Reply:
        return Reply(202, [])

    house = await serve(handler, body_timeout=5)
    client = await house.connect()
    client.send(b"POST / HTTP/1.1\r\n" + house.host + b"Content-Length: 10\r\n\r\n12345")
    assert (await client.answer())[0] == 202
    house.pass_s(5.1)
    assert await client.rest() == b""


async def test_an_idle_connection_is_closed(serve) -> None:
    house = await serve()
    client = await house.connect()
    client.send(house.get())
    await client.answer()
    house.pass_s(74)
    client.send(house.get())
    await client.answer()
    house.pass_s(74)
    assert len(house.listener.connections()) == 1
    house.pass_s(76)
    assert await client.rest() == b""


async def test_a_long_call_is_not_cut_by_receipt_deadlines(serve) -> None:
    gate = asyncio.Event()

    async def handler(arrival: Arrival) -> Reply:
        await gate.wait()
        return Reply(200, [], b"late")

    house = await serve(handler)
    client = await house.connect()
    client.send(house.get())
    await house.until(lambda: len(house.arrivals) == 1)
    house.pass_s(10_000)
    gate.set()
    assert (await client.answer())[2] == b"late"


async def test_a_lingering_connection_ends(serve) -> None:
    """A client that never reads our goodbye, nor stops sending, is dropped."""
    house = await serve()
    client = await house.connect()
    client.send(b"\x00")
    await house.until(lambda: bool(house.refusals))
    connection = await seen(house)
    await house.until(lambda: connection._is_closing)
    house.pass_s(LINGER_S + 0.1)
    await house.until(lambda: not house.listener.connections())
    client = await house.connect()
    client.send(b"\x00" * (LINGER_BYTES + 2_000_000))
    await house.until(lambda: bool(house.listener.connections()))
    await house.until(lambda: not house.listener.connections())


async def test_many_that_are_late_together_are_let_go_a_few_a_turn(serve) -> None:
    """HTTP-05, RATE-06: and those first who have waited longest for their turn, so that all get one."""
    house = await serve(max_connections=200, per_address_connections=200)
    clients = [await house.connect() for _ in range(2 * EXPIRED_A_TURN + 1)]
    await house.until(lambda: len(house.listener.connections()) == len(clients))
    house.now_s += 3600
    door = house.listener._door
    assert [door.sweep(), door.sweep(), door.sweep(), door.sweep()] == [True, True, False, False]
    await house.until(lambda: not house.listener.connections())


async def test_the_listener_goes_on_by_itself_until_all_are_gone(serve) -> None:
    house = await serve(max_connections=200, per_address_connections=200)
    clients = [await house.connect() for _ in range(3 * EXPIRED_A_TURN)]
    await house.until(lambda: len(house.listener.connections()) == len(clients))
    house.now_s += 3600
    house.listener._sweeper.cancel()
    house.listener._sweep()
    for client in clients:
        assert await client.rest() == b""


async def test_a_crowd_that_never_sent_a_whole_head_is_closed_and_recorded_without_an_answer(serve) -> None:
    """HTTP-05, AUD-01: one record each, and of the few that are late by themselves one answer each."""
    closed: list[tuple[Trail, Refusal]] = []
    house = await serve(
        unanswered=lambda trail, refusal: closed.append((trail, refusal)),
        max_connections=200,
        per_address_connections=200,
    )
    clients = [await house.connect() for _ in range(CROWD + 1)]
    for client in clients:
        client.send(b"GET / HTTP/1.1\r\n")
    door = house.listener._door
    await house.until(lambda: len(door.guests) == len(clients) and all(guest.bytes_in for guest in door.guests))
    house.now_s += 10.1
    while door.sweep():
        pass
    for client in clients:
        assert await client.rest() == b""
    assert [type(refusal) for _, refusal in closed] == [ReceiptTimeout] * len(clients)
    assert len({trail.request_id for trail, _ in closed}) == len(clients)
    assert house.refusals == []
    alone = await house.connect()
    alone.send(b"GET / HTTP/1.1\r\n")
    await house.until(lambda: any(guest.bytes_in for guest in door.guests))
    house.pass_s(10.1)
    assert (await alone.answer())[0] == 408
    assert len(closed) == len(clients)
