"""RFC 6455 as a client sees it that checks every word: frames, masks, fragments, control frames, close codes."""

import asyncio
import json

import pytest
from tests.listeners.websocket.conftest import Serve
from tests.listeners.websocket.house import BINARY, CLOSE, CONT, PING, PONG, TEXT, frame

from mantlet.core.call import Arrival, Reply

PINGED = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"t": "é€😀"}}, ensure_ascii=False).encode()
ANSWER = {"jsonrpc": "2.0", "id": 1, "result": {"t": "é€😀"}}


@pytest.mark.parametrize("size", [1, 2, 7, 50, 1000])
async def test_a_message_may_come_in_any_number_of_fragments_and_segments(serve: Serve, size: int) -> None:
    """Section 5.4. UTF-8 may be cut anywhere."""
    house = await serve()
    client = await house.ready()
    parts = [PINGED[at : at + size] for at in range(0, len(PINGED), size)]
    for index, part in enumerate(parts):
        client.send(frame(TEXT if index == 0 else CONT, part, fin=index == len(parts) - 1))
        client.send(frame(PING, b"between"))  # section 5.5: between fragments, too
    assert [await client.frame() for _ in parts[:-1]] == [(PONG, b"between")] * (len(parts) - 1)
    got = [await client.frame(), await client.frame()]
    assert (PONG, b"between") in got
    assert json.loads(next(payload for opcode, payload in got if opcode == TEXT)) == ANSWER


async def test_bytes_may_trickle_one_by_one(serve: Serve) -> None:
    house = await serve()
    client = await house.ready()
    for byte in frame(TEXT, PINGED):
        client.send(bytes([byte]))
        await client.writer.drain()
        await asyncio.sleep(0)
    assert await client.message() == ANSWER


async def test_many_messages_may_come_in_one_segment(serve: Serve) -> None:
    house = await serve(max_in_flight=4)
    client = await house.ready()
    client.send(b"".join(frame(TEXT, b'{"jsonrpc":"2.0","id":%d,"method":"ping"}' % number) for number in range(500)))
    assert {(await client.message())["id"] for _ in range(500)} == set(range(500))


async def test_frames_may_come_with_the_handshake(serve: Serve) -> None:
    house = await serve()
    client = await house.connect()
    client.send(house.hello() + frame(TEXT, PINGED))
    assert await client.head() == 101
    assert await client.message() == ANSWER


async def test_a_ping_is_answered_with_its_own_payload(serve: Serve) -> None:
    house = await serve()
    client = await house.ready()
    client.send(frame(PING, b"x" * 125))
    assert await client.frame() == (PONG, b"x" * 125)
    client.send(frame(PONG, b"unasked"))  # section 5.5.3: allowed, and nothing comes of it
    client.send(frame(TEXT, PINGED))
    assert await client.message() == ANSWER


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(TEXT, b"{}", mask=False), 1002),
        (frame(TEXT, b"{}", rsv=4), 1002),
        (frame(TEXT, b"{}", rsv=2), 1002),
        (frame(TEXT, b"{}", rsv=1), 1002),
        (frame(3, b""), 1002),
        (frame(7, b""), 1002),
        (frame(11, b""), 1002),
        (frame(15, b""), 1002),
        (frame(PING, b"", fin=False), 1002),
        (frame(PING, b"x" * 126), 1002),
        (frame(CLOSE, b"x" * 126), 1002),
        (frame(CONT, b"{}"), 1002),
        (frame(TEXT, b"{", fin=False) + frame(TEXT, b"}"), 1002),
        (frame(TEXT, b"{", fin=False) + frame(CLOSE, b""), 1002),
        (frame(TEXT, b"{}", length_form=16), 1002),
        (frame(TEXT, b"{}", length_form=64), 1002),
        (frame(TEXT, b"", fin=False) + frame(CONT, b"", fin=False) * 65, 1008),
        (frame(BINARY, b"{}"), 1003),
        (frame(BINARY, b"{", fin=False), 1003),
        (frame(TEXT, b'"\xff"'), 1007),
        (frame(TEXT, b'"\xed\xa0\x80"'), 1007),
        (frame(TEXT, b'"\xc3', fin=False) + frame(CONT, b'"'), 1007),
        (frame(TEXT, b"x" * 2000), 1009),
        (frame(TEXT, b"x" * 600, fin=False) + frame(CONT, b"x" * 600), 1009),
        (b"\x81\xff" + b"\xff" * 8 + b"abcd", 1009),
        (frame(CLOSE, b"\x03\xe8"), 1000),
        (frame(CLOSE, b"\x0b\xb8bye"), 3000),
        (frame(CLOSE, b"\x03"), 1002),
        (frame(CLOSE, b"\x03\xed"), 1002),  # 1005 is never sent
        (frame(CLOSE, b"\x03\xee"), 1002),
        (frame(CLOSE, b"\x03\xf7"), 1002),
        (frame(CLOSE, b"\x00\x01"), 1002),
        (frame(CLOSE, b"\x03\xe8\xff\xff"), 1007),
    ],
)
async def test_what_the_standard_forbids_closes_the_connection_with_its_code(
    serve: Serve, sent: bytes, code: int
) -> None:
    """Sections 5.1, 5.2, 5.4, 5.5, 7.4, 8.1."""
    house = await serve(max_message_bytes=1024)
    client = await house.ready()
    client.send(sent)
    assert await client.closed() == code
    assert await client.end() == b""
    await house.until(lambda: not house.terms.open)
    assert not house.arrivals


@pytest.mark.parametrize(
    "flood", [frame(PONG) * 300, frame(TEXT, b"1", fin=False) + frame(CONT, b"1", fin=False) * 5000]
)
async def test_frames_that_cost_more_than_they_are_worth_end_the_connection(serve: Serve, flood: bytes) -> None:
    """RATE-06"""
    house = await serve()
    client = await house.ready()
    client.send(flood)
    assert await client.closed() == 1008


async def test_a_flood_of_pings_ends_the_connection(serve: Serve) -> None:
    house = await serve()
    client = await house.ready()
    client.send(frame(PING) * 300)
    answered = 0
    while (got := await client.frame())[0] == PONG:
        answered += 1
    assert got[0] == CLOSE
    assert int.from_bytes(got[1][:2], "big") == 1008
    assert answered <= 300


async def test_a_close_without_a_code_is_answered_without_one(serve: Serve) -> None:
    house = await serve()
    client = await house.ready()
    client.send(frame(CLOSE))
    assert await client.frame() == (CLOSE, b"")
    assert await client.end() == b""


async def test_nothing_is_read_after_a_close(serve: Serve) -> None:
    """Section 1.4."""
    house = await serve()
    client = await house.ready()
    client.send(frame(CLOSE, b"\x03\xe8") + frame(TEXT, PINGED))
    assert await client.closed() == 1000
    assert await client.end() == b""
    assert not house.arrivals


async def test_a_last_frame_arrives_though_the_client_is_still_sending(serve: Serve) -> None:
    """A reset for what was left unread could overtake it."""
    house = await serve(max_message_bytes=1024)
    client = await house.ready()
    client.send(frame(TEXT, b"x" * 300_000) + b"y" * 300_000)
    assert await client.closed() == 1009
    await client.end()


async def test_an_answer_of_any_length_has_its_right_head(serve: Serve) -> None:
    house = await serve()

    async def answer(arrival: Arrival, message: dict[str, object]) -> Reply:
        text = "x" * int(str(message["method"]))
        return Reply(200, [], json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": text}).encode())

    house.handler = answer
    client = await house.ready()
    for size in (1, 80, 90, 100, 1000, 65450, 65500, 70000, 300_000):
        client.say(id=1, method=str(size))
        assert (await client.message())["result"] == "x" * size
