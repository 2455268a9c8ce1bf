"""Modern answers in legacy words. VAL-02"""

import json
from typing import Any

import pytest

from mantlet.core.refusal import BadUpstream
from mantlet.wire.mcp.bridge.to_modern_result import InputRequired, error_code, read, translated


def result(raw: str, method: str = "tools/call") -> Any:
    said = translated(read(b'{"jsonrpc":"2.0","id":"x","result":%b}' % raw.encode()), method, b"7")
    return json.loads(said) if isinstance(said, bytes) else said


@pytest.mark.parametrize(
    ("method", "modern", "legacy"),
    [
        ("tools/call", '{"resultType":"complete","content":[]}', {"content": []}),
        ("tools/call", '{"content":[],"ttlMs":1}', {"content": [], "ttlMs": 1}),  # of no cacheable result: unknown
        ("resources/read", '{"resultType":"complete","contents":[],"ttlMs":1,"cacheScope":"public"}', {"contents": []}),
        ("prompts/list", '{"prompts":[],"nextCursor":"c","ttlMs":0}', {"prompts": [], "nextCursor": "c"}),
        ("tools/call", '{"content":[],"structuredContent":{"a":1}}', {"content": [], "structuredContent": {"a": 1}}),
        ("tools/call", '{"content":[],"structuredContent":[1]}', {"content": []}),
        ("tools/call", '{"content":[],"structuredContent":null}', {"content": []}),
        ("completion/complete", '{"resultType":"complete","completion":{"values":[]}}', {"completion": {"values": []}}),
        ("tools/call", '{"x":{"resultType":"y"},"_meta":{"a/b":1}}', {"x": {"resultType": "y"}, "_meta": {"a/b": 1}}),
    ],
)
def test_results(method: str, modern: str, legacy: dict[str, Any]) -> None:
    assert result(modern, method) == {"jsonrpc": "2.0", "id": 7, "result": legacy}


def test_what_stays_keeps_its_bytes() -> None:
    raw = b'[ {"type":"text" ,"text":"\\u00e9"}, 1.0, 1e2 ]'
    said = translated(read(b'{"id":1,"result":{"resultType":"complete","content":%b}}' % raw), "tools/call", b'"i"')
    assert isinstance(said, bytes)
    assert raw in said
    assert said.startswith(b'{"jsonrpc":"2.0","id":"i","result":{')


def test_a_tool_keeps_its_output_schema_only_if_that_describes_an_object() -> None:
    tools = [
        {"name": "a", "inputSchema": {"type": "object"}, "outputSchema": {"type": "object"}},
        {"name": "b", "inputSchema": {"type": "object"}, "outputSchema": {"type": "array"}},
        {"name": "c", "inputSchema": {"type": "object"}, "outputSchema": {}},
    ]
    kept = result(json.dumps({"resultType": "complete", "tools": tools}), "tools/list")["result"]["tools"]
    assert [sorted(tool) for tool in kept] == [
        ["inputSchema", "name", "outputSchema"],
        ["inputSchema", "name"],
        ["inputSchema", "name"],
    ]


@pytest.mark.parametrize(
    ("method", "error", "legacy"),
    [
        ("tools/call", {"code": -32601, "message": "m"}, {"code": -32601, "message": "m"}),
        ("tools/call", {"code": -32602, "message": "m", "data": {"uri": "u"}}, None),
        (
            "resources/read",
            {"code": -32602, "message": "m", "data": {"uri": "u"}},
            {"code": -32002, "message": "m", "data": {"uri": "u"}},
        ),
        ("resources/read", {"code": -32602, "message": "m"}, None),
        ("resources/read", {"code": -32602, "message": "m", "data": "uri"}, None),
        ("tools/call", {"code": -32021, "message": "m", "data": {"requiredCapabilities": {}}}, None),
        (
            "tools/call",
            {"code": -32020, "message": "m"},
            {"code": -32603, "message": "The server refused the translated request: m"},
        ),
        (
            "tools/call",
            {"code": -32022, "message": "m", "data": {"supported": []}},
            {
                "code": -32603,
                "message": "The server refused the translated request: m",
                "data": {"supported": []},
            },
        ),
    ],
)
def test_errors(method: str, error: dict[str, Any], legacy: dict[str, Any] | None) -> None:
    answer = read(json.dumps({"jsonrpc": "2.0", "id": 1, "error": error}).encode())
    said = translated(answer, method, b"9")
    assert isinstance(said, bytes)
    assert json.loads(said) == {"jsonrpc": "2.0", "id": 9, "error": legacy or error}
    assert error_code(answer) == error["code"]


def test_a_request_for_input_keeps_its_state_to_the_byte() -> None:
    said = result(
        '{"resultType":"input_required","inputRequests":{"k":{"method":"roots/list"}},"requestState":"a\\/b"}'
    )
    assert isinstance(said, InputRequired)
    assert bytes(said.requests["k"]) == b'{"method":"roots/list"}'
    assert said.state is not None
    assert bytes(said.state) == b'"a\\/b"'


@pytest.mark.parametrize(
    ("method", "raw"),
    [
        ("tools/list", '{"resultType":"input_required","requestState":"s"}'),  # may not ask
        ("tools/call", '{"resultType":"task","taskId":"t"}'),
        ("tools/call", '{"resultType":"input_required"}'),
        ("tools/call", '{"resultType":"input_required","inputRequests":[]}'),
        ("tools/call", '{"resultType":7}'),
    ],
)
def test_results_that_cannot_be_told(method: str, raw: str) -> None:
    with pytest.raises(BadUpstream):
        result(raw, method)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"7", b'{"result":[]}', b"{", b'{"id":1}', b'{"error":{"code":"x"}}', b'{"result":{"a":"\xd7"}}'],
)
def test_answers_that_are_none(body: bytes) -> None:
    with pytest.raises(BadUpstream):
        translated(read(body), "tools/call", b"1")
