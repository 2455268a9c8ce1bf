"""A hundred addresses, each within its cap, take every place there is; who may call goes on calling (RATE-06)."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.attacks.house import Client, House, call_body, fields_of, open_house

PLACES = 120
ADDRESSES = [f"127.0.1.{number}" for number in range(1, 101)]
STRANGER = (
    b"POST /mcp/one HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n"
)
HELD = {"nothing": b"", "half a head": b"POST /mcp/one HT", "refused, and stays": STRANGER + b"{}"}


async def keep_calling(house: House, client: Client) -> int:
    body = call_body()
    fields = fields_of(body, house.keys["alice"])
    return (await client.ask("POST", "/mcp/one", fields, json.dumps(body).encode())).status


@contextlib.asynccontextmanager
async def holding(house: House, said: bytes) -> AsyncIterator[None]:
    """Three connections of each address, so more than twice the places, one after the other."""
    port = house.calls.port
    said = said.replace(b"%d", b"%d" % port)
    made: list[asyncio.StreamWriter] = []
    try:
        for address in ADDRESSES * 3:
            _, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
            writer.write(said)
            made.append(writer)
        yield
    finally:
        for writer in made:
            writer.transport.abort()


@pytest.mark.parametrize("what", HELD)
async def test_good_callers_are_served_while_every_place_is_taken(tmp_path: Path, what: str) -> None:
    """RATE-06, HTTP-05: those who were there before, and those who come."""
    limits = {"connections": {"per_address": 50}}
    async with open_house(tmp_path, http={"port": 0, "max_connections": PLACES}, limits=limits) as house:
        before = await Client.to(house.calls.port)
        assert await keep_calling(house, before) == 200
        async with holding(house, HELD[what]):
            for _ in range(10):
                newcomer = await Client.to(house.calls.port)
                assert [await keep_calling(house, client) for client in (newcomer, before)] == [200, 200]
                newcomer.close()
            assert house.calls.refused_connections == 0
            assert house.calls.displaced_connections >= 3 * len(ADDRESSES) - PLACES
        before.close()
