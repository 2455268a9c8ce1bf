"""RATE-04 in the shared store: `lua/window.lua` run with a clock turned by hand, against `stores/window.py`."""

import random
from copy import copy

import pytest

from mantlet.stores.valkey.client import ValkeyClient
from mantlet.stores.valkey.scripts import source
from mantlet.stores.window import Window, advance, wait_us, width_us

WIDTH = width_us(1.0)
# The script's only look at the clock, replaced by an argument.
TAKE = source("take").replace(b"redis.call('TIME')", b"{0, ARGV[4]}")


async def take(client: ValkeyClient, *, limit: int, now_us: int) -> list[int]:
    reply = await client.call("EVAL", TAKE, 2, "w", "mark", limit, WIDTH, 1, now_us)
    assert isinstance(reply, list)
    return reply


@pytest.mark.parametrize("back_us", [1, 30 * WIDTH, 1000 * WIDTH + 7, 10**12])
async def test_a_step_back_neither_frees_nor_locks_longer_than_a_window(client: ValkeyClient, back_us: int) -> None:
    start = 1_700_000_000_000_000
    for number in range(10):
        assert (await take(client, limit=10, now_us=start + number * 40_000))[0] == -1
    stepped = start + 400_000 - back_us
    assert (await take(client, limit=10, now_us=stepped))[0] == 0
    assert (await take(client, limit=10, now_us=stepped + 101 * WIDTH))[0] == -1


async def test_lua_and_python_are_the_same_window(client: ValkeyClient) -> None:
    """Seeded moves, forward and back: the same verdict, total and wait each time. Expiry is kept out of it."""
    assert b"'PX'" in TAKE
    chance = random.Random(11)
    now_us = 1_700_000_000_000_000
    window = Window(now_us // WIDTH)
    lasting = TAKE.replace(b", 'PX', math.ceil((SPAN + 1) * width / 1000)", b"")
    for _ in range(4000):
        now_us += chance.choice([0, 1, 5_000, 20_001, 90_000, 300_000, 2_000_000, -30_000, -5_000_000])
        is_back = now_us // WIDTH < window.at
        seen = copy(window)
        seen.past = None if window.past is None else [*window.past]
        advance(seen, now_us // WIDTH)
        reply = await client.call("EVAL", lasting, 2, "w", "mark", 25, WIDTH, 1, now_us)
        is_admitted = seen.total < 25
        if is_admitted:
            seen.total += 1
            seen.current += 1
        wait = wait_us(seen, limit=25, cost=1, now_us=now_us, width=WIDTH)
        assert reply[:5] == [-1 if is_admitted else 0, 0, 25 - seen.total, wait, now_us]
        assert reply[7:] == [seen.total]
        if is_admitted or is_back:  # any other refusal writes nothing in the store
            window = seen
