"""The handshake told from a discovery. MCP-04"""

from typing import Any

import pytest

from mantlet.core.refusal import InvalidParams
from mantlet.wire.mcp.bridge.to_modern_handshake import (
    Offers,
    client_capabilities,
    client_of,
    initialize_result,
    negotiated,
    offers,
    server_capabilities,
)


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("2025-11-25", "2025-11-25"),
        ("2025-06-18", "2025-06-18"),
        ("2024-11-05", "2024-11-05"),
        ("2026-07-28", "2025-11-25"),  # no handshake opens that one
        ("1999-01-01", "2025-11-25"),
    ],
)
def test_the_session_has_the_revision_asked_for_or_the_latest_of_its_era(asked: str, given: str) -> None:
    assert negotiated({"protocolVersion": asked}) == given


@pytest.mark.parametrize("params", [{}, {"protocolVersion": 7}])
def test_a_handshake_without_a_revision_is_refused(params: dict[str, Any]) -> None:
    with pytest.raises(InvalidParams):
        negotiated(params)


@pytest.mark.parametrize("params", [{}, {"clientInfo": {}}, {"clientInfo": [], "capabilities": {}}])
def test_a_handshake_must_say_who_comes_and_what_it_can(params: dict[str, Any]) -> None:
    with pytest.raises(InvalidParams):
        client_of(params)


@pytest.mark.parametrize(
    ("legacy", "modern"),
    [
        ({}, {}),
        ({"roots": {"listChanged": True}}, {"roots": {}}),
        ({"elicitation": {}, "sampling": {"tools": {}}}, {"elicitation": {}, "sampling": {"tools": {}}}),
        ({"tasks": {"list": {}}, "x": {"y": 1}}, {"x": {"y": 1}}),
        ({"extensions": {"io.modelcontextprotocol/tasks": {}, "a/b": {}}}, {"extensions": {"a/b": {}}}),
    ],
)
def test_what_a_client_can(legacy: dict[str, Any], modern: dict[str, Any]) -> None:
    assert client_capabilities(legacy) == modern


def test_what_a_server_can_without_the_tasks_of_the_other_era() -> None:
    modern = {"tools": {"listChanged": True}, "extensions": {"io.modelcontextprotocol/tasks": {}, "a/b": {"c": 1}}}
    assert server_capabilities(modern) == {"tools": {"listChanged": True}, "extensions": {"a/b": {"c": 1}}}


@pytest.mark.parametrize(
    ("capabilities", "found"),
    [
        ({}, Offers.NOTHING),
        ({"tools": {}}, Offers.NOTHING),
        ({"tools": {"listChanged": True}, "prompts": {"listChanged": True}}, Offers.TOOLS | Offers.PROMPTS),
        ({"resources": {"listChanged": True, "subscribe": True}}, Offers.RESOURCES | Offers.UPDATES),
        ({"tools": {"listChanged": "yes"}, "resources": []}, Offers.NOTHING),
    ],
)
def test_what_a_server_would_tell(capabilities: dict[str, Any], found: Offers) -> None:
    assert offers(capabilities) == found


def test_the_result_of_a_handshake() -> None:
    discovered = {
        "resultType": "complete",
        "supportedVersions": ["2026-07-28"],
        "capabilities": {"tools": {}},
        "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "s", "version": "3", "title": "S"}},
        "instructions": "Do.",
        "ttlMs": 1,
        "cacheScope": "public",
    }
    assert initialize_result(discovered, "2025-06-18", "ours") == {
        "protocolVersion": "2025-06-18",
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "s", "version": "3", "title": "S"},
        "instructions": "Do.",
    }
    assert initialize_result({}, "2025-06-18", "ours") == {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "serverInfo": {"name": "ours", "version": ""},
    }
