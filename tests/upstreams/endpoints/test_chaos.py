"""Endpoints under everything at once, from a seed: what must hold whatever happens."""

import asyncio
import random
from collections import Counter
from typing import Any

import pytest
from tests.upstreams.before_server import a_call
from tests.upstreams.endpoints.support import House

from mantlet.core.call import Call, Reply
from mantlet.core.refusal import BadUpstream, DeadlineExceeded, Overloaded, Refusal, UpstreamUnavailable
from mantlet.upstreams.breaker import Breaker, BreakerConfig
from mantlet.upstreams.health.state import Terms

ENDS: tuple[Any, ...] = (
    Reply(200, [], b"{}"),
    Reply(200, [], b"{}"),
    Reply(503, [], b"{}"),
    UpstreamUnavailable(why="no connection"),
    BadUpstream(why="it vanished"),
    DeadlineExceeded(),
    Overloaded(),
)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("balance", ["weighted", "least_connections", "session_affinity"])
async def test_whatever_happens(balance: Any, seed: int) -> None:
    """RES-01, RES-06"""
    chance = random.Random(seed)
    house = House(
        5,
        balance,
        given=Terms(fall=2, rise=1, failures=3, ejection_s=5, slow_start_s=10),
        weights={f"e{n}": n + 1 for n in range(5)},
        breakers={}
        if seed % 2
        else {f"e{n}": Breaker(BreakerConfig(open=3), lambda: 0.0, lambda: 0.5) for n in range(5)},
    )
    sent_to_unusable = Counter[str]()

    async def end(call: Call) -> Any:
        name = call.trail.notes["endpoint"]
        usable = {one.name for one in house.upstream.usable}
        if usable and name not in usable:
            sent_to_unusable[name] += 1
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)
        return chance.choice(ENDS)

    for transport in house.transports.values():
        transport.end = end
    ends = Counter[str]()

    async def one_call(number: int) -> None:
        try:
            reply = await house.upstream.send(a_call(subject=f"caller {number % 50}"))
            ends[str(reply.status)] += 1
        except Refusal as refusal:
            ends[refusal.reason] += 1

    calls: list[asyncio.Task[None]] = []
    for number in range(600):
        calls.append(asyncio.ensure_future(one_call(number)))  # type: ignore[arg-type]
        match chance.randrange(20):
            case 0:
                house.upstream.probed(chance.choice(house.endpoints), "no answer")
            case 1 | 2 | 3:
                house.upstream.probed(chance.choice(house.endpoints), "")
            case 4:
                house.upstream.drain(f"e{chance.randrange(5)}", chance.random() * 5)
            case 5 | 6:
                house.upstream.undrain(f"e{chance.randrange(5)}")
            case 7:
                chance.choice(calls).cancel()
            case 8 | 9:
                house.clock.now_s += chance.random() * 3
                house.upstream.tick()
        if number % 3 == 0:
            await asyncio.sleep(0)
    await asyncio.wait(calls)
    assert [one.in_flight for one in house.endpoints] == [0] * 5
    assert not sent_to_unusable
    assert set(ends) <= {"200", "503", "upstream_unavailable", "bad_upstream", "deadline_exceeded", "overloaded",
                         "breaker_open"}  # fmt: skip
    for one in house.endpoints:  # and all come back
        house.upstream.undrain(one.name)
        house.clock.now_s += 400
        house.upstream.tick()
        house.upstream.probed(one, "")
    for transport in house.transports.values():
        transport.end = Reply(200, [], b"{}")
    assert {one.name for one in house.upstream.usable} == {f"e{n}" for n in range(5)}
    assert all(one.health.weight_share(house.clock.now_s + 20) == 1.0 for one in house.endpoints)
