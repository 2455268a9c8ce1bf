"""Kill switches thrown while things are under way: streams, sockets, calls in line, and a service that sends."""

import asyncio
import json
from pathlib import Path

import pytest
from tests.attacks.house import Answer, Client, House, call_body, fields_of, open_house
from tests.attacks.test_message_doors import code_of, heard, open_doors, say
from tests.attacks.test_reload import ends, reload, stream_of

ALICE = "default/mantlet:api-key/alice"
NO_PATHS = {"name": "new", "deny": {"paths": ["*"]}}
SWITCHES = [("caller", ALICE), ("tool", "stream"), ("tool", "one__stream"), ("upstream", "one")]


async def kill(house: House, kind: str, name: str, verb: str = "POST") -> Answer:
    bearer = {"Authorization": f"Bearer {house.keys['root']}"}
    answer = await house.ask(verb, f"/admin/v1/kills?kind={kind}&name={name}&reason=drill", bearer, door="admin")
    assert answer.status == 200, answer.body
    return answer


@pytest.mark.parametrize(("kind", "name"), SWITCHES)
async def test_a_stream_ends(house: House, kind: str, name: str) -> None:
    """AUTHZ-06"""
    client = await stream_of(house)
    await kill(house, kind, name)
    assert await ends(client)


@pytest.mark.parametrize(
    ("kind", "name", "path"), [("caller", ALICE, "/ws/one"), ("tool", "one__stream", "/ws"), ("upstream", "one", "/ws")]
)
async def test_a_stream_in_a_socket_ends(tmp_path: Path, kind: str, name: str, path: str) -> None:
    """AUTHZ-06"""
    async with open_doors(tmp_path) as doors, doors.socket(path=path) as socket:
        await say(socket, call_body(name="stream", raw_id=1))
        assert (await heard(socket))["method"] == "notifications/message"
        await kill(doors.house, kind, name)
        if kind == "caller":
            assert await code_of(socket) == 1008
        else:
            assert "error" in await heard(socket)


@pytest.mark.parametrize(("kind", "name"), [("caller", ALICE), ("tool", "echo"), ("upstream", "one")])
async def test_a_call_in_line_does_not_go_on(tmp_path: Path, kind: str, name: str) -> None:
    """AUTHZ-06: it was let into the line before the switch was thrown, and has not reached its server."""
    limits = {"max_concurrent_requests": 1, "list_timeout_ms": 300}
    async with open_house(tmp_path, mcp={"limits": limits}) as house:
        ahead = asyncio.ensure_future(house.call("hold", credential=house.keys["bob"]))
        await house.one.reached.wait()
        behind = asyncio.ensure_future(house.call("echo"))
        while "mantlet_calls_waiting 1" not in (await house.ask("GET", "/metrics", door="admin")).body.decode():
            await asyncio.sleep(0.01)
        await kill(house, kind, name)
        house.one.release.set()
        await ahead
        answer = await behind
        assert (answer.status, answer.json["error"]["data"]["reason"]) == (403, "killed")
        assert [sent.message["params"]["name"] for sent in house.one.sent] == ["hold"]
        await kill(house, kind, name, "DELETE")
        assert (await house.call("echo")).status == 200  # the place was given back


async def serve_forever(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A service that never ends what it says."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n:a\n\r\n"
    )
    await reader.read()
    writer.close()


@pytest.mark.parametrize("how", ["caller", "upstream", "rule"])
async def test_what_a_service_sends_ends(tmp_path: Path, how: str) -> None:
    """AUTHZ-06"""
    service = await asyncio.start_server(serve_forever, "127.0.0.1", 0)
    port = service.sockets[0].getsockname()[1]
    one = {"name": "events", "url": f"http://127.0.0.1:{port}"}
    async with open_house(tmp_path, http_upstreams=[one]) as house:
        client = await Client.to(house.calls.port)
        fields = {"Authorization": f"Bearer {house.keys['alice']}"}
        assert (await client.ask("GET", "/api/events/all", fields, whole=False)).status == 200
        if how == "rule":
            await reload(house, lambda whole: whole["authorization"]["rules"].insert(0, NO_PATHS))
        else:
            await kill(house, how, {"caller": ALICE, "upstream": "events"}[how])
        assert await ends(client)
    service.close()


async def test_a_subscription_ends_with_its_caller(house: House) -> None:
    """AUTHZ-06"""
    body = call_body("subscriptions/listen")
    body["params"]["notifications"] = {"toolsListChanged": True}
    client = await Client.to(house.calls.port)
    answer = await client.ask(
        "POST", "/mcp", fields_of(body, house.keys["alice"]), json.dumps(body).encode(), whole=False
    )
    assert answer.headers["content-type"] == "text/event-stream"
    await kill(house, "caller", ALICE)
    assert await ends(client)
