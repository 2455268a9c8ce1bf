"""Calls that wait, with a book that several processes keep, and time in the test's hand."""

import asyncio
import os
from typing import Any

import pytest
from tests.policies.support import ALICE, BOB, Onward, call

from mantlet.core.call import Call
from mantlet.core.clock import Clock
from mantlet.core.refusal import (
    ApprovalDenied,
    ApprovalExpired,
    ApprovalPending,
    Denied,
    Killed,
    Overloaded,
    Refusal,
)
from mantlet.keys.seal import NodeSealer
from mantlet.policies.approvals import book as books
from mantlet.policies.approvals.asked import Request
from mantlet.policies.approvals.book import Book
from mantlet.policies.approvals.policy import Approvals
from mantlet.policies.authorize.compiling import patterns
from mantlet.stores.state import MemoryState


class World:
    """One store, some processes with a book each."""

    def __init__(self, *, hold_s: float = 30.0) -> None:
        self.now_s = 900.0
        clock = Clock(lambda: self.now_s, lambda: self.now_s)
        self.state = MemoryState(clock)
        self.sealer = NodeSealer([os.urandom(32)])
        self.definition = "sha256:d"
        self.announced: list[Request] = []
        self.asked = asyncio.Event()
        self.stop: Refusal | None = None
        self.books = [self._book(clock) for _ in range(2)]
        matches = patterns(["rm*", "one__drop"])
        assert matches is not None
        self.steps = [
            Approvals(
                book,
                matches,
                clock=clock,
                timeout_s=100.0,
                hold_s=hold_s,
                definition_of=lambda server, tool: self.definition,
                announce=self._announce,
                recheck=self._recheck,
            )
            for book in self.books
        ]

    def _book(self, clock: Clock) -> Book:
        return Book(self.state, self.sealer, clock, validity_s=100.0, timeout_s=100.0)

    def _announce(self, request: Request) -> None:
        self.announced.append(request)
        self.asked.set()

    def _recheck(self, item: Call) -> None:
        if self.stop is not None:
            raise self.stop

    async def decide(self, allows: bool, *, process: int = 0) -> None:
        await self.books[process].decide(self.announced[-1], allows=allows, by="root", note="")

    async def refused(self, item: Call, kind: type[Refusal], *, process: int = 0) -> Refusal:
        onward = Onward()
        with pytest.raises(kind) as refused:
            await self.steps[process](item, onward)
        assert onward.reached == []
        assert type(refused.value) is kind
        return refused.value

    async def passes(self, item: Call, *, process: int = 0) -> None:
        onward = Onward()
        await self.steps[process](item, onward)
        assert onward.reached == [item]


def rm(path: str = "/a", **more: Any) -> Call:
    return call("tools/call", {"name": "rm", "arguments": {"path": path}}, **more)


@pytest.mark.parametrize(
    "item",
    [call("tools/call", {"name": "echo"}), call("prompts/get", {"name": "rm"}), call("tools/list"),
     call("tools/call", {"name": "drop"}, server="two")],
)  # fmt: skip
async def test_what_needs_no_approval_passes(item: Call) -> None:
    world = World()
    await world.passes(item)
    assert not world.announced


async def test_a_call_waits_and_passes_when_a_human_says_yes() -> None:
    """AUTHZ-09"""
    world, item, onward = World(), rm(), Onward()
    waiting = asyncio.ensure_future(world.steps[0](item, onward))
    await world.asked.wait()
    assert onward.reached == []
    await world.decide(True)
    await waiting
    assert onward.reached == [item]
    assert item.trail.notes == {"approval": world.announced[0].id, "approved_by": "root"}


async def test_a_call_waits_and_is_refused_when_a_human_says_no() -> None:
    world, onward = World(), Onward()
    waiting = asyncio.ensure_future(world.steps[0](rm(), onward))
    await world.asked.wait()
    await world.decide(False)
    with pytest.raises(ApprovalDenied):
        await waiting
    assert onward.reached == []
    await world.refused(rm(), ApprovalDenied)
    assert len(world.announced) == 1


async def test_a_call_that_is_not_held_is_told_which_request_and_passes_when_it_comes_again_once() -> None:
    """AUTHZ-09: used once; a changed or replayed call is refused."""
    world = World(hold_s=0)
    pending = await world.refused(rm(), ApprovalPending)
    assert pending.data == {"approval": world.announced[0].id, "expires": 1000}
    assert pending.retryable
    await world.refused(rm(), ApprovalPending)
    assert len(world.announced) == 1
    await world.decide(True)
    await world.refused(rm("/b"), ApprovalPending)
    await world.refused(rm(caller=BOB), ApprovalPending)
    await world.refused(rm(server="two"), ApprovalPending)
    await world.passes(rm(), process=1)
    await world.refused(rm(), ApprovalPending)
    assert [request.params for request in world.announced] == [
        '{"arguments":{"path":"/a"},"name":"rm"}',
        '{"arguments":{"path":"/b"},"name":"rm"}',
        '{"arguments":{"path":"/a"},"name":"rm"}',
        '{"arguments":{"path":"/a"},"name":"rm"}',
        '{"arguments":{"path":"/a"},"name":"rm"}',
    ]


async def test_of_two_identical_calls_that_wait_one_passes() -> None:
    """AUTHZ-09"""
    world, onward = World(), Onward()
    waiting = [asyncio.ensure_future(world.steps[0](rm(), onward)) for _ in range(2)]
    await world.asked.wait()
    while world.steps[0].held < 2:
        await asyncio.sleep(0)
    await world.decide(True)
    done = await asyncio.gather(*waiting, return_exceptions=True)
    assert len(onward.reached) == 1
    assert sorted(type(one).__name__ for one in done) == ["ApprovalDenied", "Reply"]


async def test_a_yes_has_its_time_and_a_question_too() -> None:
    """AUTHZ-09"""
    world = World(hold_s=0)
    await world.refused(rm(), ApprovalPending)
    world.now_s += 101
    await world.refused(rm(), ApprovalPending)
    assert len(world.announced) == 2
    await world.decide(True)
    world.now_s += 101
    await world.refused(rm(), ApprovalPending)
    assert len(world.announced) == 3


async def test_a_question_that_nobody_answers_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(hold_s=1000)

    async def time_passes(request: Request, seconds: float) -> None:
        world.now_s += 50

    monkeypatch.setattr(world.books[0], "wait", time_passes)
    item = rm()
    item.deadline_s = 5000
    await world.refused(item, ApprovalExpired)
    late = rm("/late")
    late.deadline_s = world.now_s + 40
    await world.refused(late, ApprovalPending)


async def test_a_definition_that_changes_in_the_meantime_ends_it() -> None:
    """AUTHZ-09"""
    world, onward = World(), Onward()
    waiting = asyncio.ensure_future(world.steps[0](rm(), onward))
    await world.asked.wait()
    world.definition = "sha256:e"
    await world.decide(True)
    with pytest.raises(ApprovalDenied):
        await waiting
    assert onward.reached == []
    idle = World(hold_s=0)
    await idle.refused(rm(), ApprovalPending)
    await idle.decide(True)
    idle.definition = "sha256:e"
    await idle.refused(rm(), ApprovalPending)


async def test_what_was_stopped_while_it_waited_is_stopped() -> None:
    world, onward = World(), Onward()
    waiting = asyncio.ensure_future(world.steps[0](rm(), onward))
    await world.asked.wait()
    world.stop = Killed("caller")
    await world.decide(True)
    with pytest.raises(Killed):
        await waiting
    assert onward.reached == []


async def test_what_nobody_can_read_cannot_be_approved() -> None:
    refusal = await World().refused(rm("x" * 50_000), Denied)
    assert "50037 characters" in refusal.why


async def test_requests_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(hold_s=0)
    for number in range(books.MAX_OPEN_PER_CALLER):
        await world.refused(rm(str(number)), ApprovalPending)
    await world.refused(rm("more"), Overloaded)
    await world.refused(rm("0"), ApprovalPending)
    await world.refused(rm("more", caller=BOB), ApprovalPending)
    monkeypatch.setattr(books, "MAX_OPEN", books.MAX_OPEN_PER_CALLER + 1)
    await world.refused(rm("most", caller=BOB), Overloaded)


async def test_whoever_writes_the_store_makes_no_decision() -> None:
    world = World(hold_s=0)
    await world.refused(rm("/a"), ApprovalPending)
    await world.refused(rm("/b", caller=BOB), ApprovalPending)
    one, other = world.announced
    await world.books[0].decide(one, allows=True, by="root", note="")
    forged = await world.state.get(("approval", "decision", one.id))
    assert forged is not None
    assert b"root" not in forged
    await world.state.put(("approval", "decision", other.id), forged, 100.0)
    await world.refused(rm("/b", caller=BOB), ApprovalPending)


async def test_the_list_shows_how_each_stands() -> None:
    world = World(hold_s=0)
    for path in ("/a", "/b", "/c"):
        await world.refused(rm(path), ApprovalPending)
    await world.books[1].decide(world.announced[0], allows=True, by="root", note="")
    await world.books[1].decide(world.announced[1], allows=False, by="root", note="")
    again = await world.books[0].decide(world.announced[1], allows=True, by="root", note="")
    assert not again.allows
    await world.passes(rm("/a", caller=ALICE))
    assert [state for _, state in await world.books[1].all()] == ["pending", "denied", "used"]
