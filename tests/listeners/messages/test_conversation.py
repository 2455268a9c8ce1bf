"""What a connection of bare messages may expect: every answer to its request, bounded, in both eras."""

import asyncio
import json
from typing import Any

import pytest
from tests.listeners.messages.talk import Events, Talk, answer

from mantlet.core.call import Arrival, Reply
from mantlet.core.refusal import (
    Denied,
    InvalidCredential,
    InvalidJson,
    InvalidRequest,
    MethodNotAllowed,
    RateLimited,
    Refusal,
    SessionNotFound,
)
from mantlet.listeners.messages.carrier import Ending
from mantlet.listeners.messages.conversation import SPARE_CANCELLATIONS

LIMITED = RateLimited(name="client", limit=1, window_s=1, remaining=0, reset_s=1, retry_after_s=1, is_global=False)


async def test_a_message_becomes_an_arrival_of_the_connections_caller() -> None:
    talk = Talk(is_tls=True)
    talk.say(id=1, method="tools/list")
    await talk.settled()
    (arrival,) = talk.arrivals
    assert arrival.is_message
    assert (arrival.verb, arrival.path, arrival.peer, arrival.is_tls) == ("POST", "/mcp/one", "192.0.2.1", True)
    assert arrival.caller is not None
    assert arrival.caller.subject == "alice"
    assert arrival.deadline_s == talk.now_s + 60
    assert arrival.trail.door == "test"
    assert talk.carrier.messages == [{"jsonrpc": "2.0", "id": 1, "result": None}]


async def test_requests_run_at_once_and_are_answered_as_they_end() -> None:
    talk, gate = Talk(), asyncio.Event()

    async def slow_first(arrival: Arrival, message: Any) -> Reply:
        if message["id"] == "a":
            await gate.wait()
        return answer(message["id"], {})

    talk.handler = slow_first
    talk.say(id="a", method="ping")
    talk.say(id="b", method="ping")
    await talk.until(lambda: len(talk.carrier.sent) == 1)
    gate.set()
    await talk.until(lambda: len(talk.carrier.sent) == 2)
    assert [message["id"] for message in talk.carrier.messages] == ["b", "a"]


async def test_no_more_than_the_bound_run_as_many_wait_and_then_nothing_more_is_read() -> None:
    """RATE-06"""
    talk, gate = Talk(max_in_flight=2), asyncio.Event()

    async def held(arrival: Arrival, message: Any) -> Reply:
        await gate.wait()
        return answer(message["id"], {})

    talk.handler = held
    for number in range(4):
        assert not talk.conversation.is_full
        talk.say(id=number, method="ping")
    await talk.settled()
    assert len(talk.arrivals) == 2
    assert talk.conversation.is_full
    gate.set()
    await talk.until(lambda: len(talk.carrier.sent) == 4)
    assert not talk.conversation.is_full
    assert talk.carrier.rooms


async def test_what_messages_take_together_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """RATE-06: many large messages, though not many."""
    monkeypatch.setattr("mantlet.listeners.messages.conversation.MAX_BYTES", 1000)
    talk, gate = Talk(), asyncio.Event()

    async def held(arrival: Arrival, message: Any) -> Reply:
        await gate.wait()
        return answer(message["id"], {})

    talk.handler = held
    talk.say(id=1, method="tools/call", params={"a": "x" * 900})
    assert not talk.conversation.is_full
    talk.say(id=2, method="tools/call", params={"a": "x" * 900})
    assert talk.conversation.is_full
    gate.set()
    await talk.until(lambda: len(talk.carrier.sent) == 2)
    await talk.settled()
    assert not talk.conversation.is_full
    assert talk.conversation._bytes == 0


async def test_a_refusal_waits_for_a_slow_client_like_any_answer() -> None:
    talk = Talk()

    async def refuse(arrival: Arrival, message: Any) -> Reply:
        raise Denied

    talk.handler = refuse
    talk.carrier.gate.shut()
    talk.say(id=1, method="tools/call")
    await talk.settled()
    assert not talk.carrier.sent
    assert talk.conversation.is_busy
    talk.carrier.gate.open()
    await talk.until(lambda: len(talk.carrier.sent) == 1)


async def test_a_response_passes_requests_that_wait_for_a_place() -> None:
    """What holds the places may be waiting for exactly this response."""
    talk, gate = Talk(max_in_flight=1), asyncio.Event()

    async def held(arrival: Arrival, message: Any) -> Reply:
        if "method" in message:
            await gate.wait()
            return answer(message["id"], {})
        gate.set()
        return Reply(202, [])

    talk.handler = held
    talk.say(id=1, method="tools/call")
    talk.say(id=2, method="tools/call")
    talk.say(id="server-1", result={})
    await talk.until(lambda: len(talk.carrier.sent) == 2)


async def test_two_requests_under_one_id_are_not_told_apart_so_the_second_is_refused() -> None:
    talk, gate = Talk(), asyncio.Event()

    async def held(arrival: Arrival, message: Any) -> Reply:
        await gate.wait()
        return answer(message["id"], message["params"])

    talk.handler = held
    talk.say(id=1, method="tools/call", params={"n": 1})
    talk.say(id=1, method="tools/call", params={"n": 2})
    await talk.until(lambda: bool(talk.carrier.sent))
    assert [type(refusal) for refusal in talk.recorded] == [InvalidRequest]
    assert talk.carrier.messages[0]["error"]["code"] == -32600
    assert "id" not in talk.carrier.messages[0]
    gate.set()
    await talk.until(lambda: len(talk.carrier.sent) == 2)
    assert talk.carrier.messages[1] == {"jsonrpc": "2.0", "id": 1, "result": {"n": 1}}
    talk.say(id=1, method="tools/call", params={"n": 3})  # answered, so free again
    await talk.until(lambda: len(talk.carrier.sent) == 3)
    assert talk.carrier.messages[2]["result"] == {"n": 3}


@pytest.mark.parametrize(
    ("message", "identity"),
    [
        ({"id": 7, "method": "tools/call"}, 7),
        ({"id": "x", "method": "tools/call"}, "x"),
        ({"id": 2**70, "method": "tools/call"}, 2**70),
    ],
)
async def test_a_refused_request_is_answered_under_its_id(message: dict[str, Any], identity: Any) -> None:
    """ERR-01"""
    talk = Talk()

    async def refuse(arrival: Arrival, _: Any) -> Reply:
        raise LIMITED

    talk.handler = refuse
    talk.say(**message)
    await talk.settled()
    (said,) = talk.carrier.messages
    assert said["id"] == identity
    assert said["error"]["code"] == 4429
    assert said["error"]["data"]["reason"] == "rate_limited"
    assert said["error"]["data"]["retry_after"] == 1
    assert said["error"]["data"]["request_id"] == "r1"


@pytest.mark.parametrize("refusal", [LIMITED, Denied()])
@pytest.mark.parametrize("message", [{"method": "notifications/progress"}, {"id": 1, "result": {}}])
async def test_what_expects_no_answer_gets_none_when_refused(message: dict[str, Any], refusal: Refusal) -> None:
    talk = Talk()

    async def refuse(arrival: Arrival, _: Any) -> Reply:
        raise refusal

    talk.handler = refuse
    talk.say(**message)
    await talk.settled()
    assert not talk.carrier.sent


async def test_what_is_no_message_is_answered_without_an_id() -> None:
    talk = Talk()

    async def refuse(arrival: Arrival, _: Any) -> Reply:
        raise InvalidJson("no")

    talk.handler = refuse
    talk.conversation.receive(b"{nonsense")
    await talk.settled()
    (said,) = talk.carrier.messages
    assert "id" not in said
    assert said["error"]["code"] == -32700


async def test_an_error_that_nobody_expected_is_one_generic_answer() -> None:
    """ERR-02"""
    talk = Talk()

    async def fail(arrival: Arrival, _: Any) -> Reply:
        raise RuntimeError("secret")

    talk.handler = fail
    talk.say(id=1, method="ping")
    await talk.settled()
    (said,) = talk.carrier.messages
    assert said["error"]["code"] == -32603
    assert "secret" not in json.dumps(said)
    assert [type(error) for error in talk.errors] == [RuntimeError]


async def test_refused_too_often_in_a_row_the_connection_is_closed() -> None:
    talk = Talk(max_refused=3)
    limited = True

    async def refuse(arrival: Arrival, message: Any) -> Reply:
        if limited:
            raise LIMITED
        return answer(message["id"], {})

    talk.handler = refuse
    for number in (1, 2):
        talk.say(id=number, method="ping")
        await talk.settled()
    limited = False
    talk.say(id=3, method="ping")
    await talk.settled()
    limited = True
    for number in (4, 5):
        talk.say(id=number, method="ping")
        await talk.settled()
    assert not talk.carrier.closed
    talk.say(id=6, method="ping")
    await talk.settled()
    assert talk.carrier.closed == [Ending.ABUSE]


async def test_a_credential_that_no_longer_holds_ends_the_connection_after_its_answer() -> None:
    """AUTHN-06, AUTHN-10"""
    talk = Talk()

    async def refuse(arrival: Arrival, _: Any) -> Reply:
        raise InvalidCredential("revoked")

    talk.handler = refuse
    talk.say(id=1, method="ping")
    await talk.settled()
    assert talk.carrier.messages[0]["error"]["code"] == 4401
    assert talk.carrier.closed == [Ending.LAPSED]


async def test_the_watch_ends_those_whose_credential_lapsed_and_nobody_else() -> None:
    """AUTHN-06"""
    talk = Talk()
    assert talk.terms.check(lambda caller: True) == 0
    assert talk.terms.check(lambda caller: caller.subject != "alice") == 1
    assert talk.carrier.closed == [Ending.LAPSED]
    talk.conversation.end()
    assert talk.terms.check(lambda caller: False) == 0


# --- streamed answers --------------------------------------------------------------------------------------------


async def test_every_event_of_a_streamed_answer_is_a_message_and_the_answer_ends_it() -> None:
    talk = Talk()
    events = Events({"method": "notifications/progress", "params": {"progress": 1}}, {"id": 1, "result": {}})
    events.end()

    async def stream(arrival: Arrival, _: Any) -> Reply:
        return events.reply()

    talk.handler = stream
    talk.say(id=1, method="tools/call")
    await talk.until(lambda: len(talk.carrier.sent) == 2)
    assert talk.carrier.messages[0]["method"] == "notifications/progress"
    assert talk.carrier.messages[1] == {"jsonrpc": "2.0", "id": 1, "result": {}}
    await talk.until(lambda: not talk.conversation.is_busy)
    assert events.is_closed


@pytest.mark.parametrize("stray", [{"id": 2, "result": {}}, {"id": "1", "result": {}}, {"error": {"code": 1}}])
async def test_an_answer_to_another_request_of_the_connection_is_dropped_and_counted(stray: dict[str, Any]) -> None:
    """MCP-05: one server could else answer what another was asked."""
    talk, other = Talk(), asyncio.Event()
    events = Events(stray, {"id": 1, "result": "right"}, {"id": 1, "result": "again"})
    events.end()

    async def stream(arrival: Arrival, message: Any) -> Reply:
        if message["id"] == 2:
            await other.wait()
            return answer(2, "its own")
        return events.reply()

    talk.handler = stream
    talk.say(id=2, method="tools/call")
    talk.say(id=1, method="tools/call")
    await talk.until(lambda: bool(talk.carrier.sent))
    other.set()
    await talk.until(lambda: len(talk.carrier.sent) == 2)
    await talk.settled()
    assert [message["result"] for message in talk.carrier.messages] == ["right", "its own"]
    assert talk.terms.dropped >= 1


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"jsonrpc":"2.0","id":9,"result":{}}', b'{"id":1,"result":"\xff"}'])
async def test_a_reply_that_is_no_answer_to_the_request_is_an_error_under_its_id(body: bytes) -> None:
    talk = Talk()

    async def odd(arrival: Arrival, _: Any) -> Reply:
        return Reply(500, [], body)

    talk.handler = odd
    talk.say(id=1, method="tools/call")
    await talk.settled()
    (said,) = talk.carrier.messages
    assert (said["id"], said["error"]["code"]) == (1, 4502)


async def test_an_error_that_the_server_gave_is_passed_on() -> None:
    talk = Talk()

    async def gives_error(arrival: Arrival, _: Any) -> Reply:
        return Reply(404, [], b'{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}')

    talk.handler = gives_error
    talk.say(id=1, method="tools/call")
    await talk.settled()
    assert talk.carrier.messages[0]["error"]["code"] == -32601


async def test_a_stream_that_ends_without_the_answer_is_an_error() -> None:
    talk, events = Talk(), Events()
    events.end()

    async def stream(arrival: Arrival, _: Any) -> Reply:
        return events.reply()

    talk.handler = stream
    talk.say(id=1, method="tools/call")
    await talk.until(lambda: bool(talk.carrier.sent))
    assert talk.carrier.messages[0]["error"]["code"] == 4502


async def test_the_rest_of_a_stream_that_its_server_ended_early_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    """2025-11-25, "Sending Messages to the Server": the client reconnects with Last-Event-ID."""
    monkeypatch.setattr("mantlet.listeners.messages.exchange.RESUME_S", 0)
    talk, first, rest = Talk(), Events(), Events({"id": 1, "result": "late"})
    first.push({"method": "notifications/progress"}, id=b"e1")
    first.end()
    rest.end()

    async def stream(arrival: Arrival, _: Any) -> Reply:
        return first.reply() if arrival.verb == "POST" else rest.reply()

    talk.handler = stream
    talk.say(id=1, method="tools/call")
    await talk.until(lambda: len(talk.carrier.sent) == 2)
    assert talk.carrier.messages[1]["result"] == "late"
    assert talk.arrivals[1].headers.get(b"last-event-id") == b"e1"


async def test_what_a_slow_client_does_not_read_is_not_fetched() -> None:
    talk, events = Talk(), Events({"method": "notifications/progress"}, {"id": 1, "result": {}})

    async def stream(arrival: Arrival, _: Any) -> Reply:
        return events.reply()

    talk.handler = stream
    talk.carrier.gate.shut()
    talk.say(id=1, method="tools/call")
    await talk.settled()
    assert not talk.carrier.sent
    assert not events.queue.empty()
    talk.carrier.gate.open()
    await talk.until(lambda: len(talk.carrier.sent) == 2)


# --- cancelling ----------------------------------------------------------------------------------------------------


async def test_a_modern_cancellation_cancels_here_and_nothing_is_sent_for_the_request() -> None:
    """2026-07-28, stdio, "Cancellation"."""
    talk = Talk()

    async def hang(arrival: Arrival, _: Any) -> Reply:
        await asyncio.Event().wait()
        raise AssertionError

    talk.handler = hang
    talk.say(id=1, method="tools/call")
    await talk.until(lambda: bool(talk.arrivals))
    talk.say(method="notifications/cancelled", params={"requestId": 1})
    await talk.until(lambda: not talk.conversation.is_busy)
    assert [message["id"] for message in talk.cancelled] == [1]
    assert not talk.carrier.sent
    assert len(talk.arrivals) == 1


async def test_a_request_cancelled_before_it_began_leaves_nothing_behind() -> None:
    talk = Talk()
    talk.say(id=1, method="tools/call")
    talk.say(method="notifications/cancelled", params={"requestId": 1})
    await talk.settled()
    assert not talk.conversation.is_busy
    assert not talk.carrier.sent


async def test_a_cancellation_of_nothing_is_ignored_and_a_flood_of_them_ends_the_connection() -> None:
    talk = Talk()
    for number in range(SPARE_CANCELLATIONS):
        talk.say(method="notifications/cancelled", params={"requestId": number})
    talk.conversation.receive(b'{"jsonrpc":"2.0","method":"ping","id":1}')
    await talk.settled()
    assert not talk.carrier.closed
    talk.say(method="notifications/cancelled", params={"requestId": 1})
    assert not talk.carrier.closed  # one for each request
    talk.say(method="notifications/cancelled", params={})
    assert talk.carrier.closed == [Ending.ABUSE]


async def test_a_legacy_cancellation_is_told_to_the_server_before_the_call_is_given_up() -> None:
    talk, order = Talk(), []

    async def legacy(arrival: Arrival, message: Any) -> Reply:
        if arrival.verb != "POST":
            raise MethodNotAllowed("POST")
        if message["method"] == "initialize":
            return answer(message["id"], {"protocolVersion": "2025-11-25"}, [(b"mcp-session-id", b"s1")])
        if message["method"] == "tools/call":
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                order.append("given up")
                raise
        order.append(message["method"])
        return Reply(202, [])

    talk.handler = legacy
    talk.say(id=0, method="initialize")
    await talk.until(lambda: len(talk.carrier.sent) == 1)
    talk.say(id=1, method="tools/call")
    await talk.settled()
    talk.say(method="notifications/cancelled", params={"requestId": 1})
    await talk.until(lambda: not talk.conversation.is_busy)
    assert order == ["notifications/cancelled", "given up"]
    assert len(talk.carrier.sent) == 1


# --- the session of a legacy client ----------------------------------------------------------------------------


class Legacy:
    """A legacy server behind a conversation."""

    def __init__(self, talk: Talk) -> None:
        self.talk = talk
        self.stream = Events()
        self.seen: list[tuple[str, str, bytes | None, bytes | None]] = []
        talk.handler = self.handle

    async def handle(self, arrival: Arrival, message: Any) -> Reply:
        what = arrival.verb if message is None else message.get("method", "response")
        get = arrival.headers.get
        self.seen.append((arrival.verb, what, get(b"mcp-session-id"), get(b"mcp-protocol-version")))
        if arrival.verb == "GET":
            return self.stream.reply()
        if arrival.verb == "DELETE":
            return Reply(200, [])
        if what == "initialize":
            return answer(message["id"], {"protocolVersion": "2025-06-18"}, [(b"mcp-session-id", b"s1")])
        return answer(message["id"], {}) if "id" in message and "method" in message else Reply(202, [])

    async def shake_hands(self) -> None:
        self.talk.say(id=0, method="initialize")
        await self.talk.until(lambda: len(self.talk.carrier.sent) == 1)
        self.talk.say(method="notifications/initialized")
        await self.talk.until(lambda: any(verb == "GET" for verb, *_ in self.seen))


async def test_session_and_version_of_the_handshake_go_with_every_later_message() -> None:
    talk = Talk()
    legacy = Legacy(talk)
    await legacy.shake_hands()
    talk.say(id=1, method="tools/list")
    await talk.until(lambda: len(talk.carrier.sent) == 2)
    assert legacy.seen == [
        ("POST", "initialize", None, None),
        ("POST", "notifications/initialized", b"s1", b"2025-06-18"),
        ("GET", "GET", b"s1", b"2025-06-18"),
        ("POST", "tools/list", b"s1", b"2025-06-18"),
    ]


async def test_a_modern_message_beside_a_session_has_no_part_in_it() -> None:
    talk = Talk()
    legacy = Legacy(talk)
    await legacy.shake_hands()
    talk.say(id=1, method="tools/list", params={"_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}})
    await talk.until(lambda: len(talk.carrier.sent) == 2)
    assert legacy.seen[-1] == ("POST", "tools/list", None, None)


async def test_a_server_hears_of_the_end_of_the_handshake_before_what_follows_it() -> None:
    """Clients on one channel need not wait for the acceptance of a notification."""
    talk = Talk()
    legacy = Legacy(talk)
    heard = asyncio.Event()
    handle = talk.handler

    async def slow_to_hear(arrival: Arrival, message: Any) -> Reply:
        if message is not None and message.get("method") == "notifications/initialized":
            await heard.wait()
        return await handle(arrival, message)

    talk.handler = slow_to_hear
    talk.say(id=0, method="initialize")
    talk.say(method="notifications/initialized")
    talk.say(id=1, method="tools/list")
    await talk.until(lambda: len(talk.carrier.sent) == 1)
    await talk.settled()
    assert [what for _, what, *_ in legacy.seen] == ["initialize"]
    heard.set()
    await talk.until(lambda: len(talk.carrier.sent) == 2)
    assert [what for _, what, *_ in legacy.seen if what != "GET"] == [
        "initialize", "notifications/initialized", "tools/list",
    ]  # fmt: skip


async def test_what_the_server_says_unasked_comes_as_messages_and_responses_go_back() -> None:
    talk = Talk()
    legacy = Legacy(talk)
    await legacy.shake_hands()
    legacy.stream.push({"id": "ask-1", "method": "roots/list"})
    legacy.stream.push({"method": "notifications/tools/list_changed"})
    legacy.stream.push({"id": 1, "result": "of nobody's request"})
    await talk.until(lambda: len(talk.carrier.sent) == 3)
    assert [message.get("method") for message in talk.carrier.messages[1:]] == [
        "roots/list", "notifications/tools/list_changed",
    ]  # fmt: skip
    talk.say(id="ask-1", result={"roots": []})
    await talk.until(lambda: legacy.seen[-1][1] == "response")
    assert legacy.seen[-1] == ("POST", "response", b"s1", b"2025-06-18")
    assert len(talk.carrier.sent) == 3


async def test_the_end_of_a_connection_cancels_all_of_it_and_ends_its_session() -> None:
    """MCP-07"""
    talk = Talk()
    legacy = Legacy(talk)
    await legacy.shake_hands()
    handle = talk.handler

    async def hang(arrival: Arrival, message: Any) -> Reply:
        if message is not None and message.get("id") == 1:
            await asyncio.Event().wait()
        return await handle(arrival, message)

    talk.handler = hang
    talk.say(id=1, method="tools/call")
    await talk.settled()
    talk.conversation.end()
    await talk.terms.ended(5)
    await talk.until(lambda: len(talk.tasks) == 0)
    assert [message["id"] for message in talk.cancelled if message is not None] == [1]
    assert legacy.seen[-1] == ("DELETE", "DELETE", b"s1", b"2025-06-18")
    assert legacy.stream.is_closed
    talk.say(id=2, method="ping")
    await talk.settled()
    assert len(talk.carrier.sent) == 1


async def test_a_second_handshake_takes_the_place_of_the_first() -> None:
    talk = Talk()
    legacy = Legacy(talk)
    await legacy.shake_hands()
    talk.say(id=5, method="initialize")
    await talk.until(lambda: len(talk.carrier.sent) == 2)
    await talk.settled()
    assert ("DELETE", "DELETE", b"s1", b"2025-06-18") in legacy.seen


async def test_when_the_server_has_forgotten_the_session_the_connection_ends() -> None:
    """There is no other way to ask a client on a channel for a new handshake."""
    talk = Talk()
    legacy = Legacy(talk)
    await legacy.shake_hands()

    async def forgotten(arrival: Arrival, message: Any) -> Reply:
        arrival.trail.era = "legacy"
        raise SessionNotFound

    talk.handler = forgotten
    talk.say(id=1, method="tools/list")
    await talk.until(lambda: len(talk.carrier.sent) == 2)
    assert talk.carrier.messages[1]["error"]["code"] == 4404
    assert talk.carrier.closed == [Ending.SESSION]


async def test_a_server_without_a_stream_is_not_asked_again() -> None:
    talk = Talk()
    legacy = Legacy(talk)
    handle = talk.handler

    async def no_stream(arrival: Arrival, message: Any) -> Reply:
        if arrival.verb == "GET":
            legacy.seen.append(("GET", "GET", None, None))
            raise MethodNotAllowed("POST")
        return await handle(arrival, message)

    talk.handler = no_stream
    await legacy.shake_hands()
    await talk.until(lambda: len(talk.tasks) == 0)


# --- leaving -------------------------------------------------------------------------------------------------------


async def test_leaving_waits_for_what_is_under_way_and_turns_away_what_comes() -> None:
    """RES-05"""
    talk, gate = Talk(), asyncio.Event()

    async def held(arrival: Arrival, message: Any) -> Reply:
        if message["method"] == "tools/call":
            await gate.wait()
        else:
            await asyncio.Event().wait()
        return answer(message["id"], {})

    talk.handler = held
    talk.say(id=1, method="tools/call")
    talk.say(id=2, method="subscriptions/listen")
    await talk.settled()
    talk.conversation.leave()
    talk.say(id=3, method="tools/call")
    await talk.settled()
    assert [message["id"] for message in talk.cancelled] == [2]  # it would never end by itself
    assert talk.carrier.messages[0]["id"] == 3
    assert talk.carrier.messages[0]["error"]["code"] == 4503
    assert not talk.carrier.closed
    gate.set()
    await talk.until(lambda: bool(talk.carrier.closed))
    assert talk.carrier.messages[1] == {"jsonrpc": "2.0", "id": 1, "result": {}}
    assert talk.carrier.closed == [Ending.LEAVING]


async def test_an_idle_conversation_leaves_at_once() -> None:
    talk = Talk()
    talk.conversation.leave()
    assert talk.carrier.closed == [Ending.LEAVING]
