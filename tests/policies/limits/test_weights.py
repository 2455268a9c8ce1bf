"""What one call may weigh, and how many of one client are under way at once."""

import asyncio

import msgspec
import pytest
from tests.policies.limits.test_policy import ALICE, BOB, Hands, Onward, arrival, call

from mantlet.core.call import Reply
from mantlet.core.refusal import RateLimited
from mantlet.policies.limits.concurrent import ConcurrentCalls
from mantlet.policies.limits.config import LimitsConfig
from mantlet.policies.limits.policy import CallerLimits, CallLimits
from mantlet.stores.memory import MemoryLimits

CONFIG = {
    "client": {"requests": 10, "window": 60},
    "burst": {"requests": 8, "window": 1},
    "routes": [
        {"match": {"tool": "plan"}, "cost": 5},
        {"match": {"path": "/api/reports/*"}, "cost": 4},
        {"match": {"path": "/api/*"}, "cost": 2, "client": {"requests": 100}},
    ],
}


def limits(hands: Hands) -> tuple[CallerLimits, CallLimits]:
    config = msgspec.convert(CONFIG, LimitsConfig)
    store = MemoryLimits(hands.clock)
    return CallerLimits(config, store, hands.clock), CallLimits(config, store, hands.clock)


async def test_a_dear_tool_takes_more_of_its_callers_window() -> None:
    """RATE-01"""
    before, after = limits(Hands())
    onward = Onward()
    for tool in ("plan", "cheap", "plan"):  # 5 + 1 + (1, and 4 that do not fit)
        await before(arrival(caller=ALICE), onward)
        if tool == "plan" and onward.reached == 5:
            with pytest.raises(RateLimited) as refused:
                await after(call(tool, caller=ALICE), onward)
            assert (refused.value.name, refused.value.limit) == ("client", 10)
        else:
            await after(call(tool, caller=ALICE), onward)
    await before(arrival(caller=BOB), onward)
    await after(call("plan", caller=BOB), onward)


async def test_the_dearest_profile_of_a_path_counts_once() -> None:
    """RATE-01"""
    before, _ = limits(Hands())
    onward = Onward()
    for path, left in (("/api/reports/1", b"6"), ("/api/x", b"4"), ("/other", b"3")):
        reply: Reply = await before(arrival(caller=ALICE, path=path), onward)
        assert reply.header(b"x-ratelimit-remaining") == left
    with pytest.raises(RateLimited):
        await before(arrival(caller=ALICE, path="/api/reports/2"), onward)
    # A refusal spent nothing.
    assert (await before(arrival(caller=ALICE, path="/other"), onward)).header(b"x-ratelimit-remaining") == b"2"


@pytest.mark.parametrize("cost", [0, 11, 1_000_001])
def test_a_cost_that_fits_no_window_is_refused(cost: int) -> None:
    with pytest.raises(msgspec.ValidationError, match="cost"):
        msgspec.convert({**CONFIG, "routes": [{"match": {"tool": "x"}, "cost": cost}]}, LimitsConfig)


async def test_so_many_calls_of_one_client_are_under_way_and_no_more() -> None:
    """RATE-01, RATE-02"""
    hands = Hands()
    policy = ConcurrentCalls(2, hands.clock)
    gate = asyncio.Event()

    async def held(_: object) -> Reply:
        await gate.wait()
        return Reply(200, [])

    async def failing(_: object) -> Reply:
        raise RuntimeError

    alices = [asyncio.ensure_future(policy(arrival(caller=ALICE), held)) for _ in range(3)]
    bobs = asyncio.ensure_future(policy(arrival(caller=BOB), held))
    (refused,), _ = await asyncio.wait(alices, return_when=asyncio.FIRST_COMPLETED)
    error = refused.exception()
    assert isinstance(error, RateLimited)
    assert (error.name, error.limit, error.retry_after_s) == ("concurrent", 2, 1)
    gate.set()
    await asyncio.gather(bobs, *(each for each in alices if each is not refused))
    gate.clear()
    left = asyncio.ensure_future(policy(arrival(caller=ALICE), held))
    await asyncio.sleep(0)
    left.cancel()
    await asyncio.wait([left])
    with pytest.raises(RuntimeError):
        await policy(arrival(caller=ALICE), failing)
    assert policy._under_way == {}  # neither who leaves nor who fails keeps a place
