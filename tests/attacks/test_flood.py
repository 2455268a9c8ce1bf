"""A flood of bad tokens from one address: refused, recorded, and felt by nobody else (AUTHN-07, RATE-06, AUD-01)."""

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.attacks.house import Answer, Client, House, call_body, fields_of, open_house

PROXY, GUESSER = "127.0.0.2", "192.0.2.66"
FEW = {"failures": {"per_address": 5, "per_credential": 1000, "window": 3600}}


class Visitor:
    """A connection of an address."""

    def __init__(self, house: House, client: Client) -> None:
        self.house, self.client = house, client

    @classmethod
    async def of(cls, house: House, address: str) -> "Visitor":
        port = house.calls.port
        return cls(house, Client(*await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0)), port))

    async def call(self, credential: str, **fields: str) -> Answer:
        body = call_body()
        return await self.client.ask(
            "POST", "/mcp/one", fields_of(body, credential) | fields, json.dumps(body).encode()
        )


def forged(house: House) -> str:
    return house.token(key="k" * 40)


async def test_through_a_proxy_a_flood_is_written_down_as_one_number_a_second(tmp_path: Path) -> None:
    """AUD-01: whatever request id was given out is in the trail once, and the numbers add up."""
    http = {"port": 0, "trusted_proxies": [f"{PROXY}/32"]}
    by = {"X-Forwarded-For": GUESSER}
    async with open_house(tmp_path, http=http, auth=FEW) as house:
        known = house.token("alice")
        proxy = await Visitor.of(house, PROXY)
        assert (await proxy.call(known, **by)).status == 200
        answers = [await proxy.call(forged(house), **by) for _ in range(60)]
        # A proxy is not made to wait, and the owner of a token or key gets in from that address all the same.
        assert (await proxy.call(known, **by)).status == 200
        assert (await proxy.call(house.keys["bob"], **by)).status == 200
        assert (await proxy.call(house.token("bob"), **{"X-Forwarded-For": "192.0.2.67"})).status == 200
        proxy.client.close()
    assert [answer.status for answer in answers] == [401] * 5 + [429] * 55
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers[5:])
    records = house.audit()
    told = [record for record in records if record["event"] == "calls.refused"]
    single = [record for record in records if record["event"] == "call" and record.get("peer") == GUESSER]
    refused = [record for record in single if record["verdict"] == "deny"]
    assert sum(int(record["notes"]["count"]) for record in told) + len(refused) == 60
    assert len(refused) < 20
    given = {answer.headers["x-request-id"] for answer in answers}
    assert sorted(given) == sorted({record["request_id"] for record in refused})
    assert {record["object"] for record in told} == {GUESSER}
    assert "kkkk" not in str(records)


async def test_an_address_of_its_own_is_read_once_a_second(tmp_path: Path) -> None:
    """AUTHN-07, RATE-06: what else it sends waits in its own machine; others are served meanwhile."""
    async with open_house(tmp_path, auth=FEW) as house:
        guesser = await Visitor.of(house, PROXY)
        body = call_body()
        for _ in range(50):
            fields = fields_of(body, forged(house)) | {"Content-Length": str(len(json.dumps(body)))}
            head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
            guesser.client.writer.write(
                f"POST /mcp/one HTTP/1.1\r\nHost: localhost:{house.calls.port}\r\n{head}\r\n{json.dumps(body)}".encode()
            )
        first = [(await guesser.client.answer("POST")).status for _ in range(6)]
        assert first == [401] * 5 + [429]
        for _ in range(20):
            assert (await house.call()).status == 200
        guesser.client.close()
    seen: list[Any] = [record for record in house.audit() if record.get("peer") == PROXY]
    assert len(seen) < 15


async def test_a_denied_address_is_told_together_too(tmp_path: Path) -> None:
    """RATE-07, AUD-01"""
    http = {"port": 0, "trusted_proxies": [f"{PROXY}/32"]}
    async with open_house(tmp_path, http=http, addresses={"deny": [GUESSER]}) as house:
        proxy = await Visitor.of(house, PROXY)
        answers = [await proxy.call(house.keys["alice"], **{"X-Forwarded-For": GUESSER}) for _ in range(20)]
        assert {answer.status for answer in answers} == {403}
        proxy.client.close()
    records = [record for record in house.audit() if record.get("peer") == GUESSER]
    numbers = [int(record["notes"]["count"]) for record in records if record["event"] == "calls.refused"]
    assert sum(numbers) + len(records) - len(numbers) == 20
    assert len(records) < 10
