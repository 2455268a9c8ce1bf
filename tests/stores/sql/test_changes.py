"""What a slow machine and a lost database look like to a process that looks once a second."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from mantlet.core.refusal import StoreUnavailable
from mantlet.stores.sql import changes as module
from mantlet.stores.sql import patience
from mantlet.stores.sql.changes import Changes
from mantlet.stores.sql.database import Database, Row

LIMIT_S = 0.2


class Answering:
    """A database that answers as a test says."""

    def __init__(self, *answers: Callable[[], Awaitable[list[Row]]]) -> None:
        self.answers = list(answers)

    async def rows(self, _statement: str, /, *_values: Any) -> list[Row]:
        return await self.answers.pop(0)()


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STALE_S", LIMIT_S)
    monkeypatch.setattr(module, "LOOK_S", 0.0)
    monkeypatch.setattr(patience, "TURN_S", LIMIT_S / 8)


async def in_a_thread() -> list[Row]:
    return await asyncio.to_thread(lambda: [("keys", 1)])


async def after_a_stall() -> list[Row]:
    """As after a pause of the process, or while others keep the loop: timers are due before the answer is taken."""
    answer = asyncio.ensure_future(in_a_thread())
    await asyncio.sleep(0)
    time.sleep(LIMIT_S * 2)
    return await answer


async def limit_of_its_own_after_a_stall() -> list[Row]:
    time.sleep(LIMIT_S * 2)
    raise StoreUnavailable(why="database: no answer in time") from TimeoutError()


async def limit_of_its_own() -> list[Row]:
    raise StoreUnavailable(why="database: no answer in time") from TimeoutError()


async def gone_after_a_stall() -> list[Row]:
    time.sleep(LIMIT_S * 2)
    raise StoreUnavailable(why="database: closed") from ConnectionError()


async def never() -> list[Row]:
    return await asyncio.get_running_loop().create_future()


def looking(*answers: Callable[[], Awaitable[list[Row]]]) -> tuple[Changes, Answering]:
    database = Answering(*answers)
    return Changes(cast(Database, database), time.monotonic), database


@pytest.mark.parametrize("answers", [(after_a_stall,), (limit_of_its_own_after_a_stall, in_a_thread)])
async def test_a_machine_that_stood_still_is_no_lost_database(
    answers: tuple[Callable[[], Awaitable[list[Row]]], ...],
) -> None:
    """What lies there is taken, or asked for once more, before anything is told lost."""
    seen, database = looking(*answers)
    await seen.look()
    assert seen.is_fresh
    assert not seen.is_failing
    assert not database.answers


@pytest.mark.parametrize("answer", [never, limit_of_its_own, gone_after_a_stall])
async def test_a_database_that_does_not_answer_is_lost(answer: Callable[[], Awaitable[list[Row]]]) -> None:
    """TOK-10"""
    seen, _ = looking(answer)
    with pytest.raises(StoreUnavailable):
        await seen.look()
    assert seen.is_failing


async def test_a_database_that_is_never_in_time_is_lost_on_a_slow_machine_too() -> None:
    """TOK-10: asking again has an end."""
    seen, database = looking(*[limit_of_its_own_after_a_stall] * 4)
    with pytest.raises(StoreUnavailable):
        await seen.look()
    assert seen.is_failing
    assert len(database.answers) == 1


async def test_who_ends_the_looking_is_obeyed() -> None:
    seen, _ = looking(never)
    task = asyncio.ensure_future(seen.look())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not seen.is_failing
