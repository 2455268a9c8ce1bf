"""A message that had an answer twice is known with its key, and nothing that the key depends on goes unseen."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.policies.cache.support import House, answer, house, tool, turns
from tests.policies.support import ALICE, BOB

from mantlet.core.call import Call
from mantlet.core.caller import Caller
from mantlet.core.said import Said
from mantlet.policies.cache import policy

SAME_RIGHTS = Caller("alice", "iss", "bearer", roles=frozenset({"user"}), credential_id="another")


class Messages:
    """As the reader of messages gives them: one object for all that are equal but for their id."""

    def __init__(self) -> None:
        self.kept = 0
        self.said = Said(tool().params, self)

    def keep(self, call: Call) -> None:
        assert call.said is self.said
        self.kept += 1

    def call(self, raw_id: bytes = b"1", caller: Caller = ALICE, **of: Any) -> Call:
        call = tool(raw_id=raw_id, caller=caller, **of)
        return replace(call, said=self.said, params=self.said.params)


async def known(h: House, messages: Messages) -> None:
    for number in range(3):
        await h.ask(messages.call(b"%d" % number))
    assert (h.calls, h.counted) == (1, ["miss", "hit", "hit"])
    assert messages.said.found


async def test_it_is_answered_under_its_own_id_and_noted() -> None:
    """CACHE-01"""
    messages = Messages()
    async with house() as h:
        await known(h, messages)
        call = messages.call(b'"four"')
        assert (await h.ask(call))["id"] == "four"
        assert (call.trail.notes, h.calls, h.cache.figures.hits) == ({"cache": "hit"}, 1, 3)
        assert messages.kept >= 1


async def test_a_fetched_answer_alone_keeps_nothing() -> None:
    """What is asked once is not worth the memory."""
    messages = Messages()
    async with house() as h:
        await h.ask(messages.call())
        assert (messages.kept, messages.said.found) == (0, None)


@pytest.mark.parametrize("caller", [BOB, SAME_RIGHTS])
async def test_another_caller_of_the_same_words_asks_for_itself(caller: Caller) -> None:
    """CACHE-01: another credential is another authorization context."""
    messages = Messages()
    async with house() as h:
        await known(h, messages)
        await h.ask(messages.call(caller=caller))
        assert h.calls == 2


Change = Callable[[House], None]


@pytest.mark.parametrize(
    "change",
    [
        lambda h: setattr(h, "revision", "r2"),
        lambda h: setattr(h, "pin", "p2"),
        lambda h: h.cache.forget("one/tools"),
        lambda h: h.cache.forget(""),
        lambda h: setattr(h, "now_s", 1e9),
        lambda h: h.cache.memory.clear(),
    ],
    ids=["configuration", "pin", "list changed", "purge", "time", "room"],
)
async def test_what_makes_an_answer_old_is_seen(change: Change) -> None:
    """CACHE-05"""
    messages = Messages()
    async with house() as h:
        await known(h, messages)
        change(h)
        await h.ask(messages.call())
        assert h.calls == 2
        await h.ask(messages.call())
        await h.ask(messages.call())
        assert h.calls == 2


async def test_a_call_that_a_step_has_changed_is_another_question() -> None:
    """CACHE-01: what a filter took out, or another server's name, is part of what is asked."""
    messages = Messages()
    async with house(tools=["one__search", "two__search"]) as h:
        await known(h, messages)
        changed = tool(params={"arguments": {"q": "y"}})
        for call in (
            replace(messages.call(), params=changed.params, body=changed.body),
            replace(messages.call(), server="two"),
        ):
            before = h.calls
            await h.ask(call)
            assert h.calls == before + 1


async def test_a_call_that_a_human_approved_or_that_takes_no_json_goes_on() -> None:
    """CACHE-02"""
    messages = Messages()
    async with house() as h:
        await known(h, messages)
        approved = messages.call()
        approved.trail.notes["approval"] = "a1"
        await h.ask(approved)
        await h.ask(messages.call(fields=[(b"accept", b"text/event-stream")]))
        assert h.calls == 3


async def test_an_early_refresh_still_happens() -> None:
    """CACHE-04"""
    messages = Messages()
    async with house(ttl=10) as h:
        h.server.reply = lambda call: _slowly(h, call)
        await known(h, messages)
        h.now_s, h.chance = 10.9, 0.9
        await h.ask(messages.call())
        await turns()
        assert h.calls == 2


def _slowly(h: House, call: Call) -> Any:
    h.now_s += 1.0
    return answer(call, h.server.result)


async def test_how_many_callers_of_one_message_are_known_is_bounded() -> None:
    """CACHE-05"""
    messages = Messages()
    async with house() as h:
        for number in range(3 * policy.MAX_CALLERS):
            caller = Caller(f"c{number}", "iss", "bearer", credential_id=f"{number}")
            for _ in range(3):
                await h.ask(messages.call(caller=caller))
        assert messages.said.found is not None
        (found,) = messages.said.found.values()
        assert len(found) <= policy.MAX_CALLERS
        assert h.calls == 3 * policy.MAX_CALLERS
