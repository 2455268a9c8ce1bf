"""Exchanging workers as whoever asks for it sees it; the exchange itself is a gate in the test's hand."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from mantlet.core.config_error import ConfigError
from mantlet.core.record import Record
from mantlet.core.refusal import AuditUnavailable
from mantlet.core.tasks import Tasks
from mantlet.node.running.restart import Restart


class Journal:
    is_able = True

    def __init__(self) -> None:
        self.records: list[Record] = []

    def append(self, record: Record, /) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.is_able:
            self.records.append(record)
            future.set_result(None)
        else:
            future.set_exception(AuditUnavailable())
        return future


class Exchange:
    def __init__(self) -> None:
        self.gate, self.times, self.error = asyncio.Event(), 0, None
        self.journal = Journal()
        self.restart = Restart(self, 2, self.journal, Tasks(lambda error: None))
        self.error: Exception | None

    async def __call__(self, done: Callable[[int], object]) -> None:
        self.times += 1
        done(1)
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        done(2)

    async def ended(self) -> dict[str, Any]:
        self.gate.set()
        while self.restart.told()["state"] == "under way":
            await asyncio.sleep(0)
        return self.restart.told()


async def test_what_is_asked_for_anew_is_done_once_more_after_the_one_under_way() -> None:
    """Its first workers may have started before what has changed since."""
    exchange = Exchange()
    await exchange.restart.begin("olga")
    while not exchange.times:
        await asyncio.sleep(0)
    await exchange.restart.anew("otto")
    await exchange.restart.anew("otto")
    assert (await exchange.ended())["state"] == "done"
    assert exchange.times == 2
    await exchange.restart.anew("otto")
    await exchange.ended()
    assert exchange.times == 3


async def test_it_is_recorded_done_once_at_a_time_and_told() -> None:
    """AUD-02"""
    exchange = Exchange()
    assert exchange.restart.told()["state"] == "none"
    assert (await exchange.restart.begin("olga"))["state"] == "under way"
    assert (await exchange.restart.begin("otto"))["state"] == "under way"
    assert await exchange.ended() == {"state": "done", "replaced": 2, "of": 2, "why": ""}
    assert exchange.times == 1
    assert [(record.event, record.trail.principal) for record in exchange.journal.records] == [
        ("workers.replaced", "olga")
    ]
    await exchange.restart.begin("otto")
    await exchange.ended()
    assert exchange.times == 2


@pytest.mark.parametrize(
    ("error", "why"),
    [(ConfigError("workers", "does not come up"), "workers: does not come up"), (ValueError("x"), "ValueError")],
)
async def test_what_goes_wrong_is_told(error: Exception, why: str) -> None:
    exchange = Exchange()
    exchange.error = error
    await exchange.restart.begin("olga")
    assert await exchange.ended() == {"state": "failed", "replaced": 1, "of": 2, "why": why}


async def test_what_cannot_be_recorded_is_not_done() -> None:
    """AUD-02"""
    exchange = Exchange()
    exchange.journal.is_able = False
    with pytest.raises(AuditUnavailable):
        await exchange.restart.begin("olga")
    assert (exchange.times, exchange.restart.told()["state"]) == (0, "none")
