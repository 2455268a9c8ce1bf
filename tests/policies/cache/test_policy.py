"""The step as callers and servers see it."""

import asyncio
import json
from typing import Any, Literal

import pytest
from tests.policies.cache.support import Server, answer, house, tool, turns
from tests.policies.support import ALICE, BOB, META, Stream, call, sse

from mantlet.core.call import Call, Reply
from mantlet.core.caller import Caller
from mantlet.core.refusal import BadUpstream, ConsentRequired, DeadlineExceeded, SessionNotFound, UpstreamUnavailable
from mantlet.policies.cache.answer import STALE


async def test_a_second_call_is_answered_from_memory_under_its_own_id() -> None:
    """CACHE-01"""
    async with house() as h:
        first = await h.ask(raw_id=b"1")
        second = await h.ask(raw_id=b'"two"')
        assert h.calls == 1
        assert (first["id"], second["id"]) == (1, "two")
        assert first["result"] == second["result"] == h.server.result
        assert h.counted == ["miss", "hit"]


@pytest.mark.parametrize(
    "other",
    [
        tool(caller=BOB),
        tool(caller=Caller("alice", "iss", "bearer", tenant="t2", roles=ALICE.roles, credential_id="a")),
        tool(caller=Caller("alice", "iss", "bearer", roles=frozenset({"user", "x"}), credential_id="a")),
        tool(caller=Caller("alice", "iss", "bearer", roles=ALICE.roles, scopes=frozenset({"s"}), credential_id="a")),
        tool(caller=Caller("alice", "iss", "bearer", roles=ALICE.roles, credential_id="another")),
        tool(caller=Caller("alice", "iss", "bearer", roles=ALICE.roles, credential_id="a", act=("agent",))),
        tool(caller=Caller("alice", "other", "bearer", roles=ALICE.roles, credential_id="a")),
        tool(params={"arguments": {"q": "y"}}),
        tool(params={"arguments": {"q": "x", "more": None}}),
        tool(params={"_meta": {**META, "com.example/lang": "de"}}),
        tool(era="legacy"),
    ],
    ids=["principal", "tenant", "roles", "scopes", "credential", "actor", "issuer", "value", "member", "meta", "era"],
)
async def test_what_differs_is_another_question(other: Call) -> None:
    """CACHE-01"""
    async with house() as h:
        await h.ask()
        await h.ask(other)
        assert h.calls == 2


async def test_what_is_asked_is_not_how_it_is_followed_or_spelt() -> None:
    async with house() as h:
        await h.ask(tool(params={"arguments": {"a": 1, "b": 2}}))
        await h.ask(tool(params={"arguments": {"b": 2, "a": 1}, "_meta": {**META, "traceparent": "00-a-b-01"}}))
        assert h.calls == 1


@pytest.mark.parametrize(
    "never",
    [
        tool("write"),
        tool(params={"inputResponses": {}}),
        tool(params={"requestState": "s"}),
        tool(params={"_meta": {**META, "progressToken": 1}}),
        tool(era="legacy", params={"task": {}}),
        tool(fields=[(b"accept", b"text/event-stream")]),
        call("completion/complete", {"ref": {"type": "ref/prompt", "name": "p"}}),
        call("tools/call", {"name": "search"}, server="two"),
        call("prompts/get", {"name": "search"}),
    ],
    ids=["unnamed", "responses", "state", "progress", "task", "stream only", "method", "server", "prompt"],
)
async def test_what_is_not_declared_or_is_for_one_moment_is_passed_on(never: Call) -> None:
    """CACHE-02"""
    async with house() as h:
        await h.ask(never)
        await h.ask(never)
        assert [call.body for call in h.server.reached] == [never.body] * 2


async def test_a_call_that_a_human_approved_is_carried_out() -> None:
    async with house() as h:
        await h.ask()
        approved = tool()
        approved.trail.notes["approval"] = "a1"
        await h.ask(approved)
        assert h.calls == 2


@pytest.mark.parametrize(
    "result",
    [
        {"resultType": "input_required", "inputRequests": {}, "requestState": "s"},
        {"resultType": "complete", "content": [], "ttlMs": 0},
        {"resultType": "complete", "content": [], "ttlMs": -1},
        {"resultType": "complete", "content": [], "ttlMs": "long"},
        {"task": {"taskId": "t"}},
        {"resultType": "task", "taskId": "t"},
        {"content": [], "_meta": {"io.modelcontextprotocol/related-task": {"taskId": "t"}}},
    ],
)
async def test_an_answer_for_one_is_told_to_one(result: Any) -> None:
    """CACHE-02"""
    async with house() as h:
        h.server.result = result
        h.server.gate = asyncio.Event()
        asking = [asyncio.create_task(h.ask(raw_id=b"%d" % number)) for number in range(3)]
        await turns()
        assert h.calls == 1
        h.server.gate.set()
        told = await asyncio.gather(*asking)
        assert [one["id"] for one in told] == [0, 1, 2]
        assert all(one["result"] == result for one in told)
        assert h.calls == 3
        await h.ask()
        assert h.calls == 4, "nobody waits for what is known to be for one alone"


async def test_a_hint_shortens_and_never_lengthens() -> None:
    """CACHE-02"""
    async with house(ttl=100, early_refresh=0) as h:
        h.server.result = {"resultType": "complete", "content": [], "ttlMs": 20_000}
        assert (await h.ask())["result"]["ttlMs"] == 20_000
        h.now_s = 5.1
        assert (await h.ask())["result"]["ttlMs"] == 13_750, "what is left, rounded down to a sixteenth"
        h.now_s = 19.9
        assert (await h.ask())["result"]["ttlMs"] == 0
        h.now_s = 20.0
        await h.ask()
        assert h.calls == 2
        h.server.result = {"resultType": "complete", "content": [], "ttlMs": 10**15}
        h.now_s = 40.0
        await h.ask()
        h.now_s = 139.0
        await h.ask()
        assert h.calls == 3
        h.now_s = 140.0
        await h.ask()
        assert h.calls == 4


async def test_lists_are_kept_as_their_server_says() -> None:
    async with house(early_refresh=0) as h:
        h.server.result = {"resultType": "complete", "tools": [], "ttlMs": 5000, "cacheScope": "private"}
        for _ in range(2):
            await h.ask(call("tools/list"))
        assert h.calls == 1
        await h.ask(call("tools/list", {"cursor": "2"}))
        assert h.calls == 2
        h.now_s = 5.0
        await h.ask(call("tools/list"))
        assert h.calls == 3
        del h.server.result["ttlMs"]
        for _ in range(2):
            await h.ask(call("prompts/list"))
        assert h.calls == 5, "a modern server that does not say it means: at once stale"


async def test_lists_of_legacy_servers_are_kept_for_a_while() -> None:
    async with house(list_ttl=30, early_refresh=0) as h:
        h.server.result = {"tools": []}
        for _ in range(2):
            await h.ask(call("tools/list", era="legacy"))
        assert h.calls == 1
        h.now_s = 30.0
        await h.ask(call("tools/list", era="legacy"))
        assert h.calls == 2
        h.speaks_legacy = False
        for _ in range(2):
            await h.ask(call("prompts/list", era="legacy"))
        assert h.calls == 4, "what a modern server said may have been taken out where nobody could tell"


def crossing(ttl_ms: float | None = None, *, is_public: bool = False, **result: Any) -> Any:
    """A server behind the bridge: what it said of the answer's time is told beside the answer."""

    def reply(asked: Call) -> Reply:
        if asked.hints is not None:
            asked.hints.has_crossed, asked.hints.ttl_ms, asked.hints.is_public = True, ttl_ms, is_public
        return answer(asked, {"tools": [], **result})

    return reply


@pytest.mark.parametrize(("ttl_ms", "kept_s"), [(60_000, 60), (5_000, 5), (1e300, 300), (0, 0), (-5, 0), (None, 0)])
async def test_what_a_modern_server_says_holds_for_legacy_clients_too(ttl_ms: float | None, kept_s: float) -> None:
    """CACHE-02: it shortens, and what says nothing is at once stale."""
    async with house(ttl=300, early_refresh=0) as h:
        h.server.reply, h.speaks_legacy = crossing(ttl_ms), False
        told = await h.ask(call("tools/list", era="legacy"))
        assert "ttlMs" not in told["result"]
        h.now_s = max(0.0, kept_s - 0.01)
        await h.ask(call("tools/list", era="legacy"))
        assert h.calls == (1 if kept_s else 2)
        h.now_s = kept_s
        await h.ask(call("tools/list", era="legacy"))
        assert h.calls == (2 if kept_s else 3)


@pytest.mark.parametrize(("is_public", "calls"), [(True, 1), (False, 2)])
async def test_what_crossed_is_shared_only_where_its_server_says_so(is_public: bool, calls: int) -> None:
    """CACHE-01"""
    async with house(shared=["*"], early_refresh=0) as h:
        h.server.reply = crossing(60_000, is_public=is_public, cacheScope="public")
        for who in (ALICE, BOB):
            await h.ask(call("tools/list", era="legacy", caller=who))
        assert h.calls == calls


async def test_lists_of_legacy_servers_are_kept_for_modern_clients_who_are_told_that_they_are_not() -> None:
    """CACHE-02: the crossing's own `ttlMs: 0` says that nothing is known; the operator said how long that holds."""
    async with house(list_ttl=30, early_refresh=0) as h:
        h.server.reply = crossing(ttlMs=0, cacheScope="private")
        for now_s in (0.0, 29.9):
            h.now_s = now_s
            told = await h.ask(call("tools/list"))
            assert (told["result"]["ttlMs"], told["result"]["cacheScope"], h.calls) == (0, "private", 1)
        h.now_s = 30.0
        await h.ask(call("tools/list"))
        assert h.calls == 2
        for _ in range(2):
            await h.ask(call("server/discover"))
        assert h.calls == 4


async def test_errors_are_told_those_who_wait_and_forgotten() -> None:
    """CACHE-02, CACHE-03"""
    async with house() as h:
        h.server.reply = lambda call: answer(call, error={"code": -32602, "message": "no"}, status=400)
        h.server.gate = asyncio.Event()
        asking = [asyncio.create_task(h.step(tool(raw_id=b"%d" % n), h.server)) for n in range(3)]
        await turns()
        h.server.gate.set()
        replies = await asyncio.gather(*asking)
        assert [reply.status for reply in replies] == [400] * 3
        assert [json.loads(bytes(reply.body))["id"] for reply in replies] == [0, 1, 2]  # type: ignore[arg-type]
        assert h.calls == 1
        await h.ask()
        assert h.calls == 2


async def test_errors_are_kept_where_that_is_wished() -> None:
    """CACHE-02"""
    async with house(negative_ttl=10, early_refresh=0) as h:
        h.server.result = {"content": [], "isError": True}
        await h.ask()
        await h.ask()
        assert h.calls == 1
        h.now_s = 10.0
        await h.ask()
        assert h.calls == 2


async def test_a_refusal_is_raised_for_all_who_wait_each_with_its_own() -> None:
    """CACHE-03"""
    async with house() as h:
        h.server.error = BadUpstream("broken", why="it broke")
        h.server.gate = asyncio.Event()
        asking = [asyncio.create_task(h.ask()) for _ in range(3)]
        await turns()
        h.server.gate.set()
        raised = await asyncio.gather(*asking, return_exceptions=True)
        assert h.calls == 1
        assert all(isinstance(one, BadUpstream) and one.why == "it broke" and one.detail == "broken" for one in raised)
        assert len({id(one) for one in raised}) == 3


async def test_that_anothers_session_is_gone_is_nobody_elses_affair() -> None:
    async with house() as h:
        h.server.gate = asyncio.Event()
        h.server.error = SessionNotFound()
        first = asyncio.create_task(h.ask(era="legacy", session="dead"))
        await turns()
        second = asyncio.create_task(h.ask(era="legacy", session="alive"))
        await turns()
        assert h.calls == 1
        h.server.gate.set()
        await turns(1)
        h.server.error = None
        with pytest.raises(SessionNotFound):
            await first
        assert (await second)["result"] == h.server.result


async def test_who_began_may_leave_and_the_others_are_answered() -> None:
    """CACHE-03"""
    async with house() as h:
        h.server.gate = asyncio.Event()
        asking = [asyncio.create_task(h.ask(raw_id=b"%d" % n)) for n in range(3)]
        await turns()
        asking[0].cancel()
        await turns()
        h.server.gate.set()
        assert [one["id"] for one in await asyncio.gather(*asking[1:])] == [1, 2]
        assert h.calls == 1
        assert h.server.cancelled == 0


async def test_the_last_to_leave_ends_the_call() -> None:
    """CACHE-03"""
    async with house() as h:
        h.server.gate = asyncio.Event()
        asking = [asyncio.create_task(h.ask()) for _ in range(3)]
        await turns()
        for one in asking:
            one.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        await turns()
        assert h.server.cancelled == 1
        h.server.gate.set()
        await h.ask()
        assert h.calls == 2


async def test_the_call_goes_on_under_an_id_that_no_client_can_cancel() -> None:
    """CACHE-03: `notifications/cancelled` names an id."""
    async with house() as h:
        await h.ask(raw_id=b"7")
        [sent] = h.server.reached
        assert sent.id != b"7"
        assert json.loads(sent.body)["id"] == json.loads(sent.id or b"") == sent.message["id"]
        assert sent.message["params"] == tool().params


async def test_an_answer_in_a_stream_of_its_own_is_an_answer() -> None:
    async with house() as h:
        streams: list[Stream] = []

        def streamed(call: Call) -> Reply:
            message = {"jsonrpc": "2.0", "id": json.loads(call.id or b""), "result": {"content": []}}
            streams.append(Stream(b": hello\n\n", sse(message)[:20], sse(message)[20:]))
            return Reply(200, [(b"content-type", b"text/event-stream")], streams[-1])

        h.server.reply = streamed
        assert (await h.ask(raw_id=b"5"))["id"] == 5
        assert (await h.ask())["result"] == {"content": []}
        assert h.calls == 1
        assert streams[0].is_closed


async def test_a_stream_that_says_more_goes_to_who_asked_as_it_comes() -> None:
    """CACHE-02: streams are not kept."""
    async with house() as h:
        note = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": "hi"}}

        def streamed(call: Call) -> Reply:
            message = {"jsonrpc": "2.0", "id": json.loads(call.id or b""), "result": {"content": []}}
            text = sse(note, message)
            return Reply(200, [(b"content-type", b"text/event-stream")], Stream(text[:30], text[30:90], text[90:]))

        h.server.reply = streamed
        reply = await h.step(tool(raw_id=b"9"), h.server)
        assert not isinstance(reply.body, bytes)
        said = b"".join([chunk async for chunk in reply.body])
        events = [json.loads(line[6:]) for line in said.splitlines() if line.startswith(b"data: ")]
        assert events == [note, {"jsonrpc": "2.0", "id": 9, "result": {"content": []}}]


async def test_a_stream_whose_asker_has_left_is_closed() -> None:
    async with house() as h:
        note = {"jsonrpc": "2.0", "method": "notifications/message", "params": {}}
        stream = Stream(sse(note), sse(note))
        h.server.gate = asyncio.Event()
        h.server.reply = lambda call: Reply(200, [(b"content-type", b"text/event-stream")], stream)
        first, second = asyncio.create_task(h.ask()), asyncio.create_task(h.ask())
        await turns()
        first.cancel()
        await turns()
        h.server.reply, reply = None, h.server.reply
        asked: list[int] = []

        def once(call: Call) -> Reply:
            asked.append(1)
            return reply(call) if len(asked) == 1 else answer(call, {"content": []})

        h.server.reply = once
        h.server.gate.set()
        assert (await second)["result"] == {"content": []}
        await turns()
        assert stream.is_closed


async def test_where_callers_own_grants_are_used_a_hit_needs_the_consent_it_was_fetched_by() -> None:
    """CACHE-05, CACHE-01: neither after a consent was withdrawn, nor for another account of the same caller."""

    class Book:
        given = "first"

        async def consent(self, caller: Caller) -> str:
            if not self.given:
                raise ConsentRequired("one")
            return self.given

    async with house(stale_while_revalidate=60, stale_if_error=60) as h:
        book = h.consents["one"] = Book()
        for _ in range(4):
            await h.ask()
        assert h.calls == 1
        book.given = ""
        with pytest.raises(ConsentRequired):
            await h.ask()
        book.given = "second"
        await h.ask()
        await h.ask()
        assert h.calls == 2


async def test_stale_answers_are_marked_and_bounded() -> None:
    """CACHE-04"""
    async with house(ttl=10, stale_while_revalidate=5, early_refresh=0) as h:
        h.server.result = {"content": [], "ttlMs": 60_000, "_meta": {"a": 1}}
        await h.ask()
        h.now_s = 12.0
        h.server.gate = asyncio.Event()
        told = (await h.ask())["result"]
        assert told["_meta"] == {"a": 1, STALE: 2.0}
        assert told["ttlMs"] == 0
        await turns()
        assert h.calls == 2, "fetched anew in the background"
        await h.ask()
        assert h.calls == 2, "once"
        h.server.gate.set()
        await turns()
        assert STALE not in (await h.ask())["result"]["_meta"]
        h.now_s = 12.0 + 15.0
        assert STALE not in (await h.ask())["result"]["_meta"]
        assert h.calls == 3, "too old to be told at all"


async def test_an_answer_stands_in_for_a_server_that_fails() -> None:
    """CACHE-04"""
    async with house(ttl=10, stale_if_error=5, early_refresh=0) as h:
        await h.ask()
        h.now_s = 12.0
        h.server.error = UpstreamUnavailable(why="down")
        assert (await h.ask())["result"]["_meta"] == {STALE: 2.0}
        h.now_s = 15.0
        with pytest.raises(UpstreamUnavailable):
            await h.ask()
        h.server.error = None
        assert "_meta" not in (await h.ask())["result"]


@pytest.mark.parametrize("said", ["no", "busy"])
async def test_a_server_that_will_not_is_not_one_that_cannot(said: Literal["no", "busy"]) -> None:
    """CACHE-04: who was given an answer once is not given it again where the server now refuses it."""
    async with house(ttl=10, stale_if_error=5, early_refresh=0) as h:
        await h.ask()
        h.now_s = 12.0
        h.server.error = BadUpstream.answered("it answered 403", said)
        with pytest.raises(BadUpstream):
            await h.ask()


@pytest.mark.parametrize("failure", [{"error": {"code": 1, "message": "no"}}, {"result": {"isError": True}}])
async def test_failures_are_never_told_after_their_time(failure: dict[str, Any]) -> None:
    """CACHE-04"""
    async with house(ttl=10, negative_ttl=2, stale_while_revalidate=60, stale_if_error=60, early_refresh=0) as h:
        h.server.reply = lambda call: answer(call, **failure)
        await h.ask()
        h.now_s = 1.0
        await h.ask()
        assert h.calls == 1
        h.now_s = 3.0
        h.server.reply = None
        assert "content" in (await h.ask())["result"]
        h.server.reply = lambda call: answer(call, **failure)
        await h.ask(params={"arguments": {"q": "y"}})
        h.now_s = 6.0
        h.server.error = UpstreamUnavailable(why="down")
        with pytest.raises(UpstreamUnavailable):
            await h.ask(params={"arguments": {"q": "y"}})


async def test_early_refresh_is_by_chance_and_once() -> None:
    """CACHE-04: about one refresh per expiry."""
    async with house(ttl=100, early_refresh=1.0) as h:
        h.server.gate = asyncio.Event()
        first = asyncio.create_task(h.ask())
        await turns()
        h.now_s = 2.0
        h.server.gate.set()
        await first
        h.now_s = 101.0  # fresh until 102, and it took 2 s
        h.chance = 0.0
        await h.ask()
        await turns()
        assert h.calls == 1
        h.chance = 0.9  # -ln(0.1) * 2 s = 4.6 s before the end
        for _ in range(10):
            await h.ask()
        await turns()
        assert h.calls == 2
        h.chance = 0.0
        h.now_s = 110.0
        await h.ask()
        assert h.calls == 2, "the new one is good for another while"


async def test_public_answers_go_to_others_only_by_the_operators_word_too() -> None:
    """CACHE-01"""
    for shared, scope, calls in [([], "public", 2), (["one__*"], "private", 2), (["one__*"], "public", 1)]:
        async with house(shared=shared) as h:
            h.server.result = {"tools": [], "ttlMs": 60_000, "cacheScope": scope}
            await h.ask(call("tools/list"))
            await h.ask(call("tools/list", caller=BOB))
            assert h.calls == calls
            await h.ask(call("tools/list", caller=Caller("eve", "iss", "bearer", tenant="another")))
            assert h.calls == calls + 1, "never to another tenant"
            await h.ask(call("tools/list"))
            await h.ask(call("tools/list", caller=BOB))
            assert h.calls == calls + 1


async def test_who_waited_for_what_turns_out_private_asks_for_itself() -> None:
    """CACHE-01, CACHE-03"""
    async with house(shared=["one__*"]) as h:
        h.server.result = {"tools": [], "ttlMs": 60_000, "cacheScope": "private"}
        h.server.gate = asyncio.Event()
        asking = [asyncio.create_task(h.ask(call("tools/list", caller=who))) for who in (ALICE, BOB, ALICE, BOB)]
        await turns()
        assert h.calls == 1
        h.server.gate.set()
        await asyncio.gather(*asking)
        assert [sent.caller for sent in h.server.reached] == [ALICE, BOB]


async def test_what_changes_is_asked_anew() -> None:
    """CACHE-05: pin, policy, and by hand."""
    async with house() as h:
        await h.ask()
        h.pin = "sha256:1"
        await h.ask()
        assert h.calls == 2
        h.revision = "r2"
        await h.ask()
        assert h.calls == 3
        await h.ask()
        assert h.calls == 3
        for scope in ("", "one", "one/tools"):
            h.cache.forget(scope)
            await h.ask()
        assert h.calls == 6
        h.cache.forget("two")
        h.cache.forget("one/prompts")
        await h.ask()
        assert h.calls == 6


async def test_a_change_that_a_server_tells_of_is_heard_in_any_stream() -> None:
    """CACHE-05"""
    async with house() as h:
        h.server.result = {"tools": [], "ttlMs": 60_000}
        await h.ask(call("tools/list"))
        listening = Server()
        said = sse({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
        listening.reply = lambda call: Reply(200, [], Stream(said[:25], said[25:]))
        reply = await h.step(call("subscriptions/listen", {"notifications": {}}), listening)
        assert not isinstance(reply.body, bytes)
        assert b"".join([chunk async for chunk in reply.body]) == said
        await h.ask(call("tools/list"))
        assert h.calls == 2


async def test_what_was_asked_before_a_change_is_no_answer_after_it() -> None:
    """CACHE-05"""
    async with house() as h:
        h.server.gate = asyncio.Event()
        before = asyncio.create_task(h.ask())
        await turns()
        h.cache.forget("one/tools")
        after = asyncio.create_task(h.ask())
        await turns()
        assert h.calls == 2
        h.server.gate.set()
        await asyncio.gather(before, after)
        await h.ask()
        assert h.calls == 2, "what was asked after it is kept"


async def test_events_are_told_by_their_names() -> None:
    async with house() as h:
        h.server.gate = asyncio.Event()
        asking = [asyncio.create_task(h.ask()) for _ in range(4)]
        await turns()
        h.server.gate.set()
        await asyncio.gather(*asking)
        await turns()
        events = ["cache.coalesce", "cache.coalesced", "cache.compute", "cache.computed"]
        assert sorted(event for event, _ in h.told) == events
        assert h.told[-1][1]["waiters"] == 4
        assert all(fields["what"] == "one tools/call search" for _, fields in h.told)
        assert b"alice" not in json.dumps(h.told).encode()


async def test_waiting_longer_than_who_began_has_time_for_is_another_turn() -> None:
    async with house() as h:
        first = tool()
        first.deadline_s = 10.0
        second = tool()
        second.deadline_s = 60.0
        h.server.gate = asyncio.Event()
        asking = [asyncio.create_task(h.ask(one)) for one in (first, second)]
        await turns()
        h.server.error = DeadlineExceeded(why="late")
        h.now_s = 10.0
        h.server.gate.set()
        await turns(2)
        h.server.error = None
        with pytest.raises(DeadlineExceeded):
            await asking[0]
        assert (await asking[1])["result"] == h.server.result
        assert h.calls == 2


async def test_ten_thousand_cold_callers_make_one_call() -> None:
    """CACHE-03"""
    async with house() as h:
        h.server.gate = asyncio.Event()
        asking = [asyncio.create_task(h.ask(raw_id=b"%d" % number)) for number in range(10_000)]
        await turns()
        h.server.gate.set()
        told = await asyncio.gather(*asking)
        assert h.calls == 1
        assert [one["id"] for one in told] == list(range(10_000))
