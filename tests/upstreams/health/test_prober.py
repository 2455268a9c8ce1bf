import asyncio
from collections.abc import Callable

import pytest

from mantlet.core.refusal import BadUpstream
from mantlet.upstreams.health import prober
from mantlet.upstreams.health.config import HealthConfig
from mantlet.upstreams.health.prober import Prober

QUICK = HealthConfig(interval=0.02, timeout=0.01, recheck=0.01)
LONG = HealthConfig(interval=3600, timeout=5, recheck=3600)


async def fine(_timeout_s: float) -> None:
    return


async def bad(_timeout_s: float) -> None:
    raise BadUpstream(why="it answered 500")


async def hung(_timeout_s: float) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize(("probe", "why"), [(fine, ""), (bad, "it answered 500"), (hung, "no answer within 0.01 s")])
async def test_a_probe_has_an_outcome(probe: prober.Probe, why: str) -> None:
    """RES-06"""
    assert await Prober(probe, QUICK, lambda why: False, chance=lambda: 0.5).ask() == why


async def test_it_asks_again_and_again() -> None:
    heard: list[str] = []
    enough = asyncio.Event()

    def told(why: str) -> bool:
        heard.append(why)
        if len(heard) == 3:
            enough.set()
        return False

    running = asyncio.ensure_future(Prober(bad, QUICK, told, chance=lambda: 0.5).run())
    await enough.wait()
    running.cancel()
    assert heard == ["it answered 500"] * 3


async def test_a_probe_that_breaks_does_not_end_the_watch() -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def broken(_timeout_s: float) -> None:
        raise ZeroDivisionError

    def told(why: str) -> bool:
        heard.put_nowait(why)
        return True

    running = asyncio.ensure_future(Prober(broken, QUICK, told, chance=lambda: 0.5).run())
    assert [await heard.get() for _ in range(2)] == ["the probe failed: ZeroDivisionError"] * 2
    running.cancel()


async def test_a_call_that_failed_makes_it_ask_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prober, "MIN_GAP_S", 0.0)
    heard: asyncio.Queue[str] = asyncio.Queue()

    def told(why: str) -> bool:
        heard.put_nowait(why)
        return False

    one = Prober(fine, LONG, told, chance=lambda: 0.5)
    running = asyncio.ensure_future(one.run())
    await heard.get()
    one.doubt()
    await heard.get()  # and not in an hour
    running.cancel()
    assert one.probes == 2


@pytest.mark.parametrize(
    ("is_in_doubt", "chance", "expected_s"), [(False, 0.5, 30), (True, 0.5, 5), (False, 0.0, 27), (False, 1.0, 33)]
)
async def test_how_long_it_waits(
    monkeypatch: pytest.MonkeyPatch, is_in_doubt: bool, chance: float, expected_s: float
) -> None:
    waits: list[float] = []
    rest: Callable[[float], asyncio.Timeout] = asyncio.timeout

    def noted(seconds: float) -> asyncio.Timeout:
        waits.append(seconds)
        return rest(seconds)

    async def no_time(seconds: float) -> None:
        waits.append(seconds)

    one = Prober(fine, HealthConfig(), lambda why: is_in_doubt, chance=lambda: chance)
    monkeypatch.setattr(asyncio, "timeout", noted)
    monkeypatch.setattr(asyncio, "sleep", no_time)
    running = asyncio.ensure_future(one.run())
    while len(waits) < 3:
        await asyncio.get_running_loop().run_in_executor(None, lambda: None)
    running.cancel()
    timeout_s, gap_s, wait_s = waits[:3]
    assert timeout_s == 5
    assert gap_s + wait_s == pytest.approx(expected_s)
