import json

import pytest

from mantlet.core.refusal import InvalidJson, InvalidRequest
from mantlet.wire import jsonrpc
from mantlet.wire.jsonrpc import Bounds


def nested(depth: int, opening: str = "[", closing: str = "]") -> bytes:
    return (opening * depth + closing * depth).encode()


def objects(depth: int) -> bytes:
    return ('{"a":' * (depth - 1) + "{}" + "}" * (depth - 1)).encode()


REFUSED = {
    "empty": b"",
    "blank": b" \n",
    "not utf-8": b'"\xff"',
    "utf-16": '{"a":1}'.encode("utf-16"),
    "utf-8 surrogate": b'"\xed\xa0\x80"',
    "overlong": b'"\xc0\xaf"',
    "byte order mark": b'\xef\xbb\xbf{"a":1}',
    "two values": b"{} {}",
    "trailing comma": b'{"a":1,}',
    "comment": b'{"a":1}//x',
    "single quotes": b"{'a':1}",
    "bare word": b"{a:1}",
    "control character": b'"a\x01b"',
    "raw newline in string": b'"a\nb"',
    "nbsp as space": '{"a":\u00a01}'.encode(),
    "duplicate": b'{"a":1,"a":2}',
    "escaped duplicate": b'{"a":1,"\\u0061":2}',
    "duplicate deep": b'{"x":[{"a":{"b":1,"c":2,"b":3}}]}',
    "empty names twice": b'{"":1,"":2}',
    "NaN": b'{"a":NaN}',
    "Infinity": b"[Infinity]",
    "-Infinity": b"[-Infinity]",
    "1e999": b'{"a":1e999}',
    "-1e999": b'{"a":-1e999}',
    "4301 digits": b"1" * 4301,
    "129 digits": b"1" * 129,
    "129 characters of fraction": b"0." + b"1" * 127,
    "leading zero": b"[01]",
    "plus": b"[+1]",
    "bare fraction": b"[.5]",
    "hex": b"[0x10]",
    "lone high surrogate": b'{"a":"\\ud800"}',
    "lone low surrogate": b'{"a":"\\uDC00x"}',
    "lone surrogate as a name": b'{"\\ud800":1}',
    "surrogates the wrong way round": b'"\\udc00\\ud800"',
    "bad escape": b'"\\x41"',
    "short escape": b'"\\u12"',
    "signed escape": b'"\\u+123"',
    "depth 65": nested(65),
    "objects 65 deep": objects(65),
    "depth 1000": nested(1000),
    "depth 100000": nested(100_000),
    "objects 100000 deep": objects(100_000),
    "half open 100000": b"[" * 100_000,
    "unclosed": b'{"a":[1',
}


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
def test_what_two_parsers_could_read_differently_is_refused(body: bytes) -> None:
    """VAL-01"""
    with pytest.raises(InvalidJson):
        jsonrpc.decode(body)


ACCEPTED = {
    "depth 64": nested(64),
    "objects 64 deep": objects(64),
    "128 digits": b"9" * 128,
    "small exponent": b"1e-400",
    "surrogate pair": b'"\\ud83d\\ude00"',
    "many brackets in a string": json.dumps("[{" * 1000).encode(),
    "many colons in a string": json.dumps(":" * 20_000).encode(),
    "a name twice, in two objects": b'[{"a":1},{"a":2}]',
    "space around": b' \t\r\n{"a" : 1}\n',
    "negative zero": b"-0",
    "null character escaped": b'"\\u0000"',
}


@pytest.mark.parametrize("body", ACCEPTED.values(), ids=ACCEPTED)
def test_what_all_parsers_agree_on_is_read(body: bytes) -> None:
    assert jsonrpc.decode(body) == json.loads(body)


@pytest.mark.parametrize(("members", "is_accepted"), [(10, True), (11, False)])
def test_members_of_all_objects_are_counted_together(members: int, is_accepted: bool) -> None:
    """VAL-01"""
    half = members // 2
    body = json.dumps([{str(n): n for n in range(half)}, {str(n): n for n in range(members - half)}]).encode()
    if is_accepted:
        assert jsonrpc.decode(body, Bounds(max_keys=10))
    else:
        with pytest.raises(InvalidJson, match="more than 10 members"):
            jsonrpc.decode(body, Bounds(max_keys=10))


@pytest.mark.parametrize(
    "message",
    [
        [],
        [{"jsonrpc": "2.0", "id": 1, "method": "ping"}],
        "ping",
        1,
        None,
        {},
        {"jsonrpc": "2.0"},
        {"id": 1, "method": "ping"},
        {"jsonrpc": 2.0, "id": 1, "method": "ping"},
        {"jsonrpc": "1.0", "id": 1, "method": "ping"},
        {"jsonrpc": "2.0", "id": None, "method": "ping"},
        {"jsonrpc": "2.0", "id": 1.5, "method": "ping"},
        {"jsonrpc": "2.0", "id": 1.0, "method": "ping"},
        {"jsonrpc": "2.0", "id": True, "method": "ping"},
        {"jsonrpc": "2.0", "id": [1], "method": "ping"},
        {"jsonrpc": "2.0", "id": {"a": 1}, "method": "ping"},
        {"jsonrpc": "2.0", "id": 1, "method": ""},
        {"jsonrpc": "2.0", "id": 1, "method": None},
        {"jsonrpc": "2.0", "id": 1, "method": 7},
        {"jsonrpc": "2.0", "id": 1, "method": "ping", "params": None},
        {"jsonrpc": "2.0", "id": 1, "method": "ping", "params": []},
        {"jsonrpc": "2.0", "id": 1, "method": "ping", "params": "x"},
        {"jsonrpc": "2.0", "id": 1, "method": "ping", "result": {}},
        {"jsonrpc": "2.0", "id": 1, "method": "ping", "error": {}},
        {"jsonrpc": "2.0", "id": 1},
        {"jsonrpc": "2.0", "id": 1, "result": {}, "error": {}},
        {"jsonrpc": "2.0", "id": 1, "result": {}, "params": {}},
        {"jsonrpc": "2.0", "result": {}},
        {"jsonrpc": "2.0", "id": 1, "method": "ping", "extra": 1},
        {"jsonrpc": "2.0", "id": 1, "Method": "ping"},
        {"jsonrpc": "2.0", "id": 1, "method": "ping", "METHOD": "x"},
        {"jsonrpc": "2.0", "id": 1, "method": "ping", "\uff4dethod": "x"},
        {"jsonrpc": "2.0", "id": 1, "method": "ping", "param\u017f": {}},
        {"jsonrpc": "2.0", "Id": 1, "method": "ping"},
    ],
    ids=lambda message: json.dumps(message)[:60],
)
def test_what_is_not_one_message_is_refused(message: object) -> None:
    """MCP-03, VAL-02"""
    with pytest.raises(InvalidRequest):
        jsonrpc.envelope(message)


@pytest.mark.parametrize(
    ("message", "raw_id", "method", "is_response"),
    [
        ({"jsonrpc": "2.0", "id": 7, "method": "ping"}, b"7", "ping", False),
        ({"jsonrpc": "2.0", "id": "a\u00e9", "method": "ping", "params": {}}, b'"a\\u00e9"', "ping", False),
        ({"jsonrpc": "2.0", "id": "", "method": "ping"}, b'""', "ping", False),
        ({"jsonrpc": "2.0", "method": "notifications/initialized"}, None, "notifications/initialized", False),
        ({"jsonrpc": "2.0", "id": 7, "result": None}, b"7", "", True),
        ({"jsonrpc": "2.0", "id": 7, "error": {"code": 1, "message": ""}}, b"7", "", True),
    ],
)
def test_one_message_is_read(message: object, raw_id: bytes | None, method: str, is_response: bool) -> None:
    read = jsonrpc.envelope(message)
    assert (read.id, read.method, read.is_response) == (raw_id, method, is_response)


@pytest.mark.parametrize(
    "name",
    ["Name", "NAME", "\uff4eame", "nAme", "\U0001d427\U0001d41a\U0001d426\U0001d41e", "_META", "argument\u017f", "URI"],
)
def test_a_member_that_only_folding_makes_known_is_refused(name: str) -> None:
    """VAL-02: CVE-2026-27896"""
    with pytest.raises(InvalidRequest, match="differs from a known one only in case"):
        jsonrpc.refuse_folded({name: 1}, frozenset({"name", "_meta", "arguments", "uri"}))


@pytest.mark.parametrize("name", ["name", "names", "x-name", "nome", "\u0000name"])
def test_members_nobody_could_mistake_pass(name: str) -> None:
    jsonrpc.refuse_folded({name: 1}, frozenset({"name"}))


def test_answers_carry_the_id_as_it_came() -> None:
    assert json.loads(jsonrpc.result(b'"x"', {"a": "é"})) == {"jsonrpc": "2.0", "id": "x", "result": {"a": "é"}}
    assert json.loads(jsonrpc.error(b"1", -32600, "no")) == {
        "jsonrpc": "2.0",
        "id": 1,
        "error": {"code": -32600, "message": "no"},
    }
    assert "id" not in json.loads(jsonrpc.error(None, -32700, "no", {"reason": "x"}))
