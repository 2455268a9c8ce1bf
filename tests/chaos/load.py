"""Callers: each on its own connection, one call after another, each call with words that nobody else says."""

import asyncio
import json
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

PATIENCE_S: Final = 30.0
"""A call without an answer by then hangs, whatever was done to the cluster."""
PERMITTED: Final = frozenset({429, 502, 503, 504})
VERSION: Final = "2026-07-28"
_META: Final = {
    "io.modelcontextprotocol/protocolVersion": VERSION,
    "io.modelcontextprotocol/clientInfo": {"name": "chaos", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
TOOLS: Final = ("echo", "echo", "echo", "charge", "counted")


@dataclass
class Outcome:
    """What came of all calls."""

    asked: dict[str, str] = field(default_factory=dict)
    """Message to tool."""
    answered: dict[str, str] = field(default_factory=dict)
    """Message to the node's request id, of calls that went well."""
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    """What must not be."""


class Caller:
    """One client that goes from node to node when its connection ends."""

    def __init__(self, name: str, token: str, ports: list[int], outcome: Outcome, chance: random.Random) -> None:
        self._name, self._token, self._ports, self._outcome, self._chance = name, token, ports, outcome, chance
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._port = chance.choice(ports)
        self._number = 0

    async def run(self, until_s: float, pause_s: float) -> None:
        """Call until then."""
        while time.monotonic() < until_s:
            await self._one()
            await asyncio.sleep(self._chance.uniform(0, 2 * pause_s))
        self._close()

    async def _one(self) -> None:
        outcome = self._outcome
        self._number += 1
        tool = self._chance.choice(TOOLS)
        message = f"{self._name}/{self._number}"
        outcome.asked[message] = tool
        try:
            async with asyncio.timeout(PATIENCE_S):
                status, request_id, body = await self._ask(tool, message)
        except TimeoutError:
            outcome.wrong.append(f"{message} {tool}: no answer within {PATIENCE_S:g} s")
            self._close()
            return
        except (OSError, EOFError, ValueError) as error:
            outcome.counts[f"cut: {type(error).__name__}"] += 1
            self._close()
            self._port = self._chance.choice(self._ports)
            return
        if status in PERMITTED:
            outcome.counts[str(status)] += 1
            return
        if status != 200:
            outcome.wrong.append(f"{message} {tool}: {status} {body[:300]!r}")
            return
        answer: dict[str, Any] = json.loads(body)
        said = answer.get("result", {}).get("content", [{}])[0].get("text")
        if answer.get("id") != self._number or said != message:
            outcome.wrong.append(f"{message} {tool}: got the answer {body[:300]!r}")
            return
        outcome.counts["200"] += 1
        outcome.answered[message] = request_id

    async def _ask(self, tool: str, message: str) -> tuple[int, str, bytes]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        params = {"name": tool, "arguments": {"message": message}, "_meta": _META}
        body = json.dumps({"jsonrpc": "2.0", "id": self._number, "method": "tools/call", "params": params}).encode()
        head = (
            f"POST /mcp/work HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nAuthorization: Bearer {self._token}\r\n"
            f"Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
            f"MCP-Protocol-Version: {VERSION}\r\nMcp-Method: tools/call\r\nMcp-Name: {tool}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        status_line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
        answer = await reader.readexactly(int(headers["content-length"]))
        if headers.get("connection") == "close":
            self._close()
        return int(status_line.split(" ", 2)[1]), headers.get("x-request-id", ""), answer

    def _close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
