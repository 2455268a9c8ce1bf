"""Whose answer is whose (MCP-05, MCP-07)."""

import json
import re
from typing import Any

import pytest

from mantlet.core.refusal import BadUpstream, Overloaded, Refusal
from mantlet.upstreams.transports.channel.mux import Mux, Pending

SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"


class Heard:
    def __init__(self) -> None:
        self.answer: Any = None
        self.raw = b""
        self.code: int | None = None
        self.notes: list[Any] = []
        self.lost: Refusal | None = None

    def on_answer(self, body: bytes, code: int | None, /) -> None:
        assert self.answer is None, "answered twice"
        self.raw, self.answer, self.code = body, json.loads(body), code

    def on_note(self, body: bytes, /) -> None:
        self.notes.append(json.loads(body))

    def on_lost(self, refusal: Refusal, /) -> None:
        self.lost = refusal


class Bench:
    def __init__(self, era: str = "legacy", max_pending: int = 100) -> None:
        self.broadcasts: list[tuple[str, str, Any]] = []
        self.mux = Mux(
            max_pending=max_pending, broadcast=lambda *said: self.broadcasts.append((*said[:2], json.loads(said[2])))
        )
        self.mux.era = era  # type: ignore[assignment]

    def open(
        self, body: Any = None, raw_id: bytes = b"1", who: str = "alice", **options: Any
    ) -> tuple[Heard, Pending, Any]:
        heard = Heard()
        raw = body if type(body) is bytes else json.dumps(body or {"jsonrpc": "2.0", "id": 1, "method": "m"}).encode()
        pending, line = self.mux.open(raw, raw_id, ("t", "i", who), heard, **options)
        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1
        return heard, pending, json.loads(line)

    def say(self, message: Any) -> Any:
        raw = message if type(message) is bytes else json.dumps(message).encode()
        reply = self.mux.feed(raw)
        return None if reply is None else json.loads(reply)

    def result(self, id: Any, result: Any = "ok") -> None:  # noqa: A002
        self.say({"jsonrpc": "2.0", "id": id, "result": result})


@pytest.mark.parametrize("raw_id", [b"1", b'"a"', b'"\\u00e9\\""', b"-7", b"123456789012345678901234567890"])
def test_an_answer_comes_back_under_the_clients_own_id(raw_id: bytes) -> None:
    bench = Bench()
    heard, _, sent = bench.open(raw_id=raw_id)
    bench.result(sent["id"])
    assert b'"id":' + raw_id + b"," in heard.raw


def test_equal_ids_of_many_clients_never_meet() -> None:
    bench = Bench()
    opened = [bench.open() for _ in range(50)]
    assert len({sent["id"] for _, _, sent in opened}) == 50
    for heard, _, sent in reversed(opened):
        bench.result(sent["id"], sent["id"])
        assert heard.answer == {"jsonrpc": "2.0", "id": 1, "result": sent["id"]}
    assert len(bench.mux) == 0


def test_arguments_and_results_keep_their_bytes() -> None:
    """VAL-02"""
    arguments = b'{"n" : 1.0e2,  "s":"\\u0041\\/","big":12345678901234567890123,"e":"\xc3\xa9"}'
    body = b'{"id":1,"params":{"name":"x","arguments":%b},"method":"tools/call","jsonrpc":"2.0"}' % arguments
    bench, heard = Bench(), Heard()
    _, line = bench.mux.open(body, b"1", ("a",), heard)
    assert arguments in line
    tokened = body.replace(b'"name"', b'"_meta":{"progressToken":"p","k": 1.50},"name"')
    pending, line = bench.mux.open(tokened, b"1", ("a",), heard, token=b'"p"')
    assert arguments in line
    assert b"1.50" in line
    assert json.loads(line)["params"]["_meta"]["progressToken"] == pending.hop_id
    bench.mux.feed(b'{"result":%b,"id":%d,"jsonrpc":"2.0"}' % (arguments, pending.hop_id))
    assert heard.raw == b'{"jsonrpc":"2.0","id":1,"result":%b}' % arguments


def test_line_ends_in_a_body_never_reach_the_channel() -> None:
    """One message is one line, or a client could write messages of its own."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "m", "params": {"a": "x\ny\r"}}, indent=2).encode()
    _, _, sent = Bench().open(body.replace(b"\n", b"\r\n"))
    assert sent["params"] == {"a": "x\ny\r"}


@pytest.mark.parametrize(
    ("line", "counter"),
    [
        (b"hello", "garbage"),
        (b"", "garbage"),
        (b"[]", "garbage"),
        (b"null", "garbage"),
        (b'{"jsonrpc":"2.0","id":true,"result":1}', "garbage"),
        (b'{"jsonrpc":"2.0","id":7,"result":"\xff"}', "garbage"),
        (b'{"id":1,"result":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "garbage"),
        (b'{"jsonrpc":"2.0","id":7,"result":1}', "unknown"),
        (b'{"jsonrpc":"2.0","id":0,"result":1}', "unknown"),
        (b'{"jsonrpc":"2.0","id":"1","result":1}', "unknown"),
        (b'{"jsonrpc":"2.0","id":1.0,"result":1}', "unknown"),
        (b'{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":""}}', "unknown"),
        (b'{"jsonrpc":"2.0"}', "unknown"),
        (b'{"jsonrpc":"2.0","method":"notifications/progress"}', "unattributed"),
        (b'{"jsonrpc":"2.0","method":"notifications/progress","params":[1]}', "unattributed"),
        (b'{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1}}', "unattributed"),
        (b'{"jsonrpc":"2.0","method":"notifications/other","params":{}}', "unattributed"),
        (b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}', "unattributed"),
        (b'{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":3}}', "unattributed"),
    ],
)
def test_what_belongs_to_nobody_is_dropped_and_counted(line: bytes, counter: str) -> None:
    bench = Bench()
    heard, _, _ = bench.open()
    bench.say(line)
    assert getattr(bench.mux.counters, counter) == 1
    assert heard.answer is None
    assert heard.lost is None
    assert not heard.notes
    assert not bench.broadcasts


def test_a_repeated_or_late_answer_is_dropped_and_counted() -> None:
    bench = Bench()
    heard, _, sent = bench.open()
    bench.result(sent["id"])
    bench.result(sent["id"], "again")
    _, pending, late = bench.open()
    assert json.loads(bench.mux.give_up(pending, "gone") or b"")["params"]["requestId"] == late["id"]
    assert bench.mux.give_up(pending, "gone") is None
    bench.result(late["id"])
    assert heard.answer["result"] == "ok"
    assert bench.mux.counters.late == 2


@pytest.mark.parametrize(
    "answer", [b'"result":1,"error":{"code":1,"message":""}', b'"x":1', b'"error":1', b'"error":{"code":"a"}']
)
def test_an_answer_that_is_no_answer_ends_its_call(answer: bytes) -> None:
    bench = Bench()
    heard, _, sent = bench.open()
    bench.say(b'{"jsonrpc":"2.0","id":%d,%b}' % (sent["id"], answer))
    assert isinstance(heard.lost, BadUpstream)
    assert len(bench.mux) == 0


def test_a_repeated_member_reaches_the_client_once() -> None:
    bench = Bench()
    heard, _, sent = bench.open()
    bench.say(b'{"jsonrpc":"2.0","id":%d,"result":1,"result":2}' % sent["id"])
    assert heard.raw == b'{"jsonrpc":"2.0","id":1,"result":2}'


def test_an_error_keeps_its_bytes_and_tells_its_code() -> None:
    bench = Bench()
    heard, _, sent = bench.open(raw_id=b'"e"')
    bench.say(b'{"jsonrpc":"2.0","id":%d,"error":{"code": -32601,"message":"no"}}' % sent["id"])
    assert heard.raw == b'{"jsonrpc":"2.0","id":"e","error":{"code": -32601,"message":"no"}}'
    assert heard.code == -32601


def test_progress_goes_to_its_call_under_its_own_token() -> None:
    bench = Bench()
    body = {"jsonrpc": "2.0", "id": 1, "method": "m", "params": {"_meta": {"progressToken": "same"}}}
    calls = [bench.open(body, token=b'"same"') for _ in range(3)]
    for _, _, sent in calls:
        token = sent["params"]["_meta"]["progressToken"]
        progress = {"progressToken": token, "progress": sent["id"]}
        bench.say({"jsonrpc": "2.0", "method": "notifications/progress", "params": progress})
    for heard, _, sent in calls:
        assert [note["params"] for note in heard.notes] == [{"progressToken": "same", "progress": sent["id"]}]


def test_progress_after_the_answer_or_without_a_token_is_dropped() -> None:
    bench = Bench()
    heard, _, sent = bench.open()
    progress = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": sent["id"]}}
    bench.say(progress)
    bench.result(sent["id"])
    bench.say(progress)
    assert not heard.notes
    assert bench.mux.counters.unattributed == 2


LOG = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "secret of one"}}


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_a_log_message_goes_to_the_only_call_it_can_belong_to(era: str) -> None:
    bench = Bench(era)
    heard, _, _ = bench.open(wants_log=True)
    bench.say(LOG)
    assert heard.notes == [LOG]


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_a_log_message_that_may_be_anothers_goes_to_nobody(era: str) -> None:
    """AUTHZ-08"""
    bench = Bench(era)
    first, pending, _ = bench.open(wants_log=True)
    second, _, _ = bench.open(wants_log=True, who="bob")
    bench.say(LOG)
    bench.mux.give_up(pending, "left")  # the server may still work on it
    bench.say(LOG)
    assert not first.notes
    assert not second.notes
    assert bench.mux.counters.unattributed == 2
    bench.result(pending.hop_id)
    bench.say(LOG)
    assert second.notes == [LOG]


def test_a_modern_call_that_asked_for_no_log_gets_none() -> None:
    bench = Bench("modern")
    heard, _, _ = bench.open()
    bench.say(LOG)
    assert not heard.notes


def test_a_subscription_is_told_by_its_id_and_hears_its_own() -> None:
    bench = Bench("modern")
    body = {"jsonrpc": "2.0", "id": "s", "method": "subscriptions/listen", "params": {"notifications": {}}}
    one, _, sent_one = bench.open(body, raw_id=b'"s"', is_listen=True)
    two, _, sent_two = bench.open(body, raw_id=b'"s"', is_listen=True)
    changed = "notifications/tools/list_changed"
    for sent in (sent_one, sent_two, sent_one):
        bench.say({"jsonrpc": "2.0", "method": changed, "params": {"_meta": {SUBSCRIPTION: sent["id"]}}})
    bench.say({"jsonrpc": "2.0", "method": changed, "params": {"_meta": {SUBSCRIPTION: "s"}}})
    bench.say({"jsonrpc": "2.0", "method": changed})
    assert [len(one.notes), len(two.notes)] == [2, 1]
    assert one.notes[0]["params"]["_meta"] == {SUBSCRIPTION: "s"}
    bench.result(sent_one["id"], {"resultType": "complete", "_meta": {SUBSCRIPTION: sent_one["id"]}})
    assert one.answer["result"]["_meta"] == {SUBSCRIPTION: "s"}
    bench.say({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": sent_two["id"]}})
    assert isinstance(two.lost, BadUpstream)
    assert bench.mux.counters.unattributed == 2
    assert not bench.broadcasts


def test_a_plain_call_hears_nothing_by_subscription() -> None:
    bench = Bench("modern")
    heard, _, sent = bench.open()
    bench.say({"jsonrpc": "2.0", "method": "x", "params": {"_meta": {SUBSCRIPTION: sent["id"]}}})
    bench.say({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": sent["id"]}})
    assert not heard.notes
    assert heard.lost is None


def test_legacy_changes_go_to_sessions() -> None:
    bench = Bench()
    changed = {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}
    updated = {"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": "a:b"}}
    bench.say(changed)
    bench.say(updated)
    assert bench.broadcasts == [
        ("notifications/tools/list_changed", "", changed),
        ("notifications/resources/updated", "a:b", updated),
    ]


def test_requests_of_a_legacy_server_are_answered_by_the_node() -> None:
    bench = Bench()
    assert bench.say({"jsonrpc": "2.0", "id": "é", "method": "ping"}) == {"jsonrpc": "2.0", "id": "é", "result": {}}
    refused = bench.say({"jsonrpc": "2.0", "id": 1, "method": "sampling/createMessage", "params": {}})
    assert refused["error"]["code"] == -32601
    assert bench.mux.counters.requests == 2


def test_requests_of_a_modern_server_are_dropped() -> None:
    """MCP-07: this revision lets clients send no responses over stdio."""
    bench = Bench("modern")
    assert bench.say({"jsonrpc": "2.0", "id": 1, "method": "ping"}) is None
    assert bench.mux.counters.requests == 1


def test_more_calls_than_allowed_are_refused() -> None:
    bench = Bench(max_pending=2)
    bench.open()
    _, _, sent = bench.open()
    with pytest.raises(Overloaded):
        bench.open()
    bench.result(sent["id"])
    bench.open()


def test_the_end_of_the_channel_ends_every_call() -> None:
    bench = Bench()
    heard = [bench.open()[0] for _ in range(5)]
    bench.mux.lose_all("killed")
    assert all(isinstance(each.lost, BadUpstream) for each in heard)
    assert len(bench.mux) == 0


def test_an_answer_too_large_ends_its_call() -> None:
    bench = Bench()
    one, _, sent = bench.open()
    two, _, _ = bench.open()
    bench.mux.oversized(b'{"jsonrpc":"2.0","id":%d,"result":{"x":"' % sent["id"])
    bench.mux.oversized(b'{"jsonrpc":"2.0","method":"x","params":{"id":%d,"result":"' % sent["id"])
    bench.mux.oversized(b"xxxx")
    assert isinstance(one.lost, BadUpstream)
    assert two.lost is None
    assert bench.mux.counters.oversized == 3


def test_a_call_of_an_earlier_channel_cannot_end_one_of_this() -> None:
    old, new = Bench(), Bench()
    _, stale, _ = old.open()
    heard, fresh, _ = new.open()
    assert stale.hop_id == fresh.hop_id
    assert new.mux.give_up(stale, "x") is None
    new.result(fresh.hop_id)
    assert heard.answer is not None


def test_method_names_are_escaped_json() -> None:
    bench = Bench("modern")
    body = {"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": {}}
    heard, _, sent = bench.open(body, is_listen=True)
    bench.say({"jsonrpc": "2.0", "method": 'a"b', "params": {"_meta": {SUBSCRIPTION: sent["id"]}}})
    assert heard.notes[0]["method"] == 'a"b'
    assert re.match(r"^[^\n]*$", json.dumps(heard.notes[0]))
