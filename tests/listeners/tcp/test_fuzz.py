"""Whatever is sent, the door stands and nothing is left behind (ERR-02)."""

import asyncio
import random

import pytest
from tests.listeners.tcp.conftest import Serve

LINES = [
    b'{"jsonrpc":"2.0","id":1,"method":"ping"}',
    b'{"jsonrpc":"2.0","id":"x","method":"auth","params":{"token":"alice-token"}}',
    b'{"jsonrpc":"2.0","id":"x","method":"auth","params":{"token":"bob-token"}}',
    b'{"jsonrpc":"2.0","id":"x","method":"auth","params":{"token":"wrong"}}',
    b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}',
    b'{"jsonrpc":"2.0","id":1,"result":{}}',
    b'{"id":',
    b"",
    b"\r",
    b"\x00",
    b"\xff" * 10,
    b"x" * 5000,
    b"x" * 40_000,
]


@pytest.mark.parametrize("seed", range(8))
async def test_noise_ends_in_order(serve: Serve, seed: int) -> None:
    chance = random.Random(seed)
    house = await serve(max_line_bytes=4096, max_in_flight=3)
    for _ in range(25):
        client = await (house.ready() if chance.random() < 0.8 else house.connect())
        lines = [chance.choice(LINES) for _ in range(chance.randrange(1, 15))]
        raw = chance.choice([b"\n", b"\r\n", b"\n\n"]).join(lines) + chance.choice([b"", b"\n"])
        while raw:
            size = chance.randrange(1, 60) if chance.random() < 0.3 else len(raw)
            client.send(raw[:size])
            raw = raw[size:]
            await asyncio.sleep(0)
        if chance.random() < 0.5:
            client.writer.transport.abort()  # type: ignore[attr-defined]
        else:
            client.writer.close()
    house.clients.clear()
    await house.until(lambda: not house.listener.connections())
    await house.until(lambda: len(house.tasks) == 0)
    assert not house.errors
    assert not house.terms.open
    assert not house.terms.of_caller
    assert not house.listener._door.seats
    client = await house.ready()
    client.say(id=1, method="ping")
    assert (await client.line())["id"] == 1
