"""RATE-07: addresses that misbehave, against a whole gateway."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from tests.attacks.house import Client, House, call_body, fields_of, open_house
from tests.attacks.test_message_doors import Lines, code_of, open_doors, say
from websockets.asyncio.client import connect

OTHER = "127.0.0.2"
NEVER: dict[str, Any] = {"auto_block": {"never": ["127.0.0.1"]}}


async def knock(house: House, peer: str = OTHER, token: str = "wrong", door: int = 0, **fields: str) -> int:
    port = door or house.calls.port
    client = Client(*await asyncio.open_connection("127.0.0.1", port, local_addr=(peer, 0)), port)
    try:
        body = call_body()
        headers = fields_of(body, token) | {name.replace("_", "-"): value for name, value in fields.items()}
        return (await client.ask("POST", "/mcp/one", headers, json.dumps(body).encode())).status
    finally:
        client.close()


async def admin(house: House, verb: str, query: str = "") -> Any:
    answer = await house.ask(
        verb, f"/admin/v1/blocks{query}", {"Authorization": f"Bearer {house.keys['root']}"}, door="admin"
    )
    return answer.json if answer.status == 200 else answer.status


async def test_bad_tokens_block_their_address_and_no_other(tmp_path: Path) -> None:
    async with open_house(tmp_path, addresses=NEVER) as house:
        statuses = [await knock(house) for _ in range(20)]
        assert (statuses[:10], statuses[-5:]) == ([401] * 10, [403] * 5)
        assert await knock(house, token=house.keys["alice"]) == 403
        assert (await house.call()).status == 200
        (block,) = (await admin(house, "GET"))["blocks"]
        assert (block["address"], block["reason"], block["times"]) == (OTHER, "invalid_credential", 1)
        metrics = await house.ask("GET", "/metrics", door="admin")
        assert b"mantlet_addresses_blocked" in metrics.body
        assert await admin(house, "DELETE", f"?address={OTHER}") == {"address": OTHER, "was_blocked": True}
        assert await knock(house, token=house.keys["alice"]) == 200

        assert "address.unblocked" in str(house.audit())
        assert "address.blocked" in str(house.audit())


async def test_a_scanner_and_broken_framing_are_blocked(tmp_path: Path) -> None:
    async with open_house(tmp_path, addresses=NEVER) as house:
        for _ in range(12):
            reader, writer = await asyncio.open_connection("127.0.0.1", house.calls.port, local_addr=(OTHER, 0))
            writer.write(b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n")
            await reader.read()
            writer.close()
        assert await knock(house, token=house.keys["alice"]) == 403


async def test_allowed_and_never_addresses_are_not_blocked(tmp_path: Path) -> None:
    async with open_house(tmp_path, addresses={"allow": ["127.0.0.0/8"], "auto_block": {"never": []}}) as house:
        assert [await knock(house) for _ in range(20)] == [401] * 20
        assert await admin(house, "POST", f"?address={OTHER}") == 400
    folder = tmp_path / "second"
    folder.mkdir()
    async with open_house(folder, addresses={}) as house:
        assert [await knock(house) for _ in range(20)] == [401] * 20


async def test_a_denied_address_is_turned_away_before_its_credential_is_looked_at(tmp_path: Path) -> None:
    async with open_house(tmp_path, addresses={"deny": [OTHER]}) as house:
        assert await knock(house, token=house.keys["alice"]) == 403
        assert (await house.call()).status == 200


@pytest.mark.parametrize(("proxies", "blocked"), [([], OTHER), ([OTHER], "192.0.2.9")])
async def test_only_a_trusted_proxy_speaks_of_others(tmp_path: Path, proxies: list[str], blocked: str) -> None:
    http = {"port": 0, "trusted_proxies": proxies}
    async with open_house(tmp_path, addresses=NEVER, http=http) as house:
        for _ in range(12):
            await knock(house, X_Forwarded_For="192.0.2.9")
        assert [block["address"] for block in (await admin(house, "GET"))["blocks"]] == [blocked]


async def test_an_operator_blocks_at_every_door_and_open_sockets_end(tmp_path: Path) -> None:
    async with open_doors(tmp_path, addresses=NEVER) as doors:
        house = doors.house
        bearer = {"Authorization": f"Bearer {house.keys['alice']}"}
        auth = {"jsonrpc": "2.0", "id": 0, "method": "auth", "params": {"token": house.keys["alice"], "server": "one"}}
        url = f"ws://127.0.0.1:{doors.websocket.port}/ws/one"
        lines = Lines(*await asyncio.open_connection("127.0.0.1", doors.tcp.port, local_addr=(OTHER, 0)))
        doors.opened.append(lines)
        lines.say(auth)
        assert "result" in await lines.hear()
        async with connect(url, additional_headers=bearer, subprotocols=["mcp"], local_addr=(OTHER, 0)) as socket:  # type: ignore[list-item]
            assert (await admin(house, "POST", f"?address={OTHER}&for=60"))["reason"] == "operator"
            await say(socket, call_body())
            assert await code_of(socket) == 1008
        lines.say(call_body())
        assert "error" in await lines.hear()
        assert await lines.hear() is None
        again = Lines(*await asyncio.open_connection("127.0.0.1", doors.tcp.port, local_addr=(OTHER, 0)))
        doors.opened.append(again)
        again.say(auth)
        assert "error" in await again.hear()
        assert await knock(house, door=doors.websocket.port) == 403
        assert await knock(house) == 403
