import asyncio
from asyncio import Future
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.core.body import Body

from mantlet.core.call import Arrival, Reply
from mantlet.core.clock import Clock
from mantlet.core.headers import Headers
from mantlet.core.record import Record, Trail
from mantlet.core.refusal import AuditUnavailable, Denied, ReceiptTimeout, Refusal
from mantlet.policies.record.policy import RecordPolicy


class Book:
    """A journal in memory. `fails` makes appends fail; `gate` makes them wait."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.is_able = True
        self.fails = False
        self.gate: Future[None] | None = None

    def append(self, record: Record, /) -> Future[None]:
        done: Future[None] = asyncio.get_running_loop().create_future()
        if self.fails:
            raise AuditUnavailable
        self.records.append(record)
        if self.gate is not None:
            return self.gate
        done.set_result(None)
        return done


class Counts:
    def __init__(self) -> None:
        self.in_flight = 0
        self.records: list[Record] = []
        self.lost = 0
        self.began: list[Trail] = []
        self.streams: list[tuple[float, int]] = []

    def ended(self, record: Record, /) -> None:
        self.records.append(record)

    def unrecorded(self) -> None:
        self.lost += 1

    def stream_began(self, trail: Trail, /) -> None:
        self.began.append(trail)

    def stream_ended(self, trail: Trail, duration_s: float, sent_bytes: int, /) -> None:
        self.streams.append((duration_s, sent_bytes))


class Ticks:
    """Each look at the clock is a second later."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        self.now_s += 1
        return self.now_s


async def body() -> bytes:
    return b""


def arrival() -> Arrival:
    return Arrival("POST", "/mcp", b"", Headers(), "192.0.2.1", body, 9e9, Trail("r", "http", "192.0.2.1", 1.0))


class Stage:
    def __init__(self, **settings: Any) -> None:
        self.book, self.counts, self.reached = Book(), Counts(), 0
        self.policy = RecordPolicy(self.book, self.counts, Clock(Ticks(), Ticks()), **settings)

    async def run(self, outcome: Reply | BaseException) -> Reply:
        async def onward(item: Arrival) -> Reply:
            self.reached += 1
            assert self.counts.in_flight == 1
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        try:
            return await self.policy(arrival(), onward)
        finally:
            assert self.counts.in_flight == 0


async def test_a_reply_is_recorded_once_before_it_is_handed_back() -> None:
    """AUD-01, AUD-02"""
    stage = Stage()
    stage.book.gate = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(stage.run(Reply(200, [], b"ok")))
        while not stage.book.records:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not task.done()
        stage.book.gate.set_result(None)
    assert task.result().body == b"ok"
    (record,) = stage.book.records
    assert (record.verdict, record.status, record.duration_s, record.event) == ("allow", 200, 1.0, "call")
    assert stage.counts.records == [record]


async def test_a_refusal_is_recorded_once_and_raised_again() -> None:
    """AUD-01"""
    stage, refusal = Stage(), Denied("no", why="no rule matched")
    with pytest.raises(Denied) as raised:
        await stage.run(refusal)
    assert raised.value is refusal
    (record,) = stage.book.records
    assert (record.verdict, record.reason, record.why, record.status) == ("deny", "denied", "no rule matched", 403)


async def test_an_unexpected_error_is_recorded_and_becomes_a_plain_refusal() -> None:
    """ERR-02, AUD-06"""
    stage = Stage()
    with pytest.raises(Refusal) as raised:
        await stage.run(KeyError("canary-4f1c9b72"))
    assert type(raised.value) is Refusal
    assert isinstance(raised.value.__cause__, KeyError)
    assert "canary" not in raised.value.why + raised.value.detail
    (record,) = stage.book.records
    assert (record.verdict, record.status, record.severity) == ("error", 500, "critical")


async def test_a_client_that_left_is_recorded_without_waiting() -> None:
    """AUD-01"""
    stage = Stage()
    stage.book.gate = asyncio.get_running_loop().create_future()  # never done
    with pytest.raises(asyncio.CancelledError):
        await stage.run(asyncio.CancelledError())
    (record,) = stage.book.records
    assert (record.verdict, record.reason, record.status) == ("error", "client_closed_request", 499)
    stage.book.fails = True
    with pytest.raises(asyncio.CancelledError):
        await stage.run(asyncio.CancelledError())


async def test_nothing_is_begun_while_records_cannot_be_written() -> None:
    """AUD-02"""
    stage = Stage()
    stage.book.is_able = False
    with pytest.raises(AuditUnavailable):
        await stage.run(Reply(200, [], b"ok"))
    assert stage.reached == 0
    assert [record.reason for record in stage.counts.records] == ["audit_unavailable"]


@pytest.mark.parametrize("outcome", [Reply(200, [], b"ok"), Denied()])
async def test_what_could_not_be_recorded_is_not_acknowledged(outcome: Any) -> None:
    """AUD-02"""
    stage = Stage()
    stage.book.fails = True
    with pytest.raises(AuditUnavailable):
        await stage.run(outcome)
    assert [record.reason for record in stage.counts.records] == ["audit_unavailable"]


async def test_work_goes_on_without_records_only_by_name_and_never_in_production() -> None:
    """AUD-02"""
    stage = Stage(must_record=False, environment="development")
    stage.book.fails, stage.book.is_able = True, False
    assert (await stage.run(Reply(200, [], b"ok"))).body == b"ok"
    assert stage.counts.lost == 1
    stage = Stage(must_record=False, environment="production")
    stage.book.fails = True
    with pytest.raises(AuditUnavailable):
        await stage.run(Reply(200, [], b"ok"))


async def test_a_stream_is_recorded_at_its_head_and_counted_at_its_end() -> None:
    """AUD-02"""
    stage = Stage()
    reply = await stage.run(Reply(200, [], Body(b"ab", b"cde")))
    assert len(stage.book.records) == 1
    assert isinstance(reply.body, AsyncIterator)
    assert stage.counts.streams == []
    assert [chunk async for chunk in reply.body] == [b"ab", b"cde"]
    assert [sent for _, sent in stage.counts.streams] == [5]
    assert len(stage.book.records) == 1
    assert len(stage.counts.began) == 1


async def test_closing_a_stream_closes_the_one_behind_it() -> None:
    stage, behind = Stage(), Body(b"ab", b"cde")
    reply: Any = await stage.run(Reply(200, [], behind))
    assert await anext(reply.body) == b"ab"
    await reply.body.aclose()
    assert behind.is_closed
    assert [sent for _, sent in stage.counts.streams] == [2]


async def test_a_stream_that_could_not_be_recorded_is_closed() -> None:
    """AUD-02"""
    stage, behind = Stage(), Body(b"ab")
    stage.book.fails = True
    with pytest.raises(AuditUnavailable):
        await stage.run(Reply(200, [], behind))
    assert behind.is_closed
    assert stage.counts.began == []


async def test_a_stream_whose_client_leaves_while_its_record_is_written_is_closed() -> None:
    stage, behind = Stage(), Body(b"ab")
    stage.book.gate = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(stage.run(Reply(200, [], behind)))
        while not stage.book.records:
            await asyncio.sleep(0)
        task.cancel()
    assert task.cancelled()
    assert behind.is_closed
    assert len(stage.book.records) == 1


async def test_a_listeners_own_refusal_is_recorded() -> None:
    """AUD-01"""
    stage = Stage()
    await stage.policy.refused(Trail("r2", "http", "192.0.2.1", 1.0), Denied())
    assert [record.trail.request_id for record in stage.book.records] == ["r2"]
    stage.book.fails = True
    with pytest.raises(AuditUnavailable):
        await stage.policy.refused(Trail("r3", "http", "192.0.2.1", 1.0), Denied())


async def test_what_a_listener_closed_without_a_word_is_recorded_and_nobody_waits() -> None:
    """AUD-01"""
    stage = Stage()
    stage.policy.unanswered(Trail("r2", "http", "192.0.2.1", 1.0), ReceiptTimeout())
    assert [(record.trail.request_id, record.reason) for record in stage.book.records] == [("r2", "receipt_timeout")]
    stage.book.fails = True
    stage.policy.unanswered(Trail("r3", "http", "192.0.2.1", 1.0), ReceiptTimeout())
    assert stage.counts.lost == 1
