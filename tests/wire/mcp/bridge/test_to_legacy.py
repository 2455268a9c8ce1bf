"""The deciders of the crossing to legacy servers, by tables."""

import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from mantlet.core.call import Arrival, Call
from mantlet.core.caller import Caller
from mantlet.core.headers import Headers
from mantlet.core.refusal import BadUpstream, InvalidParams
from mantlet.wire.mcp.bridge import to_legacy_answers as answers
from mantlet.wire.mcp.bridge import to_legacy_calls as calls
from mantlet.wire.mcp.bridge import to_legacy_inputs as inputs
from mantlet.wire.mcp.bridge import to_legacy_listen as listen
from mantlet.wire.mcp.bridge import to_legacy_requests as requests
from mantlet.wire.mcp.bridge import to_legacy_state as states
from mantlet.wire.mcp.bridge.to_legacy_calls import own_trail

ALICE = Caller("alice", "https://idp.example", "jwt", roles=frozenset({"a", "b"}))
VERSION = "io.modelcontextprotocol/protocolVersion"
CLIENT = "io.modelcontextprotocol/clientInfo"
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
LEVEL = "io.modelcontextprotocol/logLevel"
INFO = b'{"name":"s"}'
SERVER = {"io.modelcontextprotocol/serverInfo": {"name": "s"}}


# --- requests


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, ({}, {"name": "unknown", "version": "0"}, -1, b"")),
        (
            {"_meta": {VERSION: "x", CAPABILITIES: {"roots": {}}, CLIENT: {"name": "c"}}},
            ({"roots": {}}, {"name": "c"}, -1, b""),
        ),
        ({"_meta": {LEVEL: "debug", "progressToken": 0}}, ({}, {"name": "unknown", "version": "0"}, 0, b"0")),
        (
            {"_meta": {LEVEL: "emergency", "progressToken": "ä"}},
            ({}, {"name": "unknown", "version": "0"}, 7, '"ä"'.encode()),
        ),
        ({"_meta": {CAPABILITIES: [], CLIENT: "c"}}, ({}, {"name": "unknown", "version": "0"}, -1, b"")),
    ],
)
def test_what_a_request_says_of_its_client(params: Any, expected: Any) -> None:
    assert requests.wishes(params) == expected


@pytest.mark.parametrize(
    "meta",
    [{LEVEL: "loud"}, {LEVEL: 3}, {LEVEL: None}, {LEVEL: ["info"]}, {"progressToken": None}, {"progressToken": True},
     {"progressToken": 1.5}, {"progressToken": {}}, {"progressToken": "x" * 1025}],
)  # fmt: skip
def test_what_it_says_wrongly_is_refused(meta: Any) -> None:
    with pytest.raises(InvalidParams):
        requests.wishes({"_meta": meta})


@pytest.mark.parametrize(
    ("raw", "token", "expected"),
    [
        ('{"name":"t"}', b"", '{"name":"t"}'),
        (
            '{"b":1.50,"a":1e400000,"x":{"y":[12345678901234567890123]}}',
            b"",
            '{"b":1.50,"a":1e400000,"x":{"y":[12345678901234567890123]}}',
        ),
        (f'{{"_meta":{{"{VERSION}":"v","{CLIENT}":{{}},"{CAPABILITIES}":{{}}}}}}', b"", "{}"),
        (
            f'{{"_meta":{{"{LEVEL}":"info","traceparent":"00","com.x/y":[ 1 ]}}}}',
            b"",
            '{"_meta":{"traceparent":"00","com.x/y":[ 1 ]}}',
        ),
        ('{"_meta":{"progressToken":"a"}}', b'"b"', '{"_meta":{"progressToken":"b"}}'),
        ('{"name":"t","requestState":"s","inputResponses":{"k":{}}}', b"", '{"name":"t"}'),
    ],
)
def test_a_request_in_legacy_words(raw: str, token: bytes, expected: str) -> None:
    message = f'{{"jsonrpc":"2.0","id":"theirs","method":"tools/call","params":{raw}}}'.encode()
    told = requests.body("tools/call", message, 7, token)
    assert told == b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":%b}' % expected.encode()


@pytest.mark.parametrize("token", [b"", b'"t"', b"7"])
@pytest.mark.parametrize(
    "params",
    [
        {},
        {"name": "t", "arguments": {"a": [1, {"b": None}]}, "x": 1.5},
        {"name": "t", "requestState": "s", "inputResponses": {"k": {}}},
        {"_meta": {VERSION: "v", CLIENT: {"name": "c"}, CAPABILITIES: {}, LEVEL: "info"}},
        {"_meta": {VERSION: "v", "progressToken": "old", "com.x/y": [1]}, "uri": "x:1"},
        {"_meta": {"progressToken": 7}},
    ],
)
def test_params_for_who_looks_inside_are_those_that_go_out(params: Any, token: bytes) -> None:
    if not token:
        params.get("_meta", {}).pop("progressToken", None)  # without one of the client's, there is none
    before = json.dumps(params)
    message = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "x/y", "params": params}).encode()
    sent = json.loads(requests.body("x/y", message, 7, token))["params"]
    assert requests.legacy_params(params, token) == sent
    assert json.dumps(params) == before


def request(headers: list[tuple[bytes, bytes]], version: str = "2025-11-25") -> Call:
    arrival = Arrival("POST", "/mcp/s", b"", Headers(headers), "", _unread, 1.0, own_trail("s", ALICE))
    params = {"name": "t", "_meta": {VERSION: "2026-07-28", "progressToken": 1}}
    call = Call(arrival, ALICE, "request", "modern", "s", "tools/call", "t", params, b"theirs", b"1", 1.0)
    return calls.request(call, b"told", 7, b'"u"', "session", version, 2.0)


async def _unread() -> bytes:
    raise AssertionError


def test_a_call_in_legacy_words_has_nothing_of_the_clients_head() -> None:
    """FWD-01"""
    made = request([(b"authorization", b"Bearer x"), (b"mcp-method", b"tools/call"), (b"cookie", b"c")])
    assert list(made.arrival.headers) == [
        (b"accept", b"application/json, text/event-stream"),
        (b"content-type", b"application/json"),
        (b"mcp-protocol-version", b"2025-11-25"),
    ]
    assert (made.id, made.body, made.session, made.deadline_s) == (b"7", b"told", "session", 2.0)
    assert made.params == made.message["params"] == {"name": "t", "_meta": {"progressToken": "u"}}
    assert made.message["id"] == 7


def test_a_trace_goes_on_and_stays_with_its_call() -> None:
    traced = request([(b"traceparent", b"00-1"), (b"tracestate", b"s"), (b"x", b"y")])
    assert list(traced.arrival.headers)[3:] == [(b"traceparent", b"00-1"), (b"tracestate", b"s")]
    plain, older = request([]), request([], "2025-03-26")
    assert plain.arrival.headers is request([(b"a", b"b")]).arrival.headers
    assert b"traceparent" not in plain.arrival.headers
    assert older.arrival.headers.get(b"mcp-protocol-version") == b"2025-03-26"


def test_a_request_without_params_has_empty_ones() -> None:
    assert json.loads(requests.body("x", b'{"jsonrpc":"2.0","id":1,"method":"x"}', 7, b""))["params"] == {}


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ({}, {}),
        ({"elicitation": {"url": {}}, "x": {"y": 1}}, {"elicitation": {"url": {}}, "x": {"y": 1}}),
        ({"tasks": {"list": {}}}, {}),
        ({"roots": {"listChanged": True, "z": 1}}, {"roots": {"z": 1}}),
        ({"extensions": {requests.TASKS: {}, "a.b/c": {}}}, {"extensions": {"a.b/c": {}}}),
    ],
)
def test_how_a_client_is_introduced(declared: Any, told: Any) -> None:
    params = requests.initialize_params(requests.Wishes(declared, {"name": "c"}, -1, b""))
    assert params == {"protocolVersion": "2025-11-25", "capabilities": told, "clientInfo": {"name": "c"}}


def test_who_may_share_a_session() -> None:
    """AUTHZ-08"""
    said = requests.Wishes({"a": {"x": 1, "y": 2}}, {"name": "c"}, 3, b"1")
    key = requests.session_key(ALICE, said)
    assert requests.session_key(replace(ALICE), said._replace(level=-1, token=b"")) == key
    assert requests.session_key(ALICE, said._replace(capabilities={"a": {"y": 2, "x": 1}})) == key
    others = [replace(ALICE, subject="bob"), replace(ALICE, issuer="i"), replace(ALICE, tenant="t"),
              replace(ALICE, roles=frozenset({"a"})), replace(ALICE, scopes=frozenset({"s"})),
              replace(ALICE, kind="agent")]  # fmt: skip
    assert all(requests.session_key(other, said) != key for other in others)
    assert requests.session_key(ALICE, said._replace(capabilities={})) != key
    assert requests.session_key(ALICE, said._replace(client={})) != key


# --- results


@pytest.mark.parametrize("method", ["tools/call", "tools/list"])
@pytest.mark.parametrize(
    "result",
    ["{}", "{ }", '{"a":1}', '{ "a" : [ 1 ] }', '{"_meta":{}}', '{"_meta":{"x":1},"a":2}', '{"_meta":null}',
     '{"resultType":"input_required","inputRequests":{}}', '{"result\\u0054ype":"x"}', '{"ttlMs":99}',
     '{"cacheScope":"public","ttlMs":1,"tools":[]}'],
)  # fmt: skip
def test_results_are_complete_and_nothing_else_changes(method: str, result: str) -> None:
    told = json.loads(answers.complete(b'"id"', result.encode(), method, INFO))
    expected = {**json.loads(result), "resultType": "complete"}
    if method == "tools/list":
        expected |= {"ttlMs": 0, "cacheScope": "private"}
    expected["_meta"] = {**(expected.get("_meta") or {}), **SERVER}
    assert told == {"jsonrpc": "2.0", "id": "id", "result": expected}


def test_a_result_from_nobody_in_particular_names_nobody() -> None:
    assert json.loads(answers.complete(b"1", b'{"a":1}', "x", b""))["result"] == {"a": 1, "resultType": "complete"}


@pytest.mark.parametrize("result", ["null", "[]", "1", '"x"'])
def test_a_result_that_is_no_object_is_none(result: str) -> None:
    with pytest.raises(BadUpstream):
        answers.complete(b"1", result.encode(), "tools/call", INFO)


def test_members_of_a_result_are_passed_on_byte_for_byte() -> None:
    raw = b'{"structuredContent":{"n":1.10,"big":1234567890123456789012345678901234567890,"s":"\\u00e4"}}'
    assert raw[1:] in answers.complete(b"1", raw, "tools/call", INFO)


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        ({"code": -32601, "message": "m"}, 404, {"code": -32601, "message": "m"}),
        ({"code": -32602, "message": "m", "data": [1]}, 400, {"code": -32602, "message": "m", "data": [1]}),
        (
            {"code": -32002, "message": "m", "data": {"uri": "u"}},
            400,
            {"code": -32602, "message": "m", "data": {"uri": "u"}},
        ),
        ({"code": -32042, "message": "m"}, 200, {"code": -32603, "message": "m", "data": {"code": -32042}}),
        (
            {"code": -32020, "message": "m", "data": None},
            200,
            {"code": -32603, "message": "m", "data": {"code": -32020, "data": None}},
        ),
        ({"code": -32100, "message": "m"}, 200, {"code": -32100, "message": "m"}),
        ({"code": -32019, "message": "m"}, 200, {"code": -32019, "message": "m"}),
        ({"code": 0, "more": 1}, 200, {"code": 0, "message": ""}),
    ],
)
def test_errors(error: Any, status: int, told: Any) -> None:
    read = answers.read_error(json.dumps(error).encode())
    got, body = answers.failed(b"5", read)
    assert (got, json.loads(body)) == (status, {"jsonrpc": "2.0", "id": 5, "error": told})


@pytest.mark.parametrize("raw", [b"null", b"{}", b'{"code":"x"}', b"[]", b'{"code":1.5}'])
def test_an_error_that_is_none(raw: bytes) -> None:
    with pytest.raises(BadUpstream):
        answers.read_error(raw)


@pytest.mark.parametrize(
    ("raw", "identity"),
    [("1", b"1"), ("-1", b"-1"), ('"x"', b'"x"'), ("null", None), ("{}", None), ("[1]", None), ("true", None),
     ('"' + "x" * 2000 + '"', None)],
)  # fmt: skip
def test_which_ids_are_any(raw: str, identity: bytes | None) -> None:
    message = answers.read(b'{"id":%b,"method":"m"}' % raw.encode())
    assert message is not None
    assert answers.identity_of(message) == identity


@pytest.mark.parametrize(
    ("offered", "told"),
    [
        (None, {}),
        ([], {}),
        ({"tools": {"listChanged": True}, "tasks": {}, "x": 1}, {"tools": {"listChanged": True}, "x": 1}),
        ({"extensions": {requests.TASKS: {}, "a/b": {}}}, {"extensions": {"a/b": {}}}),
    ],
)
def test_what_is_discovered(offered: Any, told: Any) -> None:
    said = {"capabilities": offered, "serverInfo": {"name": "s"}, "instructions": "Do.", "_meta": {"a": 1}}
    assert answers.discovered(said) == {
        "resultType": "complete",
        "supportedVersions": ["2026-07-28"],
        "capabilities": told,
        "instructions": "Do.",
        "ttlMs": 0,
        "cacheScope": "private",
        "_meta": {"a": 1, **SERVER},
    }


@pytest.mark.parametrize(
    ("params", "level"), [({"level": "debug"}, 0), ({"level": "alert"}, 6), ({"level": 1}, 0), ([], 0)]
)
def test_levels_of_log_messages(params: Any, level: int) -> None:
    assert answers.level_of(json.dumps(params).encode()) == level


def test_progress_under_another_token() -> None:
    data = (
        b'{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":0.10,"progressToken":"ours","x":1}}'
    )
    assert answers.token_of(b'{"progressToken":"ours"}') == b'"ours"'
    assert answers.with_token(data, b"7") == data.replace(b'"ours"', b"7")


# --- input


@pytest.mark.parametrize(
    ("capabilities", "form", "url"),
    [({}, False, False), ({"elicitation": {}}, True, False), ({"elicitation": {"form": {}}}, True, False),
     ({"elicitation": {"url": {}}}, False, True), ({"elicitation": {"form": {}, "url": {}}}, True, True),
     ({"elicitation": {"other": {}}}, True, False), ({"elicitation": True}, False, False)],
)  # fmt: skip
def test_modes_of_elicitation(capabilities: Any, form: bool, url: bool) -> None:
    for mode, can in (("form", form), ("url", url), (None, form), ("strange", form)):
        asked = inputs.Asked(b"1", inputs.ELICITATION, {} if mode is None else {"mode": mode})
        assert (not inputs.lacking(asked, capabilities)) is can


@pytest.mark.parametrize(
    ("method", "response", "is_one"),
    [
        (inputs.ELICITATION, {"action": "accept", "content": {}}, True),
        (inputs.ELICITATION, {"action": "cancel", "content": None}, True),
        (inputs.ELICITATION, {"action": "yes"}, False),
        (inputs.ELICITATION, {"content": {}}, False),
        (inputs.ELICITATION, {"action": ["accept"]}, False),
        (inputs.SAMPLING, {"role": "assistant", "content": [], "model": "m"}, True),
        (inputs.SAMPLING, {"role": "assistant", "content": {}, "model": 1}, False),
        (inputs.SAMPLING, {"content": {}, "model": "m"}, False),
        (inputs.ROOTS, {"roots": []}, True),
        (inputs.ROOTS, {"roots": {}}, False),
        (inputs.ROOTS, {}, False),
    ],
)
def test_which_responses_are_any(method: str, response: Any, is_one: bool) -> None:
    asked = inputs.Asked(b"1", method, {})
    if is_one:
        inputs.check("k", asked, response)
    else:
        with pytest.raises(InvalidParams):
            inputs.check("k", asked, response)


def test_an_answer_to_the_server_has_its_id_and_no_type() -> None:
    assert inputs.answered(b'"x"', {"roots": [], "resultType": "complete"}) == (
        b'{"jsonrpc":"2.0","id":"x","result":{"roots":[]}}'
    )


@pytest.mark.parametrize(
    "data",
    [None, {}, [], {"elicitations": {}}, {"elicitations": [1, {"url": 2}]}, {"elicitations": [{"url": "u"}] * 17}],
)
def test_pages_that_are_none(data: Any) -> None:
    assert inputs.url_elicitations(answers.Error(-32042, "", msgspec.Raw(json.dumps(data).encode()))) == []


# --- subscriptions


def test_what_is_offered_of_what_is_wanted() -> None:
    wanted = listen.wanted(
        {"notifications": {"toolsListChanged": True, "promptsListChanged": False, "resourcesListChanged": True,
                           "resourceSubscriptions": ["b", "a", "b"], "unknown": 1}}
    )  # fmt: skip
    assert wanted == (frozenset({"toolsListChanged", "resourcesListChanged"}), ("b", "a"))
    offered = listen.offered(wanted, {"tools": {"listChanged": True}, "resources": {"subscribe": 1}})
    assert offered == (frozenset({"toolsListChanged"}), ())
    assert listen.wanted({}) == (frozenset(), ())


@pytest.mark.parametrize(
    ("method", "uri", "is_mine"),
    [
        ("notifications/tools/list_changed", "", True),
        ("notifications/prompts/list_changed", "", False),
        ("notifications/resources/updated", "x://a", True),
        ("notifications/resources/updated", "x://a/b", True),
        ("notifications/resources/updated", "x://ab", False),
        ("notifications/resources/updated", "", False),
        ("notifications/message", "", False),
        ("notifications/progress", "x://a", False),
    ],
)
def test_what_belongs_on_a_subscription(method: str, uri: str, is_mine: bool) -> None:
    assert listen.belongs(listen.Wanted(frozenset({"toolsListChanged"}), ("x://a",)), method, uri) is is_mine


@pytest.mark.parametrize("data", [b"", b"[]", b'{"params":[1]}', b'{"params":{"_meta":1}}'])
def test_a_notification_that_is_none_is_not_delivered(data: bytes) -> None:
    assert listen.tagged(data, b"1") == b""


# --- requestState


def test_a_state_is_bound_to_all_that_may_not_change() -> None:
    """MCP-06"""
    params = {"name": "t", "arguments": {"a": 1}}
    context = states.context(ALICE, "s", "tools/call", params)
    again = {**params, "requestState": "x", "inputResponses": {}, "_meta": {"progressToken": 2}}
    assert states.context(replace(ALICE, credential_id="other"), "s", "tools/call", again) == context
    others = [
        states.context(replace(ALICE, subject="bob"), "s", "tools/call", params),
        states.context(replace(ALICE, tenant="t"), "s", "tools/call", params),
        states.context(replace(ALICE, roles=frozenset({"a"})), "s", "tools/call", params),
        states.context(replace(ALICE, roles=frozenset({"a"}), scopes=frozenset({"b"})), "s", "tools/call", params),
        states.context(ALICE, "s2", "tools/call", params),
        states.context(ALICE, "s", "prompts/get", params),
        states.context(ALICE, "s", "tools/call", {**params, "x": None}),
        states.context(ALICE, "s", "tools/call", {"name": "t", "arguments": {"a": 2}}),
    ]
    assert context not in others
    assert len(set(others)) == len(others)


@pytest.mark.parametrize("plain", [b"", b"x", b"[]", b'[1,"a"]', b'["x","a","b"]', b"{}"])
def test_what_is_no_state(plain: bytes) -> None:
    assert states.decode(plain) is None


def test_a_state_comes_back_as_it_was() -> None:
    state = states.State(1.5, "holder", "ticket")
    assert states.decode(states.encode(state)) == state
