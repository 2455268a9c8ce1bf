"""RES-02"""

import json
from typing import Any

import msgspec
import pytest
from tests.core.body import Body
from tests.upstreams.before_server import Clock, a_call

from mantlet.core import refusal as r
from mantlet.core.call import Call, Reply
from mantlet.upstreams.fallback.answers import MAX_ANSWERS, MAX_BYTES, MemoryAnswers
from mantlet.upstreams.fallback.config import FallbackRule
from mantlet.upstreams.fallback.plan import Plan
from mantlet.upstreams.fallback.step import MARK, Fallback

JSON = [(b"content-type", b"application/json")]


def good(call: Call, **result: Any) -> Reply:
    body = {"resultType": "complete", "content": [{"type": "text", "text": "fine"}], **result}
    return Reply(
        200, list(JSON), b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (call.id or b"", msgspec.json.encode(body))
    )


class Bench:
    """The step of server `docs` with these rules; `end` is what becomes of a call, `other` of one to another server."""

    def __init__(self, *rules: dict[str, Any], **annotations: Any) -> None:
        self.clock = Clock()
        self.answers = MemoryAnswers(self.clock)
        self.end: Any = r.UpstreamUnavailable()
        self.other: Any = None
        self.asked: list[Call] = []
        self.told: list[tuple[str, str]] = []
        self.consents: dict[str, Any] = {}
        plan = Plan([msgspec.convert(rule, FallbackRule) for rule in rules], lambda server, tool: annotations)
        fallback = Fallback(
            {"docs": plan},
            self.answers,
            monotonic=self.clock,
            tell=lambda server, source: self.told.append((server, source)),
            consents=self.consents,
        )
        self.step = fallback.over(self._again)

    async def _again(self, call: Call) -> Reply:
        self.asked.append(call)
        return self._outcome(self.other, call)

    async def _onward(self, call: Call) -> Reply:
        return self._outcome(self.end, call)

    def _outcome(self, end: Any, call: Call) -> Reply:
        if isinstance(end, BaseException):
            raise end
        found = good(call) if end is None else end(call) if callable(end) else end
        assert isinstance(found, Reply)
        return found

    async def call(self, call: Call) -> dict[str, Any]:
        reply = await self.step(call, self._onward)
        body = reply.body if isinstance(reply.body, bytes) else b"".join([chunk async for chunk in reply.body])
        return dict(json.loads(body.rpartition(b"data: ")[2]))


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (r.UpstreamUnavailable(), "upstream_unavailable"),
        (r.BreakerOpen(), "breaker_open"),
        (r.BadUpstream(), "bad_upstream"),
        (r.DeadlineExceeded(), "deadline_exceeded"),
        (Reply(503, [], b""), "status_503"),
    ],
)
async def test_what_the_server_cannot_answer_is_answered_as_the_operator_said_and_marked(end: Any, reason: str) -> None:
    """RES-02"""
    bench = Bench({"tools": ["get_*"], "answer": "The clock is away."})
    bench.end = end
    call = a_call(target="get_time", identity="mine")
    answer = await bench.call(call)
    assert answer["id"] == "mine"
    assert answer["result"] == {
        "resultType": "complete",
        "content": [{"type": "text", "text": "The clock is away."}],
        "_meta": {MARK: {"from": "static", "reason": reason}},
    }
    assert call.trail.notes["fallback"] == f"static, {reason}"
    assert bench.told == [("docs", "static")]


@pytest.mark.parametrize(
    "end",
    [
        r.Overloaded(),
        r.Denied(),
        r.EgressDenied(),
        r.SessionNotFound(),
        r.InvalidArguments(),
        r.BadUpstream.answered("it answered 403"),
        RuntimeError("ours"),
    ],
    ids=lambda end: type(end).__name__,
)
async def test_what_is_not_the_servers_failure_is_told_as_it_is(end: BaseException) -> None:
    """RES-02"""
    bench = Bench({"tools": ["*"], "answer": "no"})
    bench.end = end
    with pytest.raises(type(end)):
        await bench.call(a_call(target="get_time"))


@pytest.mark.parametrize(
    ("call", "annotations"),
    [
        (a_call(target="set_time"), {}),  # not named
        (a_call(target="get_time"), {"readOnlyHint": False}),  # approved as one that changes something
        (a_call(target="get_time", params={"name": "get_time", "task": {}}), {}),
        (a_call(target="get_time", params={"name": "get_time", "requestState": "of-docs"}), {}),
        (a_call("resources/read", "get_x"), {}),
        (a_call("notifications/x", "get_time", kind="notification"), {}),
        (a_call(target="get_time", server="other"), {}),
    ],
)
async def test_what_changes_something_or_is_not_named_gets_no_fallback(call: Call, annotations: Any) -> None:
    """RES-02"""
    bench = Bench({"tools": ["get_*"], "answer": "no"}, **annotations)
    with pytest.raises(r.UpstreamUnavailable):
        await bench.call(call)
    assert bench.told == []


async def test_a_caller_gets_the_last_answer_that_it_had_itself() -> None:
    """RES-02"""
    bench = Bench({"tools": ["get_*"], "cached": 60})
    call = a_call(target="get_time", params={"name": "get_time", "arguments": {"zone": "a", "x": 1}})
    bench.end = None
    assert "_meta" not in (await bench.call(call))["result"]
    bench.end = r.BreakerOpen()
    again = a_call(target="get_time", identity=9, params={"arguments": {"x": 1, "zone": "a"}, "name": "get_time"})
    answer = await bench.call(again)
    assert answer["id"] == 9
    assert answer["result"]["content"][0]["text"] == "fine"
    assert answer["result"]["_meta"] == {MARK: {"from": "cached", "reason": "breaker_open"}}
    for other in (
        a_call(target="get_time", subject="b", params=call.params),
        a_call(target="get_time", params={"name": "get_time", "arguments": {"zone": "b", "x": 1}}),
        a_call(target="get_date", params={"name": "get_date", "arguments": {"zone": "a", "x": 1}}),
        a_call(target="get_time", era="legacy", params=call.params),
    ):
        with pytest.raises(r.BreakerOpen):
            await bench.call(other)
    bench.clock.now_s += 61
    with pytest.raises(r.BreakerOpen):
        await bench.call(again)


async def test_a_caller_whose_rights_changed_does_not_get_what_it_once_had() -> None:
    """RES-02"""
    from dataclasses import replace

    bench = Bench({"tools": ["*"], "cached": 60})
    call = a_call()
    bench.end = None
    await bench.call(call)
    bench.end = r.BreakerOpen()
    with pytest.raises(r.BreakerOpen):
        await bench.call(replace(call, caller=replace(call.caller, roles=frozenset({"less"}))))


@pytest.mark.parametrize("result", [{"isError": True}, {"resultType": "input_required"}])
async def test_only_good_answers_are_worth_giving_again(result: dict[str, Any]) -> None:
    bench = Bench({"tools": ["*"], "cached": 60})
    bench.end = lambda call: good(call, **result)
    await bench.call(a_call())
    assert len(bench.answers) == 0


def streamed(call: Call) -> Reply:
    note = b'data: {"jsonrpc":"2.0","method":"notifications/message","params":{"data":1}}\n\n'
    body = good(call).body
    assert isinstance(body, bytes)
    return Reply(200, [], Body(note, b"data: " + body + b"\n\n"))


async def test_streamed_answers_are_kept_as_whole_ones_are() -> None:
    bench = Bench({"tools": ["*"], "cached": 60})
    bench.end = streamed
    assert (await bench.call(a_call()))["result"]["content"][0]["text"] == "fine"
    assert len(bench.answers) == 1


async def test_another_server_is_asked_as_the_caller_itself_would_ask_it() -> None:
    """RES-02: by the whole way, so a fallback opens nothing."""
    bench = Bench({"tools": ["*"], "server": "mirror"})
    call = a_call(identity="mine")
    answer = await bench.call(call)
    (asked,) = bench.asked
    assert (asked.server, asked.caller, asked.body, asked.trail.server) == ("mirror", call.caller, call.body, "mirror")
    assert call.trail.server != "mirror"
    assert answer["id"] == "mine"
    assert answer["result"]["_meta"][MARK] == {"from": "server", "server": "mirror", "reason": "upstream_unavailable"}
    bench.other = streamed
    assert (await bench.call(call))["result"]["_meta"][MARK]["server"] == "mirror"
    with pytest.raises(r.UpstreamUnavailable):
        await bench.call(a_call(deadline_s=bench.clock.now_s))
    assert len(bench.asked) == 2, "asked for nobody: the deadline has passed"


@pytest.mark.parametrize(
    "other",
    [
        r.Denied(),
        r.NotFound(),
        r.BreakerOpen(),
        Reply(400, [], b'{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Unknown tool"}}'),
        Reply(503, [], b""),
        Reply(200, [], b'{"jsonrpc":"2.0","id":1,"result":{"resultType":"input_required","requestState":"of-mirror"}}'),
        Reply(200, [], b'{"jsonrpc":"2.0","id":1,"result":[]}'),
        Reply(200, [], b"[" * 100_000),
    ],
    ids=str,
)
async def test_where_the_other_cannot_either_the_next_rule_is_tried_and_then_the_failure_told(other: Any) -> None:
    """RES-02"""
    bench = Bench({"tools": ["*"], "server": "mirror"}, {"tools": ["t"], "answer": "away"})
    bench.other = other
    assert (await bench.call(a_call()))["result"]["_meta"][MARK]["from"] == "static"
    alone = Bench({"tools": ["*"], "server": "mirror"})
    alone.other, alone.end = other, r.BadUpstream(why="the first")
    call = a_call()
    with pytest.raises(r.BadUpstream, match="the first"):
        await alone.call(call)
    assert call.trail.notes["fallback_refused"].startswith("mirror: ")


async def test_a_legacy_caller_is_answered_in_its_own_words() -> None:
    """RES-02: it has no session at the other server, and needs none."""
    bench = Bench({"tools": ["*"], "server": "mirror"})
    call = a_call(era="legacy", session="s", params={"name": "t", "arguments": {"a": 1}, "_meta": {"progressToken": 1}})
    answer = await bench.call(call)
    (asked,) = bench.asked
    assert (asked.era, asked.session, asked.target, asked.method) == ("modern", "", "t", "tools/call")
    assert asked.params["arguments"] == {"a": 1}
    assert "progressToken" not in asked.params["_meta"]
    assert "resultType" not in answer["result"]
    assert answer["id"] == 1
    bench.other = lambda made: good(made, resultType="input_required")
    with pytest.raises(r.UpstreamUnavailable):
        await bench.call(call)


def test_what_is_kept_has_bounds() -> None:
    answers = MemoryAnswers(Clock())
    for number in range(MAX_ANSWERS + 50):
        answers.keep(a_call(params={"name": "t", "n": number}), b"x", 0)
    assert len(answers) == MAX_ANSWERS
    for number in range(40):
        answers.keep(a_call(params={"name": "big", "n": number}), b"x" * 1_000_000, 0)
    assert answers.size_bytes <= MAX_BYTES
    before = len(answers)
    answers.keep(a_call(params={"name": "huge"}), b"x" * 2_000_000, 0)
    assert len(answers) == before
    for _ in range(5):
        answers.keep(a_call(params={"name": "same"}), b"12345", 0)
    sizes = sum(len(result) for _, result, _, _ in answers._kept.values())
    assert answers.size_bytes == sizes == sum(share.size_bytes for share in answers._shares.values())


def test_a_caller_that_asks_for_much_pushes_out_its_own() -> None:
    """RES-02: nobody can take from the others what they would get when the server is gone."""
    answers = MemoryAnswers(Clock())
    few = [a_call(subject="quiet", params={"name": "t", "n": number}) for number in range(20)]
    for call in few:
        answers.keep(call, b"x", 0)
    for number in range(3 * MAX_ANSWERS):
        answers.keep(a_call(subject="loud", params={"name": "t", "n": number}), b"x", 0)
    for number in range(40):
        answers.keep(a_call(subject="large", params={"name": "t", "n": number}), b"x" * 1_000_000, 0)
    assert len(answers) <= MAX_ANSWERS
    assert answers.size_bytes <= MAX_BYTES
    assert all(answers.find(call, 60) is not None for call in few)
    answers.forget("")
    assert (len(answers), answers.size_bytes, len(answers._shares)) == (0, 0, 0)


async def test_where_callers_own_grants_are_used_the_last_answer_needs_the_consent_it_was_got_by() -> None:
    """CACHE-05"""

    class Book:
        given = "first"

        async def consent(self, caller: Any) -> str:
            if not self.given:
                raise r.ConsentRequired("docs")
            return self.given

    bench = Bench({"tools": ["*"], "cached": 60})
    book = bench.consents["docs"] = Book()
    bench.end = None
    await bench.call(a_call())
    bench.end = r.BreakerOpen()
    assert "_meta" in (await bench.call(a_call()))["result"]
    for given, refusal in (("", r.ConsentRequired), ("second", r.BreakerOpen)):
        book.given = given
        with pytest.raises(refusal):
            await bench.call(a_call())


READ: Any = {"method": "resources/read", "target": "x", "params": {"uri": "x"}}
COMPLETE: Any = {"method": "completion/complete", "target": "", "params": {}}


@pytest.mark.parametrize(
    ("scope", "left"),
    [
        ("", set()),
        ("docs", {"other"}),
        ("docs/tools", {"read", "complete", "other"}),
        ("docs/resources", {"tool", "other"}),
        ("docs/prompts", {"tool", "read", "other"}),
        ("doc", {"tool", "read", "complete", "other"}),
        ("docs/discover", {"tool", "read", "complete", "other"}),
    ],
)
def test_what_is_said_to_be_old_is_no_answer_any_more(scope: str, left: set[str]) -> None:
    """CACHE-05"""
    answers = MemoryAnswers(Clock())
    kept = {"tool": a_call(), "read": a_call(**READ), "complete": a_call(**COMPLETE), "other": a_call(server="other")}
    for call in kept.values():
        answers.keep(call, b"{}", answers.era)
    answers.forget(scope)
    assert {name for name, call in kept.items() if answers.find(call, 60) is not None} == left
    assert answers.size_bytes == 2 * len(left)


async def test_what_was_under_way_while_something_changed_is_not_kept() -> None:
    """CACHE-05: it may tell of the time before."""
    bench = Bench({"tools": ["*"], "cached": 60})

    def changing(call: Call) -> Reply:
        bench.answers.forget("docs/tools")
        return good(call)

    bench.end = changing
    await bench.call(a_call())
    bench.end = r.UpstreamUnavailable()
    with pytest.raises(r.UpstreamUnavailable):
        await bench.call(a_call())


@pytest.mark.parametrize(
    "bad",
    [
        {"tools": ["t"]},
        {"answer": "x"},
        {"tools": ["t"], "answer": "x", "server": "y"},
        {"methods": ["tools/call"], "server": "y"},
        {"methods": ["initialize"], "server": "y"},
        {"methods": ["resources/read"], "answer": "text"},
        {"tools": ["t"], "cached": 0},
        {"tools": ["t"], "local": "x"},
    ],
)
def test_rules_that_mean_nothing_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(bad, FallbackRule)
