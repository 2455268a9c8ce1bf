"""What a server may ask of which client, and under which ids."""

import json
from typing import Any

import msgspec
import pytest

from mantlet.upstreams.transports.channel.isolated.asks import MAX_OPEN, Ask, Asks, objection


@pytest.mark.parametrize(
    ("method", "params", "capabilities", "code"),
    [
        ("ping", None, {}, None),
        ("roots/list", None, {}, -32601),
        ("roots/list", None, {"roots": {}}, None),
        ("roots/list", None, {"roots": None}, -32601),
        ("roots/list", None, {"roots": True}, -32601),
        ("elicitation/create", {"message": "?"}, {"sampling": {}}, -32601),
        ("elicitation/create", {"message": "?"}, {"elicitation": {}}, None),
        ("elicitation/create", {"mode": "form"}, {"elicitation": {}}, None),
        ("elicitation/create", {"mode": "form"}, {"elicitation": {"form": {}}}, None),
        ("elicitation/create", {"message": "?"}, {"elicitation": {"url": {}}}, -32602),
        ("elicitation/create", {"mode": "url"}, {"elicitation": {}}, -32602),
        ("elicitation/create", {"mode": "url"}, {"elicitation": {"form": {}, "url": {}}}, None),
        ("elicitation/create", {"mode": ["url"]}, {"elicitation": {"url": {}}}, -32602),
        ("sampling/createMessage", {"messages": []}, {"sampling": {}}, None),
        ("sampling/createMessage", {"tools": []}, {"sampling": {}}, -32602),
        ("sampling/createMessage", {"tools": []}, {"sampling": {"tools": {}}}, None),
        ("tasks/get", {"taskId": "1"}, {}, -32601),
        ("tasks/get", {"taskId": "1"}, {"tasks": {}}, None),
        ("tools/call", {"name": "x"}, {"elicitation": {}, "sampling": {}, "roots": {}}, -32601),
        ("made/up", None, {"made": {}}, -32601),
    ],
)
def test_a_client_is_asked_what_it_declared(method: str, params: Any, capabilities: Any, code: int | None) -> None:
    """MCP-07"""
    raw = msgspec.Raw(b"" if params is None else json.dumps(params).encode())
    refused = objection(method, raw, capabilities)
    assert (refused and refused[0]) == code


def test_ids_are_of_this_hop_and_are_answered_once() -> None:
    """MCP-05"""
    asks = Asks()
    first, second = asks.open(Ask(b'"a"', "ping", 5.0)), asks.open(Ask(b"7", "ping", 9.0))
    assert first is not None
    assert second is not None
    assert asks.id_of(b"7") == second
    assert asks.id_of(b"8") is None
    assert asks.last_until_s() == 9.0
    found = asks.find(first)
    assert found is not None
    assert found.raw_id == b'"a"'
    asks.close(first)
    assert asks.find(first) is None
    assert asks.was_open(first)
    for foreign in (0, -1, second + 1, "1", True, 1.0, None):
        assert asks.find(foreign) is None, foreign
        assert not asks.was_open(foreign) or foreign is True, foreign
    assert [ask.raw_id for ask in asks.overdue(9.0)] == [b"7"]
    assert len(asks) == 0


def test_open_requests_are_bounded() -> None:
    asks = Asks()
    assert all(asks.open(Ask(b"1", "ping", 1.0)) for _ in range(MAX_OPEN))
    assert asks.open(Ask(b"1", "ping", 1.0)) is None
