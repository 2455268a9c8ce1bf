"""Servers with a channel for each session, with real children."""

import asyncio
import json
import os
import signal
from typing import Any

import pytest
from tests.upstreams.transports.channel.isolated.support import (
    LEGACY,
    MODERN,
    Hand,
    Stream,
    begin,
    isolated,
    listen,
    response,
)
from tests.upstreams.transports.channel.support import alive, call, result_of, server_command, text_of, tool, until

from mantlet.core.refusal import (
    BadUpstream,
    DeadlineExceeded,
    EraUnavailable,
    InvalidRequest,
    Overloaded,
    SessionNotFound,
    UpstreamUnavailable,
)
from mantlet.core.stream import aclose
from mantlet.upstreams.transports.channel.isolated.server import IsolatedServer
from mantlet.upstreams.transports.channel.isolated.session import UNHEARD_S


async def ask(server: IsolatedServer, session: str, who: str = "alice", **arguments: Any) -> Stream:
    """The stream of a call whose server asks the client."""
    return Stream(await server.send(tool("elicit", arguments, id=1, era="legacy", session=session, who=who)))


def pids(server: IsolatedServer) -> list[int]:
    found = [session.channel.pid for session in server.sessions._sessions.values() if session.channel is not None]
    return [pid for pid in found if pid is not None]


def owners(server: IsolatedServer) -> list[str]:
    return sorted(session.caller[2] for session in server.sessions._sessions.values())


async def test_each_session_has_a_process_that_its_own_client_introduced_itself_to() -> None:
    async with isolated(LEGACY) as server:
        a, b = await begin(server), await begin(server, "bob", {})
        assert a != b
        said = [
            json.loads(text_of(await server.send(tool("hello", era="legacy", session=session, who=who))))
            for session, who in ((a, "alice"), (b, "bob"))
        ]
        assert [hello["clientInfo"]["name"] for hello in said] == ["client of alice", "client of bob"]
        assert said[0]["capabilities"]["elicitation"] == {}
        seen = json.loads(text_of(await server.send(tool("seen", era="legacy", session=a))))
        assert seen == ["initialize", "tools/call", "tools/call"]
        notes = json.loads(text_of(await server.send(tool("notes", era="legacy", session=a))))
        assert notes == [{"jsonrpc": "2.0", "method": "notifications/initialized"}]
        first, second = pids(server)
        assert first != second
        health = await server.health()
        assert (health["state"], health["eras"], health["sessions"]) == ("healthy", ["legacy"], 2)


async def test_a_session_is_its_callers_alone() -> None:
    """MCP-04"""
    async with isolated(LEGACY) as server:
        session = await begin(server)
        for foreign in (
            tool("echo", era="legacy", session=session, who="bob"),
            tool("echo", era="legacy", session=session[:-1]),
            call("", era="legacy", kind="stream", session=session, who="bob"),
            call("", era="legacy", kind="end", session=session, who="bob"),
            response(session, 1, who="bob"),
        ):
            with pytest.raises(SessionNotFound):
                await server.send(foreign)
        with pytest.raises(InvalidRequest, match="Mcp-Session-Id"):
            await server.send(tool("echo", era="legacy"))
        assert text_of(await server.send(tool("echo", {"a": 1}, era="legacy", session=session))) == '{"a": 1}'


async def test_a_question_comes_on_the_stream_of_the_call_and_its_answer_goes_back() -> None:
    async with isolated(LEGACY) as server:
        session = await begin(server)
        stream = await ask(server, session, id="theirs", params={"message": "name?"})
        asked = await stream.next()
        assert asked["method"] == "elicitation/create"
        assert asked["params"] == {"message": "name?"}
        assert asked["id"] != "theirs"
        assert (await server.send(response(session, asked["id"], result={"action": "accept"}))).status == 202
        answer = await stream.next()
        assert answer["id"] == 1
        assert json.loads(answer["result"]["content"][0]["text"]) == {"action": "accept"}
        refused = await ask(server, session)
        error = {"code": -1, "message": "User rejected"}
        await server.send(response(session, (await refused.next())["id"], error=error))
        assert json.loads((await refused.next())["result"]["content"][0]["text"]) == error


async def test_questions_of_equal_ids_never_cross() -> None:
    """MCP-05"""
    async with isolated(LEGACY) as server:
        names = [f"user{n}" for n in range(8)]
        sessions = await asyncio.gather(*(begin(server, name) for name in names))
        streams = [
            await ask(server, session, who, id=0, params={"message": who})
            for session, who in zip(sessions, names, strict=True)
        ]
        asked = [await stream.next() for stream in streams]
        assert {message["id"] for message in asked} == {1}
        assert [message["params"]["message"] for message in asked] == names
        for session, who in reversed(list(zip(sessions, names, strict=True))):
            await server.send(response(session, 1, who, result={"I am": who}))
        for stream, who in zip(streams, names, strict=True):
            assert json.loads((await stream.next())["result"]["content"][0]["text"]) == {"I am": who}


async def test_what_was_not_asked_cannot_be_answered() -> None:
    """MCP-05"""
    async with isolated(LEGACY) as server:
        session = await begin(server)
        other = await begin(server, "mallory")
        stream = await ask(server, session)
        asked = await stream.next()
        for unasked in (asked["id"] + 1, str(asked["id"]), 0):
            with pytest.raises(InvalidRequest):
                await server.send(response(session, unasked))
        with pytest.raises(InvalidRequest):
            await server.send(response(other, asked["id"], "mallory"))
        await server.send(response(session, asked["id"]))
        assert "result" in await stream.next()
        # Late, or twice: accepted as the protocol wants it, and dropped.
        assert (await server.send(response(session, asked["id"]))).status == 202
        notes = json.loads(text_of(await server.send(tool("notes", era="legacy", session=session))))
        assert [note.get("method") for note in notes] == ["notifications/initialized"]


async def test_a_client_is_not_asked_what_it_did_not_declare() -> None:
    """MCP-07"""
    async with isolated(LEGACY) as server:
        session = await begin(server, capabilities={"roots": {}})
        reply = await server.send(tool("elicit", era="legacy", session=session))
        assert json.loads(text_of(reply))["code"] == -32601
        reply = await server.send(tool("elicit", {"method": "made/up"}, era="legacy", session=session))
        assert json.loads(text_of(reply))["code"] == -32601
        reply = await server.send(tool("elicit", {"method": "ping", "params": {}}, era="legacy", session=session,
                                       accept=b"application/json"))  # fmt: skip
        assert json.loads(text_of(reply)) == {}


async def test_without_a_stream_a_question_waits_for_one_and_not_for_ever() -> None:
    hand = Hand()
    async with isolated(LEGACY, hand, input_timeout_s=60.0) as server:
        session = await begin(server)
        calling = asyncio.ensure_future(
            server.send(tool("elicit", era="legacy", session=session, accept=b"application/json"))
        )
        kept = server.sessions.find(session, call("").caller)
        await until(lambda: len(kept.asks) == 1)
        stream = await listen(server, session)
        asked = await stream.next()
        await server.send(response(session, asked["id"], result={"a": 1}))
        assert json.loads(text_of(await calling)) == {"a": 1}
        calling = asyncio.ensure_future(server.send(tool("elicit", era="legacy", session=session)))
        await until(lambda: len(kept.asks) == 1)
        hand.ahead_s += 61.0
        server.sessions.tidy()
        last = Stream(await calling)
        assert (await last.next())["method"] == "elicitation/create"
        assert json.loads((await last.next())["result"]["content"][0]["text"])["code"] == -32001
        await stream.close()
        unheard = tool("elicit", era="legacy", session=session, accept=b"application/json", timeout_s=10_000)
        calling = asyncio.ensure_future(server.send(unheard))
        await until(lambda: len(kept.asks) == 1)
        hand.ahead_s += UNHEARD_S
        server.sessions.tidy()
        assert json.loads(text_of(await calling))["code"] == -32001


async def test_a_call_outlives_its_deadline_while_its_client_is_asked() -> None:
    async with isolated(LEGACY, input_timeout_s=300.0) as server:
        session = await begin(server)
        stream = Stream(await server.send(tool("elicit", era="legacy", session=session, timeout_s=0.2)))
        asked = await stream.next()
        kept = server.sessions.find(session, call("").caller)
        held = asyncio.ensure_future(server.send(tool("hold", id=2, era="legacy", session=session, timeout_s=0.2)))
        await until(lambda: len(kept.pending) == 2)
        for pending in list(kept.pending.values()):
            kept.link.expire(pending)
        assert len(kept.pending) == 2
        await server.send(response(session, asked["id"]))
        assert "result" in await stream.next()
        for pending in list(kept.pending.values()):
            kept.link.expire(pending)
        with pytest.raises(DeadlineExceeded):
            await held


async def test_the_server_takes_a_question_back() -> None:
    async with isolated(LEGACY) as server:
        session = await begin(server)
        stream = await ask(server, session, id="q")
        asked = await stream.next()
        again = Stream(await server.send(tool("unask", {"id": "q"}, era="legacy", session=session)))
        cancelled = await again.next()
        assert cancelled["method"] == "notifications/cancelled"
        assert cancelled["params"]["requestId"] == asked["id"]
        assert (await server.send(response(session, asked["id"]))).status == 202
        unknown = await server.send(tool("unask", {"id": "never"}, era="legacy", session=session))
        assert text_of(unknown) == '{"id": "never"}'


async def test_news_goes_to_the_sessions_stream_and_waits_for_it_within_bounds() -> None:
    async with isolated(LEGACY) as server:
        session, other = await begin(server), await begin(server, "bob")
        quiet = {"era": "legacy", "session": session, "accept": b"application/json"}
        await server.send(tool("updated", {"uri": "a:b"}, **quiet))
        await server.send(tool("updated", {"uri": "a:b"}, **quiet))
        stream, empty = await listen(server, session), await listen(server, other, "bob")
        assert (await stream.next())["method"] == "notifications/resources/updated"
        assert (await stream.next())["method"] == "notifications/tools/list_changed"
        many = [{"jsonrpc": "2.0", "method": "notifications/x", "params": {"n": n}} for n in range(150)]
        reply = await server.send(tool("say", {"messages": many}, era="legacy", session=session))
        assert isinstance(reply.body, bytes)  # news is not the call's
        assert [(await stream.next())["params"]["n"] for _ in range(150)] == list(range(150))
        await stream.close()
        await server.send(tool("say", {"messages": many}, **quiet))
        stream = await listen(server, session)
        assert [(await stream.next())["params"]["n"] for _ in range(100)] == list(range(100))
        assert server.sessions.find(session, call("").caller).dropped == 50
        await stream.close()
        await empty.close()


async def test_progress_and_log_come_with_the_call() -> None:
    async with isolated(LEGACY) as server:
        session = await begin(server)
        stream = Stream(
            await server.send(
                tool("progress", {"steps": 2}, era="legacy", session=session, meta={"progressToken": "mine"})
            )
        )
        for step in range(2):
            told = await stream.next()
            assert (told["params"]["progressToken"], told["params"]["progress"]) == ("mine", step)
        assert "result" in await stream.next()
        logged = Stream(await server.send(tool("log", {"data": 1}, era="legacy", session=session)))
        assert (await logged.next())["method"] == "notifications/message"


async def test_a_client_cancels_its_own_call() -> None:
    async with isolated(LEGACY) as server:
        session = await begin(server)
        calling = asyncio.ensure_future(server.send(tool("hold", era="legacy", session=session, id="x")))
        kept = server.sessions.find(session, call("").caller)
        await until(lambda: len(kept.pending) == 1)
        cancel = call("notifications/cancelled", {"requestId": "x"}, era="legacy", kind="notification", session=session)
        assert (await server.send(cancel)).status == 202
        assert result_of(await calling)["error"]["code"] == 4499
        notes = json.loads(text_of(await server.send(tool("notes", era="legacy", session=session))))
        assert notes[-1]["method"] == "notifications/cancelled"
        assert notes[-1]["params"]["requestId"] == 2  # the id of this hop, not the client's


async def test_the_end_of_a_session_is_the_end_of_its_process() -> None:
    async with isolated(LEGACY) as server:
        session = await begin(server)
        (pid,) = pids(server)
        stream = await listen(server, session)
        held = asyncio.ensure_future(server.send(tool("hold", era="legacy", session=session, id=5)))
        await until(lambda: len(server.sessions.find(session, call("").caller).pending) == 1)
        assert (await server.send(call("", era="legacy", kind="end", session=session))).status == 200
        with pytest.raises(StopAsyncIteration):
            await stream.next()
        assert "error" in result_of(await held)
        with pytest.raises(SessionNotFound):
            await server.send(tool("echo", era="legacy", session=session))
        await until(lambda: not alive(pid))
        await until(lambda: server.sessions.channels == 0)


async def test_a_child_that_is_killed_takes_its_own_session_with_it_and_no_other() -> None:
    async with isolated(LEGACY) as server:
        session, other = await begin(server), await begin(server, "bob")
        pid, _ = pids(server)
        held = asyncio.ensure_future(server.send(tool("hold", era="legacy", session=session)))
        await until(lambda: server.sessions.find(session, call("").caller).is_busy)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(BadUpstream):
            await held
        with pytest.raises(SessionNotFound):
            await server.send(tool("echo", era="legacy", session=session))
        assert text_of(await server.send(tool("echo", era="legacy", session=other, who="bob"))) == "{}"
        assert await begin(server)


async def test_max_children_bounds_the_channels_and_the_longest_idle_makes_room() -> None:
    hand = Hand()
    async with isolated(LEGACY, hand, max_children=2) as server:
        first, second = await begin(server), await begin(server, "bob")
        with pytest.raises(Overloaded, match="All 2 places"):
            await begin(server, "carol")
        old = pids(server)[0]
        hand.ahead_s += 5
        await server.send(tool("echo", era="legacy", session=second, who="bob"))
        hand.ahead_s += 6
        third = await begin(server, "carol")
        assert not alive(old)
        with pytest.raises(SessionNotFound):
            await server.send(tool("echo", era="legacy", session=first))
        for session, who in ((second, "bob"), (third, "carol")):
            assert text_of(await server.send(tool("echo", era="legacy", session=session, who=who))) == "{}"
        held = asyncio.ensure_future(server.send(tool("hold", era="legacy", session=second, who="bob")))
        stream = await listen(server, third, "carol")
        await until(lambda: server.sessions.find(second, call("", who="bob").caller).is_busy)
        hand.ahead_s += 60
        await begin(server, "dave")  # a stream alone keeps no place when it is needed
        with pytest.raises(SessionNotFound):
            await server.send(tool("echo", era="legacy", session=third, who="carol"))
        held.cancel()
        await stream.close()


async def test_one_caller_does_not_push_out_the_others() -> None:
    hand = Hand()
    async with isolated(LEGACY, hand, max_children=4) as server:
        greedy = [await begin(server, "mallory") for _ in range(3)]
        alice = await begin(server, "alice")
        hand.ahead_s += 60
        mallorys = await begin(server, "mallory")  # of its own
        bobs = await begin(server, "bob")  # of who has most
        for session, who in ((alice, "alice"), (bobs, "bob"), (mallorys, "mallory"), (greedy[2], "mallory")):
            echo = tool("echo", era="legacy", session=session, who=who, timeout_s=10_000)
            assert text_of(await server.send(echo)) == "{}"
        assert owners(server) == ["alice", "bob", "mallory", "mallory"]
        for who in ("carol", "dave"):
            hand.ahead_s += 60
            await begin(server, who)  # the second of mallory's, then whoever rests longest
        hand.ahead_s += 60
        left = owners(server)
        assert left == ["bob", "carol", "dave", "mallory"]
        for _ in range(5):
            await begin(server, "dave")
            hand.ahead_s += 60
        assert owners(server) == left


async def test_an_idle_session_is_ended_and_one_that_listens_is_not() -> None:
    hand = Hand()
    async with isolated(LEGACY, hand, session_idle_timeout=60) as server:
        idle, listening = await begin(server), await begin(server, "bob")
        stream = await listen(server, listening, "bob")
        pid = pids(server)[0]
        hand.ahead_s += 59
        server.sessions.tidy()
        assert len(server.sessions) == 2
        hand.ahead_s += 2
        server.sessions.tidy()
        assert len(server.sessions) == 1
        with pytest.raises(SessionNotFound):
            await server.send(tool("echo", era="legacy", session=idle))
        await until(lambda: not alive(pid))
        await stream.close()
        hand.ahead_s += 86_400
        with pytest.raises(SessionNotFound):
            await server.send(tool("echo", era="legacy", session=listening, who="bob"))


async def test_modern_clients_share_one_process_and_legacy_sessions_have_theirs() -> None:
    """A server that speaks both eras, each process one of them, as those on the Python SDK do."""
    async with isolated(server_command("everything.py", "--stdio"), start_timeout=30.0) as server:
        listed = result_of(await server.send(call("tools/list")))
        assert listed["result"]["tools"]
        session = await begin(server)
        reply = await server.send(call("tools/list", era="legacy", session=session))
        assert result_of(reply)["result"]["tools"]
        assert server.eras() == {"modern", "legacy"}


async def test_a_server_of_one_era_says_so_to_every_kind_of_call_of_the_other() -> None:
    async with isolated(MODERN) as server:
        assert text_of(await server.send(tool("echo"))) == "{}"
        for foreign in (
            tool("echo", era="legacy", session="of-the-bridge"),
            call("", era="legacy", kind="stream", session="of-the-bridge"),
            call("", era="legacy", kind="end", session="of-the-bridge"),
            call("notifications/initialized", era="legacy", kind="notification", session="of-the-bridge"),
            response("of-the-bridge", 1),
        ):
            with pytest.raises(EraUnavailable):
                await server.send(foreign)
        with pytest.raises(EraUnavailable):
            await begin(server)
        await until(lambda: server.sessions.channels == 0)
    async with isolated(MODERN) as server:
        for _ in range(2):
            with pytest.raises(EraUnavailable):
                await begin(server)
    async with isolated(server_command("everything.py", "--stdio"), max_children=1) as server:
        for _ in range(2):
            with pytest.raises(EraUnavailable):
                await begin(server)
    async with isolated(LEGACY, max_children=1) as server:
        assert await begin(server)
        with pytest.raises(EraUnavailable):
            await server.send(tool("echo"))
        with pytest.raises(EraUnavailable):
            await server.send(call("notifications/cancelled", kind="notification"))


async def test_what_the_server_says_against_a_handshake_is_its_clients_to_hear() -> None:
    async with isolated(server_command("lines.py", "--era", "picky")) as server:
        reply = await server.send(call("initialize", {"capabilities": {}}, era="legacy"))
        assert result_of(reply)["error"]["code"] == -32602
        assert reply.header(b"mcp-session-id") is None
        assert await begin(server)
        await until(lambda: server.sessions.channels == 1)


async def test_a_server_that_cannot_start_is_unavailable_with_its_last_words() -> None:
    async with isolated(server_command("lines.py", "--era", "exits")) as server:
        with pytest.raises(UpstreamUnavailable, match="cannot run"):
            await begin(server)
        assert "cannot run" in (await server.health())["reason"]


async def test_a_thousand_aborts_leave_nothing() -> None:
    """MCP-07"""
    async with isolated(LEGACY) as server:
        session = await begin(server)
        kept = server.sessions.find(session, call("").caller)
        for n in range(1_000):
            work = server.send(tool("elicit" if n % 2 else "hold", era="legacy", session=session))
            calling = asyncio.ensure_future(work)
            for _ in range(n % 7):  # at every step of its way
                await asyncio.sleep(0)
            calling.cancel()
            reply = (await asyncio.gather(calling, return_exceptions=True))[0]
            if not isinstance(reply, BaseException):
                await aclose(reply.body)
        assert not kept.pending
        assert len(kept.link.mux) == 0
        assert len(kept.asks) <= 64
        assert text_of(await server.send(tool("echo", era="legacy", session=session,
                                              accept=b"application/json"))) == "{}"  # fmt: skip
        aborted = [asyncio.ensure_future(begin(server, "bob")) for _ in range(10)]
        await asyncio.sleep(0)
        for calling in aborted:
            calling.cancel()
        await asyncio.gather(*aborted, return_exceptions=True)
        await until(lambda: server.sessions.channels == 1, timeout_s=60)  # ten programs come and go
        await until(lambda: len(server._tasks) == 1)  # the sweep; what ended the programs ends a turn later


async def test_close_ends_every_process() -> None:
    async with isolated(LEGACY) as server:
        for n in range(4):
            await begin(server, f"user{n}")
        running = pids(server)
        assert len(running) == 4
    assert not any(alive(pid) for pid in running)
