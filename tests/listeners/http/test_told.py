"""What a trusted proxy brings from an address that is refused already is answered at once (RATE-07, AUTHN-07)."""

import asyncio

import pytest

from mantlet.core.call import Arrival, Reply
from mantlet.listeners.http.framing import PIPELINED_BYTES
from mantlet.listeners.http.told import MAX_TOLD

PROXY = {"trusted_proxies": ["127.0.0.1"]}
READ_BYTES = 262_144
"""What a loop hands over at once."""
BAD = b"X-Forwarded-For: 192.0.2.66\r\n"


class Refused:
    """One address that is refused, with one answer for all its requests."""

    def __init__(self) -> None:
        headers = [(b"x-request-id", b"first"), (b"retry-after", b"2"), (b"content-type", b"application/json")]
        self.reply = Reply(429, headers, b"{}", origin="node", holds=True)
        self.asked: list[str] = []

    def __call__(self, arrival: Arrival) -> Reply | None:
        self.asked.append(arrival.peer)
        return self.reply if arrival.peer == "192.0.2.66" else None


async def test_it_gets_the_answer_and_others_reach_the_path(serve) -> None:
    """RATE-07: by the client that the proxy names; the proxy is not made to wait, and others behind it are served."""
    told = Refused()
    house = await serve(told=told, **PROXY)
    client = await house.connect()
    for _ in range(3):
        client.send(house.post(b"abc", BAD))
        status, headers, body = await client.answer()
        assert (status, body) == (429, b"{}")
        assert (headers[b"x-request-id"], headers[b"retry-after"]) == (b"first", b"2")
        assert headers[b"cache-control"] == b"no-store"
        assert headers[b"x-content-type-options"] == b"nosniff"
    client.send(house.post(b"xyz", b"X-Forwarded-For: 192.0.2.67\r\n"))
    assert (await client.answer())[2] == b"xyz"
    assert house.bodies == [b"xyz"]
    (info,) = house.listener.connections()
    assert (info.requests, info.caller) == (4, "")


async def test_only_what_a_trusted_proxy_says_is_asked_about(serve) -> None:
    """RATE-07: nobody gets another refused by a header, and who comes itself goes the way where it is made to wait."""
    told = Refused()
    house = await serve(told=told)
    client = await house.connect()
    client.send(house.post(b"abc", BAD))
    assert (await client.answer())[0] == 200
    assert told.asked == []


async def test_the_word_of_a_stranger_in_front_of_the_proxy_counts_nothing(serve) -> None:
    """RATE-07, HTTP-09: the last hop that the proxy has seen is the client, whatever stands left of it."""
    house = await serve(told=Refused(), **PROXY)
    client = await house.connect()
    client.send(house.post(b"abc", b"X-Forwarded-For: 192.0.2.66, 192.0.2.67\r\n"))
    assert (await client.answer())[0] == 200
    client.send(house.post(b"abc", b"X-Forwarded-For: 192.0.2.67, 192.0.2.66\r\n"))
    assert (await client.answer())[0] == 429


@pytest.mark.parametrize("many", [2, MAX_TOLD, MAX_TOLD + 1, 1500])
async def test_what_is_sent_ahead_is_answered_in_order_and_without_end(serve, many: int) -> None:
    """However many come at once: each is answered, in its turn, and none within all the others."""
    house = await serve(told=Refused(), **PROXY)
    client = await house.connect()
    client.send(house.post(b"abc", BAD) * many + house.get(b"/last", b"X-Forwarded-For: 192.0.2.67\r\n"))
    for _ in range(many):
        assert (await client.answer())[0] == 429
    assert (await client.answer())[0] == 200
    assert [arrival.path for arrival in house.arrivals] == ["/last"]


async def test_a_body_that_is_still_coming_is_thrown_away(serve) -> None:
    """HTTP-01: what follows it is the next request, and nothing of it is one."""
    house = await serve(told=Refused(), **PROXY)
    client = await house.connect()
    whole = house.post(b"GET /smuggled HTTP/1.1\r\n\r\n" * 20, BAD)
    client.send(whole[:200])
    assert (await client.answer())[0] == 429
    client.send(whole[200:] + house.get(b"/next", b"X-Forwarded-For: 192.0.2.67\r\n"))
    assert (await client.answer())[0] == 200
    assert [arrival.path for arrival in house.arrivals] == ["/next"]


async def test_one_that_closes_is_closed_and_one_that_waits_is_not_led_on(serve) -> None:
    house = await serve(told=Refused(), **PROXY)
    assert (await house.ask(house.post(b"abc", BAD + b"Connection: close\r\n")))[:12] == b"HTTP/1.1 429"
    head = house.post(b"", BAD + b"Expect: 100-continue\r\n").replace(b"Content-Length: 0", b"Content-Length: 9")
    assert (await house.ask(head))[:12] == b"HTTP/1.1 429"


async def test_a_head_alone_is_asked_for_and_given(serve) -> None:
    house = await serve(told=Refused(), **PROXY)
    client = await house.connect()
    client.send(b"HEAD / HTTP/1.1\r\n" + house.host + BAD + b"\r\n" + house.get(fields=BAD))
    status, headers = await client.head()
    assert (status, headers[b"content-length"]) == (429, b"2")
    assert (await client.answer())[0] == 429


async def test_the_date_goes_on(serve) -> None:
    """HTTP-11: bytes that were made before are no older than a second."""
    house = await serve(told=Refused(), **PROXY)
    client = await house.connect()
    dates = []
    for _ in range(3):
        client.send(house.get(fields=BAD))
        dates.append((await client.answer())[1][b"date"])
        house.pass_s(1.0)
    assert len(set(dates)) == 3


async def test_a_page_of_another_origin_may_read_it(serve) -> None:
    house = await serve(told=Refused(), cors_origins=["https://app.test"], **PROXY)
    client = await house.connect()
    for fields in (b"Origin: https://app.test\r\n", b""):
        client.send(house.get(fields=BAD + fields))
        headers = (await client.answer())[1]
        assert (b"access-control-allow-origin" in headers) is bool(fields)


async def test_what_is_sent_ahead_does_not_gather(serve) -> None:
    """RATE-06: who sends faster than it is answered, or reads nothing, is read no further."""
    house = await serve(told=Refused(), **PROXY)
    client = await house.connect()
    client.writer.transport.pause_reading()
    (connection,) = await guests(house)
    request = house.get(fields=BAD)
    most = 0
    while not client.writer.transport.get_write_buffer_size():
        client.send(request * 1000)
        for _ in range(20):
            await asyncio.sleep(0)
            most = max(most, len(connection._ahead.buffer))
    assert most < PIPELINED_BYTES + 2 * READ_BYTES
    assert house.errors == []


async def guests(house) -> list:
    await house.until(lambda: bool(house.listener._door.guests))
    return list(house.listener._door.guests)
