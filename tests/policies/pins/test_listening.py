"""A server says that it has changed, and no client listens: the node does."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from tests.policies.support import Stream, reply, sse

from mantlet.core.call import Call, Reply
from mantlet.core.caller import Caller
from mantlet.core.clock import Clock
from mantlet.core.refusal import Denied, UpstreamUnavailable
from mantlet.core.tasks import Tasks
from mantlet.policies.aggregate import source
from mantlet.policies.pins.listening import MAX_FAILURES, Listening

NODE = Caller("node", "mantlet:node", "node", kind="service")
ACKNOWLEDGED = {"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": {}}
TOOLS = {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}
OTHER = {"jsonrpc": "2.0", "method": "notifications/message", "params": {}}


class House:
    """A listener before a server that answers as a test says; what it has no answer for, it leaves open."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[Call] = []
        self.changed: list[str] = []
        self.unexpected: list[BaseException] = []
        self.is_idle = asyncio.Event()
        self.tasks = Tasks(self.unexpected.append)
        clock = Clock(lambda: 0.0, lambda: 0.0)
        self.listening = Listening(self.ask, ["one", "two"], NODE, clock, self.tasks, lambda: 0.0)
        self.listening.changed = self.changed.append

    async def ask(self, call: Call) -> Reply:
        self.asked.append(call)
        if not self.answers:
            self.is_idle.set()
            await asyncio.Event().wait()
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, Reply)
        return answer

    async def settle(self) -> None:
        for _ in range(200):
            await asyncio.sleep(0)


def stream(*messages: dict[str, Any]) -> Reply:
    return Reply(200, [(b"content-type", b"text/event-stream")], Stream(*(sse(message) for message in messages)))


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(source, "FIRST_DELAY_S", 0.0)
    return


async def test_a_change_is_told_and_nothing_else_is() -> None:
    """TOOL-01"""
    house = House(stream(ACKNOWLEDGED, OTHER, TOOLS))
    house.listening.begin("one")
    await asyncio.wait_for(house.is_idle.wait(), 5)
    assert house.changed == ["one"]
    call = house.asked[0]
    assert (call.method, call.server, call.caller) == ("subscriptions/listen", "one", NODE)
    assert call.params["notifications"]["toolsListChanged"] is True


async def test_what_may_have_changed_between_two_streams_counts_as_changed() -> None:
    house = House(stream(ACKNOWLEDGED), stream(ACKNOWLEDGED))
    house.listening.begin("one")
    await asyncio.wait_for(house.is_idle.wait(), 5)
    assert house.changed == ["one"]


async def test_a_server_is_listened_to_once_and_only_if_it_shall_be() -> None:
    house = House()
    for server in ("one", "one", "two", "program-of-each-session"):
        house.listening.begin(server)
    await house.settle()
    assert [call.server for call in house.asked] == ["one", "two"]


@pytest.mark.parametrize(
    "answers",
    [
        [Denied(why="no")],
        [reply(None, error={"code": -32601, "message": "no"})],
        [UpstreamUnavailable(why="away")] * MAX_FAILURES,
    ],
    ids=["refused", "not offered", "away"],
)
async def test_one_that_offers_none_is_let_be_until_it_is_used_again(answers: list[Any]) -> None:
    house = House(*answers)
    house.listening.begin("one")
    await house.settle()
    assert not house.answers
    assert not house.is_idle.is_set()
    house.listening.begin("one")
    await asyncio.wait_for(house.is_idle.wait(), 5)
    assert not house.unexpected
    assert house.changed == []
