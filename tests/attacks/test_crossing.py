"""Many callers at once on shared connections: nobody gets another's answer, rights or record (AUTHZ-08, AUD-01)."""

import asyncio
import json
from collections import Counter
from pathlib import Path

import pytest
from tests.attacks.house import Client, House, call_body, fields_of, open_house

CALLERS = 50


async def interleave(house: House, requests: int) -> dict[str, str]:
    """Request ids and whose they were. Every caller has another right, every connection carries two callers in turn."""
    whose: dict[str, str] = {}
    tokens = {f"caller-{n}": house.token(f"caller-{n}", roles=["user" if n % 2 else "none"]) for n in range(CALLERS)}

    async def connection(first: str, second: str) -> None:
        client = await Client.to(house.calls.port)
        for n in range(requests // CALLERS):
            subject = (first, second)[n % 2]
            body = call_body(raw_id=1, who=subject, n=n)  # everybody's id is the same
            fields = fields_of(body, tokens[subject])
            answer = await client.ask("POST", "/mcp/one", fields, json.dumps(body).encode())
            whose[answer.headers["x-request-id"]] = subject
            if int(subject.rpartition("-")[2]) % 2:
                assert answer.status == 200
                assert json.loads(answer.json["result"]["content"][0]["text"]) == {"who": subject, "n": n}
            else:
                assert answer.status == 403
                assert answer.json["id"] == 1
        client.close()

    names = list(tokens)
    await asyncio.gather(*(connection(names[n], names[(n + 1) % CALLERS]) for n in range(CALLERS)))
    return whose


@pytest.mark.parametrize("requests", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])
async def test_interleaved_callers_never_cross(tmp_path: Path, requests: int) -> None:
    """AUTHZ-08, AUD-01"""
    async with open_house(tmp_path) as house:
        whose = await interleave(house, requests)
        sent = [call.message["params"]["arguments"] for call in house.one.sent]
        assert all("authorization" not in call.headers for call in house.one.sent)
        records = [json.dumps(record) for record in house.audit()]
    assert len(whose) == requests
    assert len(sent) == requests // 2
    assert all(int(call["who"].rpartition("-")[2]) % 2 for call in sent)
    found: Counter[str] = Counter()
    for record in records:
        for word in record.split('"'):
            if (subject := whose.get(word)) is not None:
                found[word] += 1
                assert f'/{subject}"' in record
    assert found == Counter(whose.keys())
