"""RES-04: more than there is room for, against a whole gateway."""

import asyncio
from pathlib import Path

from tests.attacks.house import Answer, open_house


async def test_a_flood_at_a_server_that_hangs_is_shed_and_everybody_else_is_served(tmp_path: Path) -> None:
    """RES-04: 503 and Retry-After; health and admin are another door."""
    limits = {"list_timeout_ms": 300, "max_concurrent_requests": 6, "max_queued_requests": 6}
    async with open_house(tmp_path, servers=2) as plain:
        mcp = {"limits": limits, "servers": [_server(name, up.port) for name, up in plain.upstreams.items()]}
        folder = tmp_path / "small"
        folder.mkdir()
        async with open_house(folder, mcp=mcp) as house:
            flood = [asyncio.ensure_future(house.call("hold")) for _ in range(20)]
            # Of six places the server gets four, and of six in the line the caller three: the rest is refused at once.
            shed: list[Answer] = []
            for refused in asyncio.as_completed(flood):
                shed.append(await refused)
                if len(shed) == 13:
                    break
            assert {answer.status for answer in shed} == {503}
            assert all(int(answer.headers["retry-after"]) >= 1 for answer in shed)
            bob = house.keys["bob"]
            assert [(await house.call(server="two", credential=bob)).status for _ in range(5)] == [200] * 5
            assert (await house.ask("GET", "/health", door="admin")).status == 200
            metrics = (await house.ask("GET", "/metrics", door="admin")).body
            assert b"mantlet_calls_shed 13.0" in metrics
            assert b"mantlet_upstream_places 12.0" in metrics
            patient = asyncio.ensure_future(house.call(credential=bob))
            plain.upstreams["one"].release.set()
            assert (await patient).status == 200
            assert sorted(answer.status for answer in await asyncio.gather(*flood)) == [200] * 7 + [503] * 13


def _server(name: str, port: int) -> dict[str, object]:
    return {"name": name, "transport": "http", "url": f"http://127.0.0.1:{port}/mcp", "era": "dual"}
