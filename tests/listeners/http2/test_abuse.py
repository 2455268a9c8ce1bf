"""What a client can send for nothing ends its connection (HTTP-05, HTTP-06; CVE-2023-44487, CVE-2024-27316 and kin)."""

import asyncio
import struct

import pytest
from h2 import events
from h2.errors import ErrorCodes
from hpack import Encoder

from mantlet.core.call import Arrival, Reply
from mantlet.core.refusal import Blocked
from mantlet.listeners.http.door import HOLD_S
from mantlet.listeners.http2.lifetime import LINGER_S
from mantlet.wire.http2.frames import PREFACE

CALM = int(ErrorCodes.ENHANCE_YOUR_CALM)
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


async def told(client, house, code: int) -> None:
    """The connection ended with `code`, nothing of it is left, and it was recorded."""
    await client.until(lambda: client.goaways)
    assert client.goaways[-1][1] == code
    house.pass_s(LINGER_S + 0.1)
    await client.end()
    await house.until(lambda: not house.listener._door.seats)
    assert any("HTTP/2" in refusal.why for _, refusal in house.refusals)
    assert house.errors == []


FLOODS = {
    "ping": frame(PING, payload=bytes(8)),
    "settings": frame(SETTINGS),
    "settings with values": frame(SETTINGS, payload=struct.pack("!HI", 4, 65_535)),
    "priority": frame(PRIORITY, stream=1, payload=struct.pack("!IB", 0, 1)),
    "unknown": frame(0x42),
    "window of the connection": frame(WINDOW, payload=struct.pack("!I", 1)),
    "window of a closed stream": frame(WINDOW, stream=1, payload=struct.pack("!I", 1)),
    "reset of a closed stream": frame(RST, stream=1, payload=struct.pack("!I", 8)),
}


@pytest.mark.parametrize("flood", FLOODS)
async def test_frames_that_ask_for_nothing_are_counted(serve2, connect, flood: str) -> None:
    house = await serve2()
    client = await connect(house)
    await client.answer(client.ask())
    for _ in range(40):
        client.raw(FLOODS[flood] * 50)
    await told(client, house, CALM)


async def test_a_patient_client_may_do_all_of_it(serve2, connect) -> None:
    house = await serve2(idle_timeout=1000)
    client = await connect(house)
    await client.answer(client.ask())
    for one in [*FLOODS.values()] * 5:
        client.raw(one)
        client.h2.ping(b"12345678")
        client.flush()
        client.seen.clear()
        await client.until(lambda: client.of(events.PingAckReceived))
        house.pass_s(2)
    assert (await client.answer(client.ask()))[0] == 200


async def test_who_is_to_be_slowed_is_read_once_a_while(serve2, connect) -> None:
    """AUTHN-07: what is answered was read before the first refusal; the rest waits in the client's machine."""

    async def handler(arrival: Arrival) -> Reply:
        raise Blocked

    house = await serve2(handler)
    client = await connect(house)
    assert (await client.head(client.ask()))[0] == 403
    later = [client.ask() for _ in range(5)]
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(house.arrivals) == 1
    house.pass_s(HOLD_S + 0.01)
    for stream in later:
        assert (await client.head(stream))[0] == 403
    house.pass_s(HOLD_S + 0.01)
    assert house.errors == []


async def test_rapid_resets_end_the_connection_and_leave_no_work(serve2, connect) -> None:
    """CVE-2023-44487"""
    running = set()

    async def handler(arrival: Arrival) -> Reply:
        running.add(arrival)
        try:
            await asyncio.Event().wait()
        finally:
            running.discard(arrival)
        raise AssertionError

    house = await serve2(handler)
    client = await connect(house)
    for _ in range(300):
        stream = client.h2.get_next_available_stream_id()
        client.h2.send_headers(stream, client.fields(), end_stream=True)
        client.h2.reset_stream(stream, ErrorCodes.CANCEL)
    client.flush()
    await told(client, house, CALM)
    assert running == set()
    assert len(house.arrivals) <= 100


async def test_work_that_is_not_cleaned_up_still_counts_as_a_stream(serve2, connect) -> None:
    """CVE-2023-44487: what the client has taken back is open for us as long as it runs."""
    may_end = asyncio.Event()

    async def handler(arrival: Arrival) -> Reply:
        try:
            await asyncio.Event().wait()
        finally:
            await may_end.wait()
        raise AssertionError

    house = await serve2(handler, max_streams=3)
    client = await connect(house)
    for _ in range(3):
        stream = client.ask()
        await house.until(lambda: len(house.arrivals) == (stream + 1) // 2)  # noqa: B023
        client.h2.reset_stream(stream, ErrorCodes.CANCEL)
        client.flush()
    refused = client.ask()
    assert await client.reset_of(refused) == ErrorCodes.REFUSED_STREAM
    assert len(house.arrivals) == 3
    may_end.set()


async def test_more_streams_than_agreed_break_the_connection(serve2, connect) -> None:
    """RFC 9113 section 5.1.2"""

    async def handler(arrival: Arrival) -> Reply:
        await asyncio.Event().wait()
        raise AssertionError

    house = await serve2(handler, max_streams=3)
    client = await connect(house)
    for stream in (1, 3, 5, 7):
        client.raw(frame(HEADERS, 0x5, stream, Encoder().encode(client.fields(), huffman=False)))
    await client.until(lambda: client.goaways)


async def test_resets_that_a_client_provokes_count_as_its_own(serve2, connect) -> None:
    """CVE-2025-8671"""
    house = await serve2()
    client = await connect(house)
    await house.until(lambda: bool(house.listener._door.guests))
    (guest,) = house.listener._door.guests
    for number in range(300):
        fields = [field for field in client.fields() if field[0] != b":path"]
        client.ask(fields)
        if number % 50 == 49:
            wanted = number + 1
            await house.until(lambda: guest._is_closing or (guest._requests == wanted and not guest._streams))  # noqa: B023
    await told(client, house, CALM)


@pytest.mark.parametrize("size", [0, 1, 16_000])
async def test_a_header_block_that_does_not_end(serve2, connect, size: int) -> None:
    """CVE-2024-27316: bounded by bytes and by frames, before anything is unpacked."""
    house = await serve2()
    client = await connect(house)
    block = Encoder().encode(client.fields(), huffman=False)
    client.raw(frame(HEADERS, 0, 1, block))
    for _ in range(300):
        client.raw(frame(CONTINUATION, 0, 1, bytes(size)))
    await client.until(lambda: client.goaways)
    assert client.goaways[-1][1] in (CALM, ErrorCodes.PROTOCOL_ERROR)
    assert house.arrivals == []


async def test_a_header_block_that_trickles_has_a_deadline(serve2, connect) -> None:
    """HTTP-05"""
    house = await serve2()
    client = await connect(house)
    await client.answer(client.ask())
    client.raw(frame(HEADERS, 0, 3, Encoder().encode(client.fields(), huffman=False)))
    client.raw(frame(CONTINUATION, 0, 3, b""))
    (guest,) = house.listener._door.guests
    await house.until(lambda: guest._gate.is_in_block)
    house.pass_s(11)
    await told(client, house, CALM)


async def test_a_header_bomb_is_not_unpacked(serve2, connect) -> None:
    """CVE-2016-6581: one large field in the table, named a thousand times."""
    house = await serve2()
    client = await connect(house)
    encoder = Encoder()
    first = encoder.encode([*client.fields(), (b"x", b"y" * 3900)], huffman=False)
    client.raw(frame(HEADERS, 0x5, 1, first))
    client.raw(frame(HEADERS, 0x5, 3, encoder.encode(client.fields(), huffman=False) + b"\xbe" * 10_000))
    await client.until(lambda: client.goaways)
    assert len(house.arrivals) <= 1


async def test_a_list_a_little_too_large_is_answered(serve2, connect) -> None:
    """HTTP-06"""
    house = await serve2(max_header_bytes=4096, max_target_bytes=1000)
    client = await connect(house)
    assert (await client.answer(client.ask(client.fields(more=((b"x", b"y" * 3900),)))))[0] == 431
    assert (await client.answer(client.ask(client.fields(more=((b"x", b"y"),) * 101))))[0] == 431
    assert (await client.answer(client.ask(client.fields(path="/" + "a" * 1000))))[0] == 414
    assert (await client.answer(client.ask()))[0] == 200


@pytest.mark.parametrize("size", [0, 1])
async def test_a_body_of_crumbs(serve2, connect, size: int) -> None:
    """Zero-length DATA (CVE-2019-9518), and DATA of a byte."""
    house = await serve2()
    client = await connect(house)
    stream = client.ask(client.fields("POST"), ends=False)
    for _ in range(50):
        client.raw(frame(DATA, 0, stream, bytes(size)) * 50)
    await told(client, house, CALM)


@pytest.mark.parametrize(
    "opening",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        PREFACE + frame(PING, payload=bytes(8)),
        PREFACE + frame(SETTINGS, flags=1),
        PREFACE + b"\xff\xff\xff" + frame(SETTINGS)[3:],
    ],
)
async def test_what_does_not_begin_as_http_2_ends(serve2, connect, opening: bytes) -> None:
    house = await serve2()
    client = await connect(house, begins=False)
    client.h2.initiate_connection()
    client.raw(opening)
    await client.until(lambda: client.goaways)
    assert client.goaways[-1][1] in (ErrorCodes.PROTOCOL_ERROR, ErrorCodes.FRAME_SIZE_ERROR)


@pytest.mark.parametrize(
    "broken",
    [
        frame(DATA, 0, 0, b"x"),
        frame(PUSH, 4, 1, bytes(4)),
        frame(WINDOW, 0, 0, bytes(4)),
        frame(WINDOW, 0, 0, struct.pack("!I", 2**31 - 1)),
        frame(SETTINGS, 0, 0, bytes(5)),
        frame(SETTINGS, 0, 0, struct.pack("!HI", 4, 2**31)),
        frame(PING, 0, 0, bytes(7)),
        frame(GOAWAY, 0, 0, bytes(7)),
        frame(HEADERS, 4, 2, b"\x82"),
        frame(HEADERS, 4, 1, b"\xff\xff\xff\xff\xff\xff"),
        frame(HEADERS, 0x0C, 1, b"\xff\x82"),
        frame(CONTINUATION, 4, 1, b"\x82"),
        frame(RST, 0, 0, bytes(4)),
        frame(RST, 0, 99, bytes(4)),
    ],
)
async def test_broken_frames_break_the_connection(serve2, connect, broken: bytes) -> None:
    house = await serve2()
    client = await connect(house)
    client.raw(broken)
    await client.until(lambda: client.goaways)
    assert client.goaways[-1][1] != 0
    assert house.errors == []


async def test_a_client_that_reads_nothing_costs_a_buffer_and_not_more(serve2, connect) -> None:
    """Acknowledgements that nobody reads (CVE-2019-9512, CVE-2019-9515) end with the points; answers wait."""
    house = await serve2(write_timeout=30)
    client = await connect(house)
    client.writer.transport.pause_reading()

    async def write() -> None:
        for _ in range(100):
            client.raw(FLOODS["ping"] * 100)
            await asyncio.sleep(0)

    await write()
    await house.until(lambda: all(guest._is_closing for guest in house.listener._door.guests))
