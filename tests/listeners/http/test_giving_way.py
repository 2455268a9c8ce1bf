"""When all seats are taken whoever is nobody leaves for the newcomer; who is served stays (RATE-06)."""

import asyncio

import pytest

from mantlet.core.call import Arrival, Reply
from mantlet.core.caller import Caller
from mantlet.core.refusal import Unauthenticated
from mantlet.listeners.accept import RESTED_S

ALICE = Caller("alice", "idp", "jwt")
KNOWN = b"Authorization: Bearer alice\r\n"


async def knowing(arrival: Arrival) -> Reply:
    if arrival.headers.get(b"authorization") is None:
        raise Unauthenticated
    arrival.caller = ALICE
    return Reply(200, [], await arrival.read())


async def known(house, **kwargs):
    client = await house.connect(**kwargs)
    client.send(house.get(fields=KNOWN))
    assert (await client.answer())[0] == 200
    return client


async def test_silent_ones_make_room_one_after_the_other(serve) -> None:
    """RATE-06"""
    house = await serve(knowing, max_connections=3)
    good = await known(house)
    silent = [await house.connect() for _ in range(2)]
    await house.until(lambda: len(house.listener.connections()) == 3)
    others = [await known(house) for _ in range(2)]
    for client in silent:
        assert await client.rest() == b""
    for client in (good, *others):
        client.send(house.get(fields=KNOWN))
        assert (await client.answer())[0] == 200
    assert (house.listener.refused_connections, house.listener.displaced_connections) == (0, 2)
    assert (await (await house.connect()).rest()).startswith(b"HTTP/1.1 503 ")


@pytest.mark.parametrize("held", [b"GET / HT", b"GET / HTTP/1.1\r\nX: y", b""])
async def test_slow_heads_from_many_addresses_keep_nobody_out(serve, held: bytes) -> None:
    """RATE-06, HTTP-05: a hundred addresses, each within its cap, and every seat taken."""
    house = await serve(knowing, max_connections=100, per_address_connections=2)
    good = await known(house)
    for number in range(200):
        client = await house.connect(local_addr=(f"127.0.1.{number % 100 + 1}", 0))
        client.send(held)
    await house.until(lambda: len(house.listener.connections()) == 100)
    for _ in range(20):
        client = await known(house, local_addr=("127.0.0.2", 0))
        client.close()
    good.send(house.get(fields=KNOWN))
    assert (await good.answer())[0] == 200
    assert house.listener.refused_connections == 0


async def test_who_was_refused_and_stays_is_nobody_again(serve) -> None:
    """RATE-06: an answer does not make a stranger known, nor does having been known once."""
    house = await serve(knowing, max_connections=2)
    fallen, stranger = await known(house), await house.connect()
    for client in (stranger, fallen):
        client.send(house.get())
        assert (await client.answer())[0] == 401
    for client in (stranger, fallen):
        await known(house)
        assert await client.rest() == b""


async def test_a_request_under_way_is_not_cut_off_and_a_strangers_body_is(serve) -> None:
    """RATE-06, HTTP-05"""
    gate = asyncio.Event()

    async def handler(arrival: Arrival) -> Reply:
        if arrival.path == "/token":  # strangers are listened to here
            return Reply(200, [], await arrival.read())
        if arrival.headers.get(b"authorization") is not None:
            arrival.caller = ALICE
        await gate.wait()
        return Reply(200, [], await arrival.read())

    house = await serve(handler, max_connections=4)
    slow, slow_body, waiting, stranger = [await house.connect() for _ in range(4)]
    stranger.send(house.get(b"/slow"))
    waiting.send(house.get(b"/slow", KNOWN))
    slow.send(house.post(b"12345", path=b"/token")[:-1])
    slow_body.send(house.post(b"12345", KNOWN)[:-1])
    await house.until(lambda: len(house.arrivals) == 4)
    newcomer = await house.connect()
    assert await slow.rest() == b""
    newcomer.send(house.get(b"/slow"))
    await house.until(lambda: len(house.arrivals) == 5)
    assert (await (await house.connect()).rest()).startswith(b"HTTP/1.1 503 ")
    gate.set()
    slow_body.send(b"5")
    for client in (stranger, waiting, slow_body, newcomer):
        assert (await client.answer())[0] == 200


async def test_who_has_rested_longest_makes_room_where_all_are_known(serve) -> None:
    """RATE-06: nobody who called a moment ago."""
    house = await serve(knowing, max_connections=3)
    first, second, third = [await known(house) for _ in range(3)]
    house.pass_s(RESTED_S / 2)
    first.send(house.get(fields=KNOWN))
    await first.answer()
    house.pass_s(RESTED_S / 2)
    await known(house)
    assert await second.rest() == b""
    house.pass_s(0)
    await known(house)
    assert await third.rest() == b""
    house.pass_s(0)
    assert (await (await house.connect()).rest()).startswith(b"HTTP/1.1 503 ")
    first.send(house.get(fields=KNOWN))
    assert (await first.answer())[0] == 200


async def test_whoever_is_held_makes_room(serve) -> None:
    """RATE-06, AUTHN-07: who guesses is slowed, and does not keep others out by it."""

    async def handler(arrival: Arrival) -> Reply:
        if arrival.headers.get(b"authorization") is not None:
            return await knowing(arrival)
        return Reply(429, [], b"", origin="node", holds=True)

    house = await serve(handler, max_connections=1)
    guesser = await house.connect()
    guesser.send(house.get())
    assert (await guesser.answer())[0] == 429
    await known(house)
    assert await guesser.rest() == b""
