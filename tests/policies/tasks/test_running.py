"""Tasks through a whole node: two servers that give the same ids, two callers, both endpoints."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.attacks import house as houses
from tests.attacks.house import Answer, Client, House, Sent, Upstream, call_body, fields_of, open_house

EXTENSION = "io.modelcontextprotocol/tasks"


class Digger(Upstream):
    """Gives every call the task `t-1`, and knows only that one."""

    async def _answer(self, sent: Sent, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        message = sent.message
        method, params = message.get("method", ""), message.get("params", {})
        task = {"taskId": "t-1", "status": "working", "createdAt": "x", "ttlMs": None, "from": self.name}
        if method == "tools/call" and params["name"] == "echo":
            self._say(writer, message["id"], {"resultType": "task", **task})
        elif method in ("tasks/get", "tasks/update", "tasks/cancel"):
            assert params["taskId"] == sent.headers["mcp-name"] == "t-1"
            self._say(writer, message["id"], {"resultType": "complete", **(task if method == "tasks/get" else {})})
        elif method == "subscriptions/listen":
            own = {"_meta": {"io.modelcontextprotocol/subscriptionId": message["id"]}}
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            agreed = {"notifications": params["notifications"], **own}
            self._note(writer, "notifications/subscriptions/acknowledged", agreed)
            self._note(writer, "notifications/tasks", {**task, "status": "completed", **own})
            await self._until_released(reader)
        else:
            await super()._answer(sent, reader, writer)

    def _say(self, writer: asyncio.StreamWriter, raw_id: Any, result: Any) -> None:
        raw = json.dumps({"jsonrpc": "2.0", "id": raw_id, "result": result}).encode()
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(raw), raw)
        )

    def _note(self, writer: asyncio.StreamWriter, method: str, params: Any) -> None:
        raw = b"data: %b\n\n" % json.dumps({"jsonrpc": "2.0", "method": method, "params": params}).encode()
        writer.write(b"%x\r\n%b\r\n" % (len(raw), raw))


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    monkeypatch.setattr(houses, "Upstream", Digger)
    async with open_house(tmp_path, servers=2, era="modern") as opened:
        yield opened


def able(method: str, **params: Any) -> dict[str, Any]:
    body = call_body(method)
    body["params"] = {**params, "_meta": json.loads(json.dumps(body["params"]["_meta"]))}
    body["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] = {"extensions": {EXTENSION: {}}}
    return body


async def send(house: House, body: dict[str, Any], endpoint: str, who: str = "alice") -> Answer:
    fields = fields_of(body, house.keys[who])
    if "taskId" in body["params"]:
        fields["Mcp-Name"] = body["params"]["taskId"]
    path = f"/mcp/{endpoint}".rstrip("/")
    return await house.ask("POST", path, fields, json.dumps(body).encode())


async def test_a_task_is_its_callers_wherever_it_asks(house: House) -> None:
    """AUTHZ-04"""
    mine: dict[str, str] = {}
    for endpoint, name, server in (("", "echo", "one"), ("", "two__echo", "two"), ("two", "echo", "direct")):
        started = (await send(house, able("tools/call", name=name, arguments={}), endpoint)).json["result"]
        mine[server] = started["taskId"]
        assert started["resultType"] == "task"
    assert len({*mine.values(), "t-1"}) == 4
    for task, server in ((mine["one"], "one"), (mine["two"], "two"), (mine["direct"], "two")):
        for endpoint in ("", server):
            for method in ("tasks/get", "tasks/update", "tasks/cancel"):
                answer = await send(house, able(method, taskId=task), endpoint)
                assert answer.status == 200, answer.body
                if method == "tasks/get":
                    assert (answer.json["result"]["taskId"], answer.json["result"]["from"]) == (task, server)
    sent = sum(len(upstream.sent) for upstream in house.upstreams.values())
    refused = set()
    for who, endpoint, task in (("bob", "", mine["one"]), ("bob", "one", mine["one"]), ("alice", "two", mine["one"]),
                                ("alice", "one", "t-1"), ("alice", "", "t-1")):  # fmt: skip
        answer = await send(house, able("tasks/get", taskId=task), endpoint, who)
        refused.add((answer.status, answer.json["error"]["code"], answer.json["error"]["message"]))
    assert refused == {(400, -32602, "Task not found.")}
    assert sum(len(upstream.sent) for upstream in house.upstreams.values()) == sent


async def test_news_of_tasks_come_to_who_has_them(house: House) -> None:
    """AUTHZ-04: of two servers' equal ids, each under the one that its caller knows."""
    mine = [
        (await send(house, able("tools/call", name=name, arguments={}), "")).json["result"]["taskId"]
        for name in ("echo", "two__echo")
    ]
    foreign = (await send(house, able("tools/call", name="echo", arguments={}), "", "bob")).json["result"]["taskId"]
    listen = able("subscriptions/listen", notifications={"taskIds": [*mine, foreign, "t-1"]})
    client = await Client.to(house.calls.port)
    fields = fields_of(listen, house.keys["alice"])
    await client.ask("POST", "/mcp", fields, json.dumps(listen).encode(), whole=False)
    said: list[Any] = []
    async with asyncio.timeout(5):
        async for chunk in client.chunks():
            said += [json.loads(line[6:]) for line in chunk.splitlines() if line.startswith(b"data: ")]
            if len(said) == 3:
                break
    client.close()
    assert sorted(said[0]["params"]["notifications"]["taskIds"]) == sorted(mine)
    assert {(note["params"]["taskId"], note["params"]["from"]) for note in said[1:]} == {
        (mine[0], "one"),
        (mine[1], "two"),
    }
