import json

import pytest

from mantlet.ops.shim.allowed import DENIED, refusal_of
from mantlet.ops.shim.plan import ALLOWED

ALL = frozenset(ALLOWED)


def request(method: str) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 7, "method": method, "params": {}}).encode()


@pytest.mark.parametrize(
    ("method", "word"),
    [
        ("ping", "health"),
        ("server/discover", "health"),
        ("tools/list", "tools"),
        ("resources/list", "list"),
        ("tools/call", "call"),
        ("resources/read", "call"),
    ],
)
def test_each_method_needs_its_word(method: str, word: str) -> None:
    assert refusal_of(request(method), frozenset({word})) is None
    refused = refusal_of(request(method), ALL - {word})
    assert refused is not None
    message = json.loads(refused)
    assert (message["id"], message["error"]["code"]) == (7, DENIED)


@pytest.mark.parametrize("method", ["tools/exec", "resources/subscribe", "anything", "TOOLS/LIST"])
def test_what_no_word_stands_for_is_refused(method: str) -> None:
    assert refusal_of(request(method), ALL) is not None


def test_the_handshake_and_answers_pass() -> None:
    assert refusal_of(request("initialize"), frozenset()) is None
    assert refusal_of(b'{"jsonrpc":"2.0","method":"notifications/initialized"}', frozenset()) is None
    assert refusal_of(b'{"jsonrpc":"2.0","id":1,"result":{}}', frozenset()) is None


@pytest.mark.parametrize(
    "line",
    [b"[]", b"garbage", b'{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call"}', b'{"Method":"x"}'],
)
def test_what_two_readers_may_read_differently_never_passes(line: bytes) -> None:
    """VAL-01, VAL-02"""
    assert refusal_of(line, ALL)


def test_a_notification_that_is_none_is_dropped() -> None:
    assert refusal_of(b'{"jsonrpc":"2.0","method":"tools/call","params":{}}', ALL) == b""
