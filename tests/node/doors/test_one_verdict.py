"""The same call at every door: one decision point, so one verdict (AUTHZ-01)."""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.attacks.house import META, House, fields_of
from tests.attacks.test_message_doors import Doors, heard, open_doors, say

from mantlet.core.secret import Secret
from mantlet.listeners.stdio import converse
from mantlet.node.doors.messages import terms_of
from mantlet.node.stdio import _caller

Send = Callable[[dict[str, Any]], Awaitable[Any]]
PATIENCE_S = 10.0
RULES = [
    {"name": "no-exec", "deny": {"tools": ["exec"]}},
    {"name": "small", "deny": {"tools": ["hold"], "when": "args.size > 9"}},
    {"name": "named", "allow": {"roles": ["user"], "methods": ["x/y"]}},
    {"name": "writers", "allow": {"scopes": ["mcp:write"], "tools": ["stream"]}},
    {"name": "watched", "deny": {"tools": ["echo"]}, "shadow": True},
    {"name": "users", "allow": {"roles": ["user"], "tools": ["echo", "hold"], "resources": ["open://*"]}},
]


def tool(name: str, **arguments: Any) -> tuple[str, dict[str, Any]]:
    return "tools/call", {"name": name, "arguments": arguments}


CALLS = {
    "allowed": tool("echo", x=1),
    "denied": tool("exec"),
    "condition denies": tool("hold", size=10),
    "condition errs": tool("hold", size="x"),
    "no rule": tool("other"),
    "scopes lack": tool("stream"),
    "resource": ("resources/read", {"uri": "secret://x"}),
    "list": ("tools/list", {}),
    "prompt": ("prompts/get", {"name": "p"}),
    "killed": tool("killed"),
    "pending": tool("approve", x=1),
    "unknown method": ("x/z", {}),
    "no arguments": ("tools/call", {"name": "hold"}),
}


@contextlib.asynccontextmanager
async def over_http(doors: Doors, who: str) -> AsyncIterator[Send]:
    async def send(message: dict[str, Any]) -> Any:
        fields = fields_of(message, doors.house.keys[who])
        if "uri" in message["params"]:
            fields["Mcp-Name"] = message["params"]["uri"]
        return (await doors.house.ask("POST", "/mcp/one", fields, json.dumps(message).encode())).json

    yield send


@contextlib.asynccontextmanager
async def over_websocket(doors: Doors, who: str) -> AsyncIterator[Send]:
    async with doors.socket(doors.house.keys[who]) as socket:

        async def send(message: dict[str, Any]) -> Any:
            await say(socket, message)
            return await heard(socket)

        yield send


@contextlib.asynccontextmanager
async def over_tcp(doors: Doors, who: str) -> AsyncIterator[Send]:
    lines = await doors.lines(doors.house.keys[who])
    await lines.hear()

    async def send(message: dict[str, Any]) -> Any:
        lines.say(message)
        return await lines.hear()

    yield send


@contextlib.asynccontextmanager
async def over_stdio(doors: Doors, who: str) -> AsyncIterator[Send]:
    node = doors.house.node
    incoming, ours_out = os.pipe()
    ours_in, outgoing = os.pipe()
    terms = terms_of(node, "stdio", request_timeout_s=30, max_in_flight=8, max_refused=1000)
    caller = await _caller(node, "/mcp/one", Secret(doors.house.keys[who]))
    work = converse(
        terms, caller, "/mcp/one", incoming=incoming, outgoing=outgoing, max_line_bytes=100_000, stop=asyncio.Event()
    )
    task = asyncio.ensure_future(work)
    answers = os.fdopen(ours_in, "rb")

    async def send(message: dict[str, Any]) -> Any:
        os.write(ours_out, json.dumps(message).encode() + b"\n")
        async with asyncio.timeout(PATIENCE_S):
            return json.loads(await asyncio.to_thread(answers.readline))

    try:
        yield send
    finally:
        os.close(ours_out)
        await task
        answers.close()


DOORS = {"http": over_http, "websocket": over_websocket, "tcp": over_tcp, "stdio": over_stdio}


def verdict(answer: Any, record: dict[str, Any]) -> Any:
    """What the caller is told and what is written down, without what tells one attempt from another."""
    error = answer.get("error")
    said = answer.get("result") if error is None else [error["code"], error["message"], dict(error.get("data") or {})]
    if error is not None:
        for varying in ("request_id", "approval", "expires"):
            said[2].pop(varying, None)
    notes = {key: value for key, value in record.get("notes", {}).items() if key != "approval"}
    return said, {key: record.get(key) for key in ("verdict", "reason", "rule", "principal", "object", "action")}, notes


@pytest.mark.parametrize("who", ["alice", "norules"])
async def test_every_door_gives_the_same_verdict_on_the_same_call(tmp_path: Path, who: str) -> None:
    """AUTHZ-01: HTTP, WebSocket, TCP and stdio, down to the words, the rule and the record."""
    approvals = {"tools": ["approve"], "hold": 0}
    rules = [*RULES, {"name": "rest", "allow": {"roles": ["user"], "tools": ["killed", "approve"]}}]
    async with open_doors(tmp_path, authorization={"rules": rules, "approvals": approvals}) as doors:
        house = doors.house
        bearer = {"Authorization": f"Bearer {house.keys['root']}"}
        await house.ask("POST", "/admin/v1/kills?kind=tool&name=killed", bearer, door="admin")
        found: dict[str, dict[str, Any]] = {}
        for door, opened in DOORS.items():
            async with opened(doors, who) as send:
                for number, (name, (method, params)) in enumerate(CALLS.items()):
                    body = {"jsonrpc": "2.0", "id": number, "method": method, "params": {"_meta": META, **params}}
                    answer = await send(body)
                    record = last_call(house)
                    assert record["door"] == door
                    found.setdefault(name, {})[door] = verdict(answer, record)
        for name, verdicts in found.items():
            assert len({json.dumps(one, sort_keys=True) for one in verdicts.values()}) == 1, (name, verdicts)
        reasons = {name: verdicts["http"][1]["reason"] or "" for name, verdicts in found.items()}
        if who == "alice":
            assert reasons == {
                "allowed": "", "denied": "denied", "condition denies": "denied", "condition errs": "denied",
                "no rule": "denied", "scopes lack": "insufficient_scope", "resource": "denied", "list": "",
                "prompt": "denied", "killed": "killed", "pending": "approval_pending",
                "unknown method": "method_not_found", "no arguments": "denied",
            }  # fmt: skip
            assert [tool["name"] for tool in found["list"]["http"][0]["tools"]] == ["echo", "hold"]
        else:
            assert set(reasons.values()) == {"denied", "insufficient_scope", "killed", "method_not_found"}


def last_call(house: House) -> dict[str, Any]:
    return next(record for record in reversed(house.audit()) if record["event"] == "call")
