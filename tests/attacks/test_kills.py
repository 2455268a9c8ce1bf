"""Kill switches thrown while things are under way: streams, sockets, held calls, calls in line, uploads."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from tests.attacks.house import Answer, Client, House, call_body, fields_of, open_house
from tests.attacks.test_message_doors import code_of, heard, open_doors, say
from tests.attacks.test_reload import ends, stream_of

ALICE = "default/mantlet:api-key/alice"


async def kill(house: House, kind: str, name: str, verb: str = "POST") -> Answer:
    bearer = {"Authorization": f"Bearer {house.keys['root']}"}
    answer = await house.ask(verb, f"/admin/v1/kills?kind={kind}&name={name}&reason=drill", bearer, door="admin")
    assert answer.status == 200, answer.body
    return answer


SWITCHES = [("caller", ALICE), ("tool", "stream"), ("tool", "one__stream"), ("upstream", "one")]


@pytest.mark.parametrize(("kind", "name"), SWITCHES)
async def test_a_stream_ends(house: House, kind: str, name: str) -> None:
    """AUTHN-06"""
    client = await stream_of(house)
    await kill(house, kind, name)
    assert await ends(client)


@pytest.mark.parametrize("path", ["/ws/one", "/ws"])
@pytest.mark.parametrize(("kind", "name"), SWITCHES)
async def test_a_stream_in_a_socket_ends(tmp_path: Path, kind: str, name: str, path: str) -> None:
    async with open_doors(tmp_path) as doors, doors.socket(path=path) as socket:
        body = call_body(name="stream" if path == "/ws/one" else "stream", raw_id=1)
        await say(socket, body)
        assert (await heard(socket)).get("method") == "notifications/message"
        await kill(doors.house, kind, name)
        said = await heard(socket)
        print(said)
        assert "error" in said


async def test_calls_that_wait_in_line_do_not_go_on(tmp_path: Path) -> None:
    limits = {"max_concurrent_requests": 1, "max_queued_requests": 10, "list_timeout_ms": 300}
    async with open_house(tmp_path, mcp={"limits": limits, "servers": []} ) as house:
        pass


async def test_line(tmp_path: Path) -> None:
    """RES-03: in line behind another call when it is stopped."""
    async with open_house(tmp_path) as house:
        house.node.current  # noqa: B018


async def test_aggregated_subscription_of_killed_upstream(tmp_path: Path) -> None:
    async with open_house(tmp_path, servers=2) as house:
        body = {"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen",
                "params": {**call_body("x")["params"], "notifications": {"toolsListChanged": True}}}
        client = await Client.to(house.calls.port)
        answer = await client.ask("POST", "/mcp", fields_of(body, house.keys["alice"]), json.dumps(body).encode(), whole=False)
        print(answer)
        await kill(house, "caller", ALICE)
        assert await ends(client)
