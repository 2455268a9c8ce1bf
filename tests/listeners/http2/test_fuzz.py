"""Noise, and frames that are almost right: one answer or the end, never an exception, nothing left behind."""

import asyncio
import random
import struct

import pytest
from hpack import Encoder

from mantlet.listeners.accept import Accepted
from mantlet.listeners.http2.connection import Http2Connection
from mantlet.wire.http2.frames import PREFACE


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


class Wire:
    """A transport without a socket."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.is_closing_ = False
        self.protocol: Http2Connection

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        if not self.is_closing_:
            self.is_closing_ = True
            self.protocol.connection_lost(None)

    abort = close

    def is_closing(self) -> bool:
        return self.is_closing_

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading

    def get_extra_info(self, name: str) -> None:
        return None


def frames(chance: random.Random, port: int) -> list[bytes]:
    head = [(b":method", b"POST"), (b":scheme", b"https"), (b":authority", b"localhost:%d" % port), (b":path", b"/x")]
    made = [frame(4)]
    for stream in range(1, chance.choice([1, 3, 7]), 2):
        made.append(frame(1, chance.choice([4, 5]), stream, Encoder().encode(head, huffman=False)))
        made.append(frame(0, chance.choice([0, 1]), stream, b"x" * chance.choice([0, 5, 16_384])))
    for _ in range(chance.randrange(1, 25)):
        stream = chance.choice([0, 1, 3, 5, 7, 9, 2, 2**31 - 1])
        kind = chance.randrange(0, 12)
        flags = chance.choice([0, 1, 4, 5, 8, 0x20, 0x2D])
        payload = chance.choice(
            [
                b"",
                chance.randbytes(chance.randrange(0, 30)),
                Encoder().encode(head[: chance.randrange(5)], huffman=chance.random() < 0.5),
                Encoder().encode(head, huffman=False),
                struct.pack("!I", chance.choice([0, 1, 65_535, 2**31 - 1, 2**32 - 1])),
                struct.pack("!HI", chance.randrange(8), chance.choice([0, 1, 65_535, 2**31, 2**32 - 1])),
                bytes(8),
                b"x" * chance.choice([1, 100, 16_384]),
            ]
        )
        if chance.random() < 0.8:
            kind, flags, stream = chance.choice([(1, 4, 1), (1, 5, 3), (0, 0, 1), (0, 1, 1), (3, 0, 1), (8, 0, 1)])
        made.append(frame(kind, flags, stream, payload))
    return made


@pytest.mark.parametrize("seed", range(8))
async def test_noise_ends_or_is_answered(serve2, seed: int) -> None:
    house = await serve2()
    door = house.listener._door
    chance = random.Random(seed)
    for _ in range(120):
        wire = Wire()
        seat = door.seats.take("192.0.2.1")
        assert seat is not None
        connection = Http2Connection(door, Accepted(seat, house.now_s, None, "h2"))
        wire.protocol = connection
        connection.connection_made(wire)
        whole = bytearray(PREFACE + b"".join(frames(chance, house.listener.port)))
        if chance.random() < 0.3:
            for _ in range(chance.randrange(1, 6)):
                whole[chance.randrange(len(whole))] = chance.randrange(256)
        at = 0
        while at < len(whole) and not wire.is_closing_:
            size = chance.choice([1, 7, 60, 2000, 100_000])
            connection.data_received(bytes(whole[at : at + size]))
            at += size
            if chance.random() < 0.1:
                await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        house.pass_s(61)
        for _ in range(20):
            await asyncio.sleep(0)
        house.pass_s(120)
        await house.until(lambda: not connection._streams)  # noqa: B023
        wire.close()
        assert not door.seats
        assert wire.written
    assert house.errors == []
    assert house.arrivals
