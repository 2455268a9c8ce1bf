"""Whatever is sent, the door stands and nothing is left behind (ERR-02)."""

import asyncio
import random

import pytest
from tests.listeners.websocket.conftest import Serve
from tests.listeners.websocket.house import House, RawClient, frame

MESSAGES = [
    b'{"jsonrpc":"2.0","id":1,"method":"ping"}',
    b'{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{}}',
    b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}',
    b'{"jsonrpc":"2.0","method":"notifications/initialized"}',
    b'{"jsonrpc":"2.0","id":1,"method":"initialize"}',
    b'{"jsonrpc":"2.0","id":1,"result":{}}',
    b"{",
    b"",
    b"null",
    b"[]",
    b'{"id":[[[[',
    b"\xff\xfe",
]


def noise(chance: random.Random) -> bytes:
    """A few frames, most of them right, then something broken."""
    parts = []
    for _ in range(chance.randrange(1, 12)):
        payload = chance.choice(MESSAGES)
        if chance.random() < 0.2:
            payload = payload + bytes(chance.randrange(256) for _ in range(chance.randrange(200)))
        parts.append(
            frame(
                chance.choice([1, 1, 1, 1, 0, 2, 8, 9, 10, chance.randrange(16)]),
                payload if chance.random() < 0.95 else payload * 200,
                fin=chance.random() < 0.8,
                mask=chance.random() < 0.98,
                rsv=0 if chance.random() < 0.98 else chance.randrange(8),
                length_form=None if chance.random() < 0.95 else 64,
            )
        )
    raw = bytearray(b"".join(parts))
    for _ in range(chance.randrange(3)):
        raw[chance.randrange(len(raw))] = chance.randrange(256)
    return bytes(raw)


async def sent(house: House, client: RawClient, chance: random.Random) -> None:
    raw = noise(chance)
    while raw:
        size = chance.randrange(1, 60) if chance.random() < 0.5 else len(raw)
        client.send(raw[:size])
        raw = raw[size:]
        await asyncio.sleep(0)
    if chance.random() < 0.5:
        client.writer.transport.abort()  # type: ignore[attr-defined]
    else:
        client.writer.close()


@pytest.mark.parametrize("seed", range(8))
async def test_noise_ends_in_order(serve: Serve, seed: int) -> None:
    chance = random.Random(seed)
    house = await serve(max_message_bytes=4096, max_in_flight=3)
    for _ in range(25):
        client = await house.ready()
        await sent(house, client, chance)
    house.clients.clear()
    await house.until(lambda: not house.listener.connections())
    await house.until(lambda: len(house.tasks) == 0)
    assert not house.errors
    assert not house.terms.open
    assert not house.terms.of_caller
    assert not house.listener._door.seats
    client = await house.ready()
    client.say(id=1, method="ping")
    assert (await client.message())["id"] == 1
