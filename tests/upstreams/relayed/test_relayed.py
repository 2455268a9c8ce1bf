"""Workers that share a server which another process owns: here all in one process, with nothing shared but a socket."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.upstreams.transports.channel.isolated.support import Stream, begin, listen, response
from tests.upstreams.transports.channel.support import (
    PlainSealer,
    call,
    events_of,
    initialize,
    messages,
    server_command,
    spawning,
    text_of,
    tool,
    until,
)

from mantlet.core.call import Call, Reply
from mantlet.core.caller import Caller
from mantlet.core.headers import Headers
from mantlet.core.refusal import (
    BadUpstream,
    DeadlineExceeded,
    EraUnavailable,
    InvalidParams,
    MethodNotAllowed,
    Overloaded,
    Refusal,
    ResourceNotFound,
    SessionNotFound,
    UpstreamUnavailable,
)
from mantlet.upstreams.relayed import refusals
from mantlet.upstreams.relayed.frames import Chunk, FrameSplitter, framed, read_at_worker
from mantlet.upstreams.relayed.owner import WINDOW_BYTES, Owner
from mantlet.upstreams.relayed.upstream import RelayedUpstream
from mantlet.upstreams.relayed.upstream import asked as relayed_frame
from mantlet.upstreams.transports.channel.config import RestartConfig
from mantlet.upstreams.transports.channel.isolated.asks import MAX_OPEN
from mantlet.upstreams.transports.channel.isolated.server import IsolatedServer
from mantlet.upstreams.transports.channel.opening import WrongEra
from mantlet.upstreams.transports.channel.server import ChannelServer
from mantlet.upstreams.transports.stdio.config import StdioServerConfig


@asynccontextmanager
async def house(
    era: str, tmp_path: Path, workers: int = 2, isolation: str = "shared"
) -> AsyncIterator[tuple[Any, list[RelayedUpstream]]]:
    """An owner and its workers."""
    config = StdioServerConfig(
        name="test",
        command=server_command("lines.py", "--era", era),
        isolation=isolation,  # type: ignore[arg-type]
        restart=RestartConfig(backoff=0.05, max=0.5),
        stop_timeout=1.0,
    )
    async with AsyncExitStack() as stack:
        kind = IsolatedServer if isolation == "session" else ChannelServer
        server = kind(config, PlainSealer(), spawning(config))
        await server.start()
        stack.push_async_callback(server.close)
        yield server, await joined(server, tmp_path, stack, workers)


async def joined(server: Any, tmp_path: Path, stack: AsyncExitStack, workers: int = 1) -> list[RelayedUpstream]:
    """Workers of an upstream's owner."""
    path = str(tmp_path / "s")
    owner = Owner(server)
    await owner.start(path)
    stack.push_async_callback(owner.close)
    others = [RelayedUpstream("test", path) for _ in range(workers)]
    for other in others:
        stack.push_async_callback(other.close)
    return others


class Fake:
    """An upstream that does what the test says."""

    name = "test"

    def __init__(self, answer: Any) -> None:
        self._answer = answer
        self.calls: list[Call] = []
        self.cancelled = 0

    async def send(self, call: Call, /) -> Reply:
        self.calls.append(call)
        try:
            return await self._answer(call)  # type: ignore[no-any-return]
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    async def health(self) -> Mapping[str, Any]:
        return {"name": "test", "state": "healthy"}


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_equal_ids_of_several_workers_never_meet(tmp_path: Path, era: str) -> None:
    """MCP-05"""
    async with house(era, tmp_path, 3) as (server, workers):
        session = await initialize(workers[0]) if era == "legacy" else ""  # good on every worker

        async def one(worker: RelayedUpstream, n: int) -> Any:
            held = tool("hold", {"tag": n}, id=1, era=era, session=session, meta={"progressToken": 1})
            return await events_of(await worker.send(held))

        async with asyncio.TaskGroup() as group:
            held = [group.create_task(one(workers[n % 3], n)) for n in range(90)]
            await until(lambda: server._primary.link is not None and len(server._primary.link.mux) == 90)
            await workers[0].send(tool("held_progress", era=era, session=session))
            await workers[1].send(tool("release", era=era, session=session))
        for n, task in enumerate(held):
            progress, answer = task.result()
            assert progress["params"]["message"] == n
            assert progress["params"]["progressToken"] == 1
            assert answer["id"] == 1
            assert json.loads(answer["result"]["content"][0]["text"]) == {"tag": n}


async def test_a_subscription_and_its_end_pass_through(tmp_path: Path) -> None:
    async with house("modern", tmp_path, 1) as (server, (worker,)):
        listening = await worker.send(call("subscriptions/listen", {"notifications": {}}, id="sub"))
        told = messages(await anext(listening.body))  # type: ignore[arg-type]
        assert told[0]["params"]["_meta"] == {"io.modelcontextprotocol/subscriptionId": "sub"}
        await listening.body.aclose()  # type: ignore[union-attr]
        notes = json.loads(text_of(await worker.send(tool("notes"))))
        assert [note["method"] for note in notes] == ["notifications/cancelled"]
        await until(lambda: server._primary.link is not None and len(server._primary.link.mux) == 0)


async def test_what_a_legacy_server_tells_everyone_reaches_every_worker(tmp_path: Path) -> None:
    async with house("legacy", tmp_path) as (_, workers):
        sessions = [await initialize(worker) for worker in workers]
        streams = [
            await worker.send(call("", era="legacy", kind="stream", session=session))
            for worker, session in zip(workers, sessions, strict=True)
        ]
        subscribe = {"uri": "a:b"}
        for worker, session in zip(workers, reversed(sessions), strict=True):  # the stream is on the other worker
            await worker.send(call("resources/subscribe", subscribe, era="legacy", session=session))
        await workers[0].send(call("resources/unsubscribe", subscribe, era="legacy", session=sessions[0]))
        await workers[0].send(tool("updated", subscribe, era="legacy", session=sessions[0]))
        first, second = Stream(streams[0]), Stream(streams[1])
        assert (await first.next())["method"] == "notifications/tools/list_changed"
        assert (await second.next())["method"] == "notifications/resources/updated"
        assert (await second.next())["method"] == "notifications/tools/list_changed"
        seen = json.loads(text_of(await workers[0].send(tool("seen", era="legacy", session=sessions[0]))))
        assert "resources/unsubscribe" not in seen
        assert seen.count("initialize") == 1
        for stream in (first, second):
            await stream.close()


async def test_a_session_that_was_ended_on_one_worker_is_ended_on_all(tmp_path: Path) -> None:
    """MCP-04"""
    for isolation in ("shared", "session"):
        async with house("legacy", tmp_path, isolation=isolation) as (_, (one, other)):
            session = await initialize(one)
            assert text_of(await other.send(tool("echo", era="legacy", session=session))) == "{}"
            assert (await one.send(call("", era="legacy", kind="end", session=session))).status == 200
            with pytest.raises(SessionNotFound):
                await other.send(tool("echo", era="legacy", session=session))


async def test_the_child_restarts_for_all(tmp_path: Path) -> None:
    async with house("modern", tmp_path, 1) as (server, (worker,)):
        with pytest.raises(BadUpstream):
            await worker.send(tool("exit"))
        await until(lambda: server._primary.starts >= 2 and server._primary.state == "healthy")
        assert text_of(await worker.send(tool("echo"))) == "{}"
        with pytest.raises(EraUnavailable) as refused:
            await initialize(worker)
        assert (refused.value.requested, refused.value.supported) == ("2025-11-25", ["2026-07-28"])
        assert (await worker.health())["state"] == "healthy"


async def test_a_session_with_its_own_channel_is_usable_on_every_worker(tmp_path: Path) -> None:
    async with house("legacy", tmp_path, 3, "session") as (_, workers):
        sessions = [await begin(workers[n % 3], f"user{n}") for n in range(6)]
        streams = []
        for n, session in enumerate(sessions):
            asking = tool("elicit", {"id": 0, "params": {"n": n}}, era="legacy", session=session, who=f"user{n}")
            streams.append(Stream(await workers[n % 3].send(asking)))
        for n, (session, stream) in enumerate(zip(sessions, streams, strict=True)):
            asked = await stream.next()
            assert asked["params"] == {"n": n}
            await workers[(n + 1) % 3].send(response(session, asked["id"], f"user{n}", result={"n": n}))
        for n, stream in enumerate(streams):
            assert json.loads((await stream.next())["result"]["content"][0]["text"]) == {"n": n}


async def test_a_worker_that_dies_takes_its_calls_with_it_and_no_others(tmp_path: Path) -> None:
    async with house("legacy", tmp_path, 2, "session") as (server, (one, other)):
        session = await begin(one)
        stream = await listen(one, session)
        lost = asyncio.ensure_future(one.send(tool("hold", {"tag": 1}, id=1, era="legacy", session=session)))
        kept = asyncio.ensure_future(other.send(tool("hold", {"tag": 2}, id=2, era="legacy", session=session)))
        mine = server.sessions.find(session, call("").caller)
        await until(lambda: len(mine.pending) == 2)
        assert one._connection is not None
        one._connection.protocol._transport.abort()  # type: ignore[union-attr]
        with pytest.raises(BadUpstream):
            await lost
        await until(lambda: len(mine.pending) == 1 and mine.stream is None)
        assert text_of(await other.send(tool("echo", id=3, era="legacy", session=session))) == "{}"
        again = await listen(other, session)
        await one.send(tool("release", id=4, era="legacy", session=session))  # it comes again, too
        assert text_of(await kept) == '{"tag": 2}'
        with pytest.raises(BadUpstream):
            await stream.next()
        await again.close()


async def test_a_cancelled_call_is_cancelled_at_the_server(tmp_path: Path) -> None:
    """MCP-07"""

    async def hang(_: Call) -> Reply:
        await asyncio.Event().wait()
        raise AssertionError

    async with AsyncExitStack() as stack:
        fake = Fake(hang)
        (worker,) = await joined(fake, tmp_path, stack)
        for _ in range(300):
            calling = asyncio.ensure_future(worker.send(tool("x")))
            for _ in range(len(fake.calls) % 6):
                await asyncio.sleep(0)
            calling.cancel()
            await asyncio.gather(calling, return_exceptions=True)
        await until(lambda: fake.cancelled == len(fake.calls))
        assert worker._connection is None or not worker._connection._waiting


async def test_aborts_through_a_worker_leave_nothing_anywhere(tmp_path: Path) -> None:
    """MCP-07"""
    async with house("legacy", tmp_path, 2, "session") as (server, workers):
        session = await begin(workers[0])
        kept = server.sessions.find(session, call("").caller)
        for n in range(1_000):
            name = "elicit" if n % 2 else "hold"
            calling = asyncio.ensure_future(workers[n % 2].send(tool(name, id=n, era="legacy", session=session)))
            for _ in range(n % 9):  # at every step of its way
                await asyncio.sleep(0)
            calling.cancel()
            reply = (await asyncio.gather(calling, return_exceptions=True))[0]
            if isinstance(reply, Reply):
                await reply.body.aclose()  # type: ignore[union-attr]
        await until(lambda: not kept.pending and len(kept.link.mux) == 0)
        assert len(kept.asks) <= MAX_OPEN  # what was asked after its call was given up waits for a stream, for a while
        assert not any(worker._connection and worker._connection._waiting for worker in workers)
        quiet = tool("echo", era="legacy", session=session, accept=b"application/json")
        assert text_of(await workers[1].send(quiet)) == "{}"
        assert len(server._tasks) == 1  # the sweep


async def test_what_the_owner_gets_is_what_the_server_needs(tmp_path: Path) -> None:
    async def answer(call: Call) -> Reply:
        return Reply(202, [(b"a", b"b")], b"body")

    async with AsyncExitStack() as stack:
        fake = Fake(answer)
        (worker,) = await joined(fake, tmp_path, stack)
        sent = tool("echo", {"a": [1, None]}, id="x", era="legacy", session="s", timeout_s=100)
        sent.caller = Caller("bob", "i", "jwt", "t", "agent", frozenset({"r1", "r2"}), frozenset({"s"}), 1.0, "secret")
        sent.arrival.headers = Headers([*sent.arrival.headers, (b"authorization", b"Bearer x"), (b"traceparent", b"t")])
        reply = await worker.send(sent)
        assert (reply.status, reply.headers, reply.body) == (202, [(b"a", b"b")], b"body")
        (got,) = fake.calls
        for field in ("kind", "era", "method", "target", "params", "body", "id", "session", "message", "server"):
            assert getattr(got, field) == getattr(sent, field), field
        assert (got.caller.key, got.caller.rights) == (sent.caller.key, sent.caller.rights)
        assert got.caller.credential_id == ""
        assert got.arrival.headers.get(b"traceparent") == b"t"
        assert b"authorization" not in got.arrival.headers
        assert got.trail.request_id == sent.trail.request_id
        assert abs(got.deadline_s - sent.deadline_s) < 10
        assert got.arrival.headers.get(b"accept") == sent.arrival.headers.get(b"accept")
        ended = call("", era="legacy", kind="end", session="s")
        await worker.send(ended)
        assert (fake.calls[1].kind, fake.calls[1].body, fake.calls[1].params) == ("end", b"", {})


async def test_a_slow_reader_holds_the_stream_back(tmp_path: Path) -> None:
    """What a client does not read waits in the owner's stream, which has its own bound; not on the way."""
    made = 0
    is_closed = asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal made
        try:
            while True:
                made += 1
                yield b"x" * 65_536
        finally:
            is_closed.set()

    async def answer(_: Call) -> Reply:
        return Reply(200, [], chunks())

    async with AsyncExitStack() as stack:
        fake = Fake(answer)
        (worker,) = await joined(fake, tmp_path, stack)
        reply = await worker.send(tool("x"))
        await worker.health()  # a whole turn of the socket
        assert made <= WINDOW_BYTES // 65_536 + 1
        read = 0
        while read < 10 * WINDOW_BYTES:
            read += len(await anext(reply.body))  # type: ignore[arg-type]
        await reply.body.aclose()  # type: ignore[union-attr]
        await is_closed.wait()


async def test_a_stream_that_fails_half_way_fails_at_the_worker(tmp_path: Path) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"a"
        raise BadUpstream("Gone.")

    async def answer(_: Call) -> Reply:
        return Reply(200, [], chunks())

    async with AsyncExitStack() as stack:
        (worker,) = await joined(Fake(answer), tmp_path, stack)
        reply = await worker.send(tool("x"))
        assert await anext(reply.body) == b"a"  # type: ignore[arg-type]
        with pytest.raises(BadUpstream, match=r"Gone\."):
            await anext(reply.body)  # type: ignore[arg-type]


async def test_what_nobody_expected_is_refused(tmp_path: Path) -> None:
    async def answer(_: Call) -> Reply:
        raise ZeroDivisionError("secret")

    async with AsyncExitStack() as stack:
        (worker,) = await joined(Fake(answer), tmp_path, stack)
        with pytest.raises(Refusal) as refused:
            await worker.send(tool("x"))
        assert type(refused.value) is Refusal
        assert refused.value.detail == "Internal error"
        assert "ZeroDivisionError" in refused.value.why


async def test_without_an_owner_the_server_is_unavailable(tmp_path: Path) -> None:
    worker = RelayedUpstream("test", str(tmp_path / "none"))
    with pytest.raises(UpstreamUnavailable):
        await worker.send(tool("x"))
    assert (await worker.health())["state"] == "unhealthy"


@pytest.mark.parametrize("kind", list(refusals.BY_NAME.values()))
def test_refusals_keep_their_class_and_words(kind: type[Refusal]) -> None:
    made: Refusal
    if issubclass(kind, EraUnavailable.__mro__[1]):
        made = kind("1", ["2", "3"], "Said.")  # type: ignore[call-arg,arg-type]
    elif kind is MethodNotAllowed:
        made = MethodNotAllowed("POST", "Said.")
    else:
        made = kind("Said.")
    made.why = "because"
    frame = read_at_worker(framed(refusals.told(7, made))[4:])
    got = refusals.heard(frame)  # type: ignore[arg-type]
    assert type(got) is kind
    assert (got.detail, got.why, got.data) == (made.detail, "because", made.data)


@pytest.mark.parametrize("said", ["", "no", "busy"])
def test_whether_a_server_did_answer_is_told(said: str) -> None:
    """RES-01"""
    made = BadUpstream("Said.")
    made.said = said  # type: ignore[assignment]
    got = refusals.heard(read_at_worker(framed(refusals.told(7, made))[4:]))  # type: ignore[arg-type]
    assert isinstance(got, BadUpstream)
    assert got.said == said


@pytest.mark.parametrize(
    ("raised", "heard"),
    [
        (WrongEra(why="x"), BadUpstream),
        (DeadlineExceeded(), DeadlineExceeded),
        (Overloaded("Full."), Overloaded),
        (ResourceNotFound("a:b"), InvalidParams),
    ],
)
def test_a_refusal_that_the_wire_does_not_know_goes_as_the_nearest(raised: Refusal, heard: type[Refusal]) -> None:
    assert type(refusals.heard(refusals.told(1, raised))) is heard


def test_frames_are_found_however_they_are_cut() -> None:
    asked = relayed_frame(1, tool("echo", {"x": "y" * 500}), 1.0)
    stream = b"".join(framed(frame) for frame in (asked, Chunk(2, b""), Chunk(3, b"x" * 5_000)))
    whole = FrameSplitter().feed(stream)
    assert len(whole) == 3
    for size in (1, 2, 3, 5, 1_000, 4_000):
        splitter = FrameSplitter()
        frames = [
            frame for start in range(0, len(stream), size) for frame in splitter.feed(stream[start : start + size])
        ]
        assert frames == whole
    with pytest.raises(ValueError, match="large"):
        FrameSplitter().feed(b"\xff\xff\xff\xff")
