"""Events of a listen stream on a legacy one."""

import json
from typing import Any

import pytest

from mantlet.wire.mcp.bridge.to_modern_events import concerns, filter_of, missed, read
from mantlet.wire.mcp.bridge.to_modern_handshake import Offers

ID = "io.modelcontextprotocol/subscriptionId"


@pytest.mark.parametrize(
    ("wanted", "uris", "asked"),
    [
        (Offers.NOTHING, [], {}),
        (Offers.TOOLS | Offers.RESOURCES, [], {"toolsListChanged": True, "resourcesListChanged": True}),
        (Offers.NOTHING, ["b:", "a:"], {"resourceSubscriptions": ["a:", "b:"]}),
    ],
)
def test_what_is_asked_for(wanted: Offers, uris: list[str], asked: dict[str, Any]) -> None:
    assert filter_of(wanted, uris) == asked


def test_an_event_loses_the_id_of_the_subscription_and_nothing_else() -> None:
    params = {"_meta": {ID: 1, "a/b": 2}, "uri": "x:1", "new": True}
    event = read(json.dumps({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": params}).encode())
    assert event is not None
    assert (event.offer, event.uri) == (Offers.UPDATES, "x:1")
    assert json.loads(event.message)["params"] == {"_meta": {"a/b": 2}, "uri": "x:1", "new": True}


def test_an_event_that_held_nothing_else_has_no_params() -> None:
    message = {"jsonrpc": "2.0", "method": "notifications/tools/list_changed", "params": {"_meta": {ID: 1}}}
    event = read(json.dumps(message).encode())
    assert event is not None
    assert json.loads(event.message) == {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}


@pytest.mark.parametrize(
    "data", [b"{", b"[]", b'{"id":1,"result":{}}', b'{"id":1,"method":"roots/list"}', b'{"method":1}']
)
def test_what_is_no_event(data: bytes) -> None:
    """MCP-07"""
    assert read(data) is None


@pytest.mark.parametrize(
    ("uri", "subscribed", "is_told"),
    [
        ("file:///a", ["file:///a"], True),
        ("file:///a/b", ["file:///a"], True),
        ("file:///a/b", ["file:///a/"], True),
        ("file:///ab", ["file:///a"], False),
        ("file:///a", ["file:///a/b"], False),
        ("file:///a", [], False),
    ],
)
def test_whom_an_update_concerns(uri: str, subscribed: list[str], is_told: bool) -> None:
    assert concerns(uri, subscribed) is is_told


def test_after_a_gap_every_list_and_resource_may_have_changed() -> None:
    told = [json.loads(message) for message in missed(Offers.TOOLS | Offers.PROMPTS, ["x:1"])]
    assert [message["method"] for message in told] == [
        "notifications/tools/list_changed",
        "notifications/prompts/list_changed",
        "notifications/resources/updated",
    ]
    assert told[2]["params"] == {"uri": "x:1"}
