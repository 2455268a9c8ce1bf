"""The stdio door: lines over pipes, until stdin ends."""

import asyncio
import itertools
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from mantlet.core.call import Arrival, Reply
from mantlet.core.caller import Caller
from mantlet.core.clock import SYSTEM
from mantlet.core.record import Trail
from mantlet.core.refusal import Refusal
from mantlet.core.tasks import Tasks
from mantlet.listeners.messages.carrier import Terms
from mantlet.listeners.messages.conversation import Conversation
from mantlet.listeners.stdio import converse
from mantlet.wire.answer import refused

PATIENCE_S = 10.0
ALICE = Caller("alice", "test", "test")


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Both loops that the product runs on."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


class Session:
    """A client at the other ends of two pipes."""

    def __init__(self, **settings: Any) -> None:
        self.handler: Callable[[Any], Awaitable[Reply]] = self.echo
        self.cancelled = 0
        self.arrivals: list[Arrival] = []
        self.stop = asyncio.Event()
        self.tasks = Tasks(lambda error: None)
        self.settings = {"max_line_bytes": 10_000} | settings
        ids = itertools.count(1)
        self.terms = Terms(
            handler=self._handle,
            refuse=self._refuse,
            clock=SYSTEM,
            tasks=self.tasks,
            new_id=lambda: f"r{next(ids)}",
            on_error=lambda error, _: None,
            door="stdio",
        )
        theirs_in, self.stdin = os.pipe()
        self.stdout, theirs_out = os.pipe()
        self.ends = (theirs_in, theirs_out)
        self.task: asyncio.Task[None]

    def start(self) -> "Session":
        incoming, outgoing = self.ends
        work = converse(
            self.terms, ALICE, "/mcp", incoming=incoming, outgoing=outgoing, stop=self.stop, **self.settings
        )
        self.task = self.tasks.start(work, "converse")
        return self

    async def echo(self, message: Any) -> Reply:
        if "id" not in message:
            return Reply(202, [])
        body = {"jsonrpc": "2.0", "id": message["id"], "result": message.get("params")}
        return Reply(200, [], json.dumps(body, indent=1).encode())

    async def _handle(self, arrival: Arrival) -> Reply:
        self.arrivals.append(arrival)
        try:
            return await self.handler(json.loads(await arrival.read()))
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    async def _refuse(self, trail: Trail, refusal: Refusal) -> Reply:
        return refused(refusal, trail)

    def say(self, **message: Any) -> None:
        os.write(self.stdin, json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")

    async def lines(self) -> list[Any]:
        """Everything that is said until the end."""

        def read() -> bytes:
            with os.fdopen(self.stdout, "rb") as stdout:
                return stdout.read()

        async with asyncio.timeout(PATIENCE_S):
            said = await asyncio.to_thread(read)
            await self.task
        assert said.endswith(b"\n") or not said
        return [json.loads(line) for line in said.splitlines()]


async def test_what_was_asked_is_answered_and_the_end_of_stdin_is_the_end() -> None:
    session = Session().start()
    session.say(id=1, method="ping", params={"a": "\n"})
    session.say(method="notifications/progress")
    session.say(id=2, method="ping")
    os.close(session.stdin)
    assert [line["id"] for line in await session.lines()] == [1, 2]
    assert session.arrivals[0].caller is ALICE
    assert session.arrivals[0].peer == "local"


async def test_what_is_under_way_when_stdin_ends_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """`cat file | mantlet stdio`: also what takes longer than the end of a session may."""
    monkeypatch.setattr("mantlet.listeners.stdio.door.END_S", 0.01)
    session = Session()
    leaving = asyncio.Event()
    conversation_leaves = Conversation.leave

    def leave(conversation: Conversation) -> None:
        conversation_leaves(conversation)
        leaving.set()

    async def slow(message: Any) -> Reply:
        await leaving.wait()
        await asyncio.sleep(0.05)
        return await session.echo(message)

    monkeypatch.setattr(Conversation, "leave", leave)
    session.handler = slow
    session.start()
    session.say(id=1, method="tools/call")
    session.say(id=2, method="tools/call")
    os.close(session.stdin)
    assert [line["id"] for line in await session.lines()] == [1, 2]
    assert session.cancelled == 0


async def hang(_: Any) -> Reply:
    await asyncio.Event().wait()
    raise AssertionError


async def test_what_is_not_answered_by_its_deadline_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mantlet.listeners.stdio.door.END_S", 0.01)
    session = Session()
    session.terms.request_timeout_s = 0.05
    session.handler = hang
    session.start()
    session.say(id=1, method="tools/call")
    os.close(session.stdin)
    assert await session.lines() == []
    assert session.cancelled == 1


async def test_a_client_that_is_gone_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mantlet.listeners.stdio.door.END_S", 0.01)
    session = Session()
    session.handler = hang
    session.start()
    session.say(id=1, method="tools/call")
    os.close(session.stdin)
    os.close(session.stdout)
    async with asyncio.timeout(PATIENCE_S):
        await session.task
    assert session.cancelled == 1


async def test_being_told_to_stop_ends_what_is_under_way_too() -> None:
    session = Session()
    session.handler = hang
    session.start()
    session.say(id=1, method="tools/call")
    os.close(session.stdin)
    async with asyncio.timeout(PATIENCE_S):
        while not session.arrivals:
            await asyncio.sleep(0)
    session.stop.set()
    assert await session.lines() == []


async def test_being_told_to_stop_ends_it() -> None:
    session = Session().start()
    session.say(id=1, method="ping")
    async with asyncio.timeout(PATIENCE_S):
        while not session.arrivals:
            await asyncio.sleep(0)
    session.stop.set()
    await session.lines()
    os.close(session.stdin)


async def test_a_line_that_is_too_long_is_told_and_ends_it() -> None:
    session = Session(max_line_bytes=2000).start()
    os.write(session.stdin, b"x" * 5000)
    assert [line["error"]["code"] for line in await session.lines()] == [4413]
    os.close(session.stdin)


async def test_a_client_that_closes_stdout_ends_it() -> None:
    session = Session().start()
    os.close(session.stdout)
    session.say(id=1, method="ping")
    async with asyncio.timeout(PATIENCE_S):
        await session.task
    os.close(session.stdin)


async def test_files_stand_in_for_pipes(tmp_path: Path) -> None:
    (tmp_path / "in").write_text('{"jsonrpc":"2.0","id":1,"method":"ping"}\n' * 1)
    session = Session()
    incoming = os.open(tmp_path / "in", os.O_RDONLY)
    outgoing = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT, 0o600)
    for end in (*session.ends, session.stdin, session.stdout):
        os.close(end)
    session.ends = (incoming, outgoing)
    session.start()
    async with asyncio.timeout(PATIENCE_S):
        await session.task
        while not (tmp_path / "out").read_bytes().endswith(b"\n"):
            await asyncio.sleep(0.01)  # the copying thread ends on its own
    assert json.loads((tmp_path / "out").read_text())["id"] == 1
