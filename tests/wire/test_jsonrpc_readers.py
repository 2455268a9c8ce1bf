"""The fast reader may answer only what the strict one would answer, and in the same words (VAL-01, VAL-02)."""

import json
import random

import pytest

from mantlet.core.refusal import InvalidJson
from mantlet.wire import jsonrpc

MESSAGES = [
    b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"echo","arguments":{"url":"http://a:8/?b=c:d"}}}',
    b'{"a":[1,2,{"b":null,"c":[true,false,[]]}],"d":{},"e":"x\\ny\\"z","f":-12,"g":1.5e3}',
    '{"ä":"ö:ü","b":[":",":",{":":":"}]}'.encode(),
    b'[{"a":1},{"a":2}]',
    b'{"id":123456789012345678901234567890,"x":9007199254740993}',
    b"7",
]
PIECES = [
    b'"',
    b":",
    b",",
    b"{",
    b"}",
    b"[",
    b"]",
    b'"a":1,',
    b'"a":2',
    b"\\",
    b"\\u003a",
    b"1",
    b"-",
    b".",
    b"e",
    b"\x00",
]
PIECES += [b"\xff", b" ", b"\t", b"null", b"\\n", b"\x7f", b"\xc3", b'"b":"::",', b'"b":":"']
BOUNDS = jsonrpc.Bounds(max_depth=8, max_keys=12)


def outcome(read: object, body: bytes) -> str:
    try:
        return json.dumps(read(body, BOUNDS))  # type: ignore[operator]
    except InvalidJson as refusal:
        return f"refused: {refusal.detail}"


def mutated(body: bytes, chance: random.Random) -> bytes:
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(body) + 1)
        body = body[:at] + chance.choice([*PIECES, b""]) + body[at + chance.choice([0, 0, 1, 2, 5]) :]
    return body


@pytest.mark.parametrize("message", MESSAGES)
def test_both_readers_agree_on_what_was_changed_at_random(message: bytes) -> None:
    """VAL-01: 4,000 mutations a message, the same ones every time."""
    chance = random.Random(message)
    for _ in range(4000):
        body = mutated(message, chance)
        assert outcome(jsonrpc.decode, body) == outcome(jsonrpc._decode_strictly, body), body


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1,"a":2}',
        b'{"a":1,"b":{"c":1,"c":2}}',
        b'{"a":":","a":2}',
        b'{"a":2,"a":":"}',
        b'{"a":"\\u003a","a":1}',
        b'{"a":1,"\\u0061":1}',
        b'[{"a":[{"b":1,"b":1}]}]',
    ],
)
def test_a_repeated_name_is_refused_however_many_colons_stand_about(body: bytes) -> None:
    """VAL-02"""
    with pytest.raises(InvalidJson):
        jsonrpc.decode(body)


def test_ordinary_calls_take_the_fast_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonrpc, "_decode_strictly", None)
    assert jsonrpc.decode(MESSAGES[0])["params"]["arguments"] == {"url": "http://a:8/?b=c:d"}
