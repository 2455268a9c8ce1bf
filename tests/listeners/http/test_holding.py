"""Who is to be slowed is made to wait: what its connection says next is not read for a while (AUTHN-07, RATE-06)."""

from mantlet.core.call import Arrival, Reply
from mantlet.core.refusal import Blocked
from mantlet.listeners.http.door import HOLD_S


async def refusing(arrival: Arrival) -> Reply:
    raise Blocked


async def test_one_answer_a_while_and_connection(serve) -> None:
    """AUTHN-07: a flood on a kept connection is read once a second; each answer comes at once, and in its turn."""
    house = await serve(refusing)
    client = await house.connect()
    client.send(house.get() * 50)
    for turn in range(1, 5):
        assert (await client.answer())[0] == 403
        house.pass_s(HOLD_S - 0.01)
        assert len(house.arrivals) == turn
        house.pass_s(0.02)
        await house.until(lambda: len(house.arrivals) == turn + 1)  # noqa: B023


async def test_what_was_sent_ahead_is_answered_later_in_order(serve) -> None:
    answers = iter([Blocked(), None, Blocked(), None])

    async def handler(arrival: Arrival) -> Reply:
        if (refusal := next(answers)) is not None:
            raise refusal
        return Reply(200, [], arrival.path.encode())

    house = await serve(handler)
    client = await house.connect()
    client.send(b"".join(house.get(b"/%d" % n) for n in range(4)))
    assert (await client.answer())[0] == 403
    assert len(house.arrivals) == 1
    house.pass_s(HOLD_S + 0.01)
    assert (await client.answer())[2] == b"/1"
    assert (await client.answer())[0] == 403
    house.pass_s(HOLD_S + 0.01)
    assert (await client.answer())[2] == b"/3"


async def test_the_seat_is_kept_while_it_waits_and_given_back_after(serve) -> None:
    """RATE-06: to hang up and come again is no way around it."""
    house = await serve(refusing, per_address_connections=2)
    for _ in range(2):
        client = await house.connect()
        client.send(house.get(fields=b"Connection: close\r\n"))
        assert (await client.answer())[0] == 403
        client.close()
    assert (await house.ask(house.get()))[:12] == b"HTTP/1.1 503"
    assert house.listener.refused_connections == 1
    house.pass_s(HOLD_S + 0.01)
    await house.until(lambda: house.listener.connected == 0)
    client = await house.connect()
    client.send(house.get())
    assert (await client.answer())[0] == 403


async def test_an_answer_that_closes_does_so_after_the_while(serve) -> None:
    house = await serve(refusing)
    client = await house.connect()
    client.send(house.get(fields=b"Connection: close\r\n"))
    assert (await client.answer())[0] == 403
    assert house.listener.connected == 1
    house.pass_s(HOLD_S + 0.01)
    assert await client.rest() == b""
    await house.until(lambda: house.listener.connected == 0)


async def test_others_do_not_wait(serve) -> None:
    async def handler(arrival: Arrival) -> Reply:
        if arrival.path == "/bad":
            raise Blocked
        return Reply(200, [], b"")

    house = await serve(handler)
    bad, good = await house.connect(), await house.connect()
    bad.send(house.get(b"/bad") * 2)
    assert (await bad.answer())[0] == 403
    for _ in range(5):
        good.send(house.get())
        assert (await good.answer())[0] == 200


async def test_a_proxy_brings_what_many_say_and_is_not_made_to_wait(serve) -> None:
    house = await serve(refusing, trusted_proxies=["127.0.0.1/32"])
    client = await house.connect()
    for _ in range(5):
        client.send(house.get(fields=b"X-Forwarded-For: 192.0.2.1\r\n"))
        assert (await client.answer())[0] == 403


async def test_a_body_that_still_comes_is_thrown_away_after_the_while(serve) -> None:
    house = await serve(refusing)
    client = await house.connect()
    client.send(b"POST / HTTP/1.1\r\n" + house.host + b"Content-Length: 10\r\n\r\n12345")
    assert (await client.answer())[0] == 403
    client.send(b"67890" + house.get(b"/next"))
    house.pass_s(HOLD_S + 0.01)
    assert (await client.answer())[0] == 403
    assert [arrival.path for arrival in house.arrivals] == ["/", "/next"]


async def test_leaving_and_losing_while_it_waits(serve) -> None:
    """RES-05: a node that leaves waits for nobody who is made to wait longer than that."""
    house = await serve(refusing)
    lost, stays = await house.connect(), await house.connect()
    for client in (lost, stays):
        client.send(house.get())
        assert (await client.answer())[0] == 403
    lost.reset()
    house.listener._door.is_leaving = True
    house.pass_s(HOLD_S + 0.01)
    assert await stays.rest() == b""
    await house.until(lambda: house.listener.connected == 0)
    assert house.errors == []
    assert not house.listener._door.held
