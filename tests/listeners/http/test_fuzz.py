"""However bytes are cut, the result is the same; whatever they are, the listener lives (ERR-02, HTTP-04)."""

import asyncio
import itertools
import random
from typing import Any

import pytest

from mantlet.core.call import Arrival, Reply
from mantlet.core.clock import Clock
from mantlet.core.tasks import Tasks
from mantlet.listeners.http import HttpConfig
from mantlet.listeners.http.answer import Constant
from mantlet.listeners.http.connection import Connection
from mantlet.listeners.http.door import Door
from mantlet.listeners.http.origin import names
from mantlet.wire.answer import refused


class Wire(asyncio.Transport):
    """A transport in memory, that notes what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.is_over = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("192.0.2.1", 1) if name == "peername" else default

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self.is_over = True

    abort = close

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.is_over = True

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def answers(segments: list[bytes]) -> tuple[bytes, list[tuple[str, bytes]], bool]:
    """Feed `segments` to a connection and give what it wrote, what its handler saw, and whether it closed."""
    seen: list[tuple[str, bytes]] = []
    errors: list[BaseException] = []
    ids = itertools.count()

    async def handler(arrival: Arrival) -> Reply:
        try:
            body = await arrival.read()
        except Exception as error:
            return refused(error, arrival.trail)  # type: ignore[arg-type]
        seen.append((arrival.path, body))
        return Reply(200, [], body)

    async def refuse(trail: Any, refusal: Any) -> Reply:
        return refused(refusal, trail)

    tasks = Tasks(errors.append)
    door = Door(
        config=HttpConfig(max_body_bytes=5000),
        handler=handler,
        refuse=refuse,
        clock=Clock(lambda: 1.0, lambda: 1.0),
        tasks=tasks,
        new_id=lambda: f"{next(ids)}",
        on_error=lambda error, trail: errors.append(error),
        name="http",
        names=names(bind_host="127.0.0.1", port=80, is_tls=False),
        trusted=(),
        constant=Constant(is_tls=False),
    )
    wire = Wire()
    connection = Connection(door)
    connection.connection_made(wire)
    for segment in segments:
        if wire.is_over:
            break
        connection.data_received(segment)
        await asyncio.sleep(0)
    for _ in range(400):
        await asyncio.sleep(0)
    connection.connection_lost(None)
    await tasks.close()
    assert errors == []
    assert not door.seats
    return bytes(wire.written), seen, wire.is_over


def valid(rng: random.Random) -> bytes:
    body = rng.randbytes(rng.choice([0, 1, 10, 300]))
    fields = b"".join(b"X-%d: %d\r\n" % (n, n) for n in range(rng.randrange(4)))
    head = b"POST /%d HTTP/1.1\r\nHost: localhost\r\n%b" % (rng.randrange(100), fields)
    if rng.random() < 0.5:
        return head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    cut = rng.randrange(len(body) + 1)
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:cut], body[cut:]) if part)
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


def cut(rng: random.Random, data: bytes) -> list[bytes]:
    places = sorted(rng.randrange(len(data) + 1) for _ in range(rng.choice([1, 3, 20, len(data)])))
    return [part for a, b in itertools.pairwise([0, *places, len(data)]) if (part := data[a:b])]


@pytest.mark.parametrize("seed", range(60))
async def test_the_cut_into_segments_changes_nothing(seed: int) -> None:
    rng = random.Random(seed)
    data = b"".join(valid(rng) for _ in range(rng.randrange(1, 5)))
    whole = await answers([data])
    assert len(whole[1]) == whole[0].count(b"HTTP/1.1 200 OK") > 0
    assert await answers(cut(rng, data)) == whole
    assert await answers([bytes([byte]) for byte in data]) == whole


SCRAPS = [
    b"GET ", b"POST ", b"/", b" HTTP/1.1", b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"Host: localhost", b"Host: x", b": ",
    b"Content-Length: 3", b"Content-Length: 99999", b"Transfer-Encoding: chunked", b"Expect: 100-continue",
    b"Connection: close", b"Upgrade: h2c", b"abc", b"0\r\n\r\n", b"3\r\nabc\r\n", b"\x00", b"\xff", b" ", b"%2e", b";",
    b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"HEAD / HTTP/1.0\r\nHost: localhost\r\n\r\n",
]  # fmt: skip


@pytest.mark.parametrize("seed", range(300))
async def test_any_bytes_are_answered_waited_for_or_refused(seed: int) -> None:
    rng = random.Random(seed)
    data = b"".join(rng.choice(SCRAPS) if rng.random() < 0.9 else rng.randbytes(5) for _ in range(rng.randrange(1, 40)))
    written, seen, _ = await answers(cut(rng, data))
    final = written.count(b"HTTP/1.1 ") - written.count(b"HTTP/1.1 100 ")
    assert final >= len(seen)
    if data and b"\x00" in data and not seen:
        assert b"HTTP/1.1 200" not in written


@pytest.mark.parametrize("seed", range(100))
async def test_a_mutated_request_never_breaks_the_listener(seed: int) -> None:
    rng = random.Random(seed)
    data = bytearray(b"".join(valid(rng) for _ in range(3)))
    for _ in range(rng.randrange(1, 6)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    await answers(cut(rng, bytes(data)))
