"""What callers do in an hour, and how often. Each deed says what came of it, and raises `Wrong` for a wrong answer."""

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import msgspec

from bench.rig.gateway import Gateway
from bench.soak.client import Connection
from bench.wire import INITIALIZED, META, Era, Job, body, head, initialize, is_right

TOOLS = 20
STEPS = 3
LIFE = (5, 30)
"""Calls that a caller makes before it leaves for good; a new one with a name of its own comes in its place."""
STREAM_S = (0.5, 4.0)
"""How long somebody listens to what a server says unasked."""
ABANDONED = 0.1
"""Legacy sessions that are left and not ended."""
STRANGERS = 200
"""Addresses that bad tokens come from: one alone would soon not be looked at any more."""
PASSED_OVER_S = 0.5
"""Until a stranger gives up: an address that guesses too much is left unread."""


class Wrong(Exception):
    """An answer that must not be."""


@dataclass
class Visitor:
    """One caller on one connection; between calls it waits among those of its era."""

    name: str
    token: str
    connection: Connection
    left: int
    session: str = ""
    serial: int = 0


Deed = Callable[["Mix", Visitor], Awaitable[str]]


@dataclass
class Mix:
    """The deeds on one gateway."""

    gateway: Gateway
    chance: random.Random
    port: int
    visitors: "itertools.count[int]" = field(default_factory=itertools.count)
    gone: int = 0

    def arrive(self) -> Visitor:
        """Somebody new."""
        name = f"visitor-{next(self.visitors)}"
        return Visitor(name, self.gateway.mint(name), Connection(self.port), self.chance.randint(*LIFE))

    async def leave(self, visitor: Visitor) -> None:
        """End what the visitor has open; some just hang up."""
        if visitor.session and self.chance.random() > ABANDONED:
            job = Job(port=self.port, path="/mcp/echo", era="legacy")
            request = _request(job, visitor, b"").replace(b"POST", b"DELETE", 1)
            await visitor.connection.ask(request)
        visitor.connection.close()
        self.gone += 1

    async def call(self, visitor: Visitor, era: Era = "modern", tool: str = "echo") -> tuple[int, bytes]:
        """A call of the tool with words that nobody else says."""
        visitor.serial += 1
        job = Job(port=self.port, path="/mcp/echo", era=era, tool=tool)
        message = f"{visitor.name}/{visitor.serial}"
        answer, content = await visitor.connection.ask(_request(job, visitor, body(job, visitor.serial, message)))
        if answer.status == 200 and not is_right(job, visitor.serial, message, content):
            raise Wrong(f"{message}: {content[:300]!r}")
        return answer.status, content

    # The deeds.

    async def modern(self, visitor: Visitor) -> str:
        return _must(200, await self.call(visitor))

    async def legacy(self, visitor: Visitor) -> str:
        if not visitor.session:
            job = Job(port=self.port, path="/mcp/echo", era="legacy")
            answer, content = await visitor.connection.ask(_request(job, visitor, initialize()))
            _must(200, (answer.status, content))
            visitor.session = answer.session
            answer, content = await visitor.connection.ask(_request(job, visitor, INITIALIZED))
            _must(202, (answer.status, content))
        return _must(200, await self.call(visitor, era="legacy"))

    async def listed(self, visitor: Visitor) -> str:
        visitor.serial += 1
        job = Job(port=self.port, path="/mcp/echo", method="tools/list", tools=TOOLS)
        answer, content = await visitor.connection.ask(_request(job, visitor, body(job, visitor.serial, "")))
        _must(200, (answer.status, content))
        if not is_right(job, visitor.serial, "", content):
            raise Wrong(f"{visitor.name}, a list: {content[:300]!r}")
        return "200"

    async def denied(self, visitor: Visitor) -> str:
        return _must(403, await self.call(visitor, tool="exec"))

    async def limited(self, visitor: Visitor) -> str:
        status, content = await self.call(visitor, tool="tool_1")
        return _must(200 if status == 200 else 429, (status, content))

    async def malformed(self, visitor: Visitor) -> str:
        job = Job(port=self.port, path="/mcp/echo")
        content = body(job, 1, "cut short")[: -self.chance.randint(1, 60)]
        answer, said = await visitor.connection.ask(_request(job, visitor, content))
        return _must(400, (answer.status, said))

    async def stranger(self, _: Visitor) -> str:
        """A bad token from one of many addresses; some are slowed or not looked at by now."""
        source = f"127.0.1.{1 + self.chance.randrange(STRANGERS)}"
        stranger = Visitor("nobody", f"no-token-{self.chance.random()}", Connection(self.port, source), 1)
        job = Job(port=self.port, path="/mcp/echo")
        try:
            async with asyncio.timeout(PASSED_OVER_S):
                answer, content = await stranger.connection.ask(_request(job, stranger, body(job, 1, "let me in")))
        except (OSError, EOFError, TimeoutError):
            return "not looked at"
        finally:
            stranger.connection.close()
        if answer.status not in (401, 429):
            raise Wrong(f"a bad token: {answer.status} {content[:300]!r}")
        return str(answer.status)

    async def streamed(self, visitor: Visitor) -> str:
        visitor.serial += 1
        arguments = b'"name":"progress","arguments":{"steps":%d,"delay_s":0.01}' % STEPS
        answer, content = await visitor.connection.ask(self._at_sdk(visitor, "progress", arguments))
        _must(200, (answer.status, content))
        said = [msgspec.json.decode(line[5:]) for line in content.splitlines() if line.startswith(b"data:")]
        steps = [one["params"]["progress"] for one in said if one.get("method") == "notifications/progress"]
        text = said[-1].get("result", {}).get("content", [{}])[0].get("text") if said else None
        if steps != list(range(1, STEPS + 1)) or said[-1]["id"] != visitor.serial or text != f"{STEPS} steps":
            raise Wrong(f"{visitor.name}, a stream: {content[:600]!r}")
        return "200"

    async def deserted(self, visitor: Visitor) -> str:
        """Leave in the middle of a call; the node tells the server."""
        visitor.serial += 1
        request = self._at_sdk(visitor, "slow", b'"name":"slow","arguments":{"seconds":5}')
        try:
            async with asyncio.timeout(self.chance.uniform(0.05, 0.5)):
                answer, content = await visitor.connection.ask(request)
        except TimeoutError:
            visitor.connection.close()
            return "left"
        raise Wrong(f"{visitor.name}, a slow call was answered: {answer.status} {content[:300]!r}")

    async def listening(self, visitor: Visitor) -> str:
        """Listen to a server for a while, and hang up."""
        visitor.serial += 1
        params = b'"notifications":{"toolsListChanged":true}'
        request = self._at_sdk(visitor, "", params, method="subscriptions/listen")
        try:
            async with asyncio.timeout(self.chance.uniform(*STREAM_S)):
                answer = await visitor.connection.begin(request)
                _must(200, (answer.status, b""))
                async for chunk in visitor.connection.chunks():
                    if b"notifications/subscriptions/acknowledged" not in chunk and b"data:" in chunk:
                        raise Wrong(f"{visitor.name}, listening: {chunk[:300]!r}")
        except TimeoutError:
            visitor.connection.close()
            return "left"
        raise Wrong(f"{visitor.name}: a subscription ended")

    def _at_sdk(self, visitor: Visitor, tool: str, params: bytes, method: str = "tools/call") -> bytes:
        meta = META.replace(b'"_meta":{', b'"_meta":{"progressToken":"p",', 1) if tool else META
        content = b'{"jsonrpc":"2.0","id":%d,"method":"%s","params":{%s,%s}}' % (
            visitor.serial, method.encode(), params, meta,
        )  # fmt: skip
        job = Job(port=self.port, path="/mcp/sdk", tool=tool)
        return _request(job, visitor, content, method="" if tool else method)


def _request(job: Job, visitor: Visitor, content: bytes, method: str = "") -> bytes:
    return head(job, visitor.token, visitor.session, method) + b"%d\r\n\r\n%b" % (len(content), content)


def _must(status: int, came: tuple[int, bytes]) -> str:
    if came[0] != status:
        raise Wrong(f"{came[0]} and not {status}: {came[1][:300]!r}")
    return str(status)


DEEDS: dict[str, tuple[float, Era, Deed]] = {
    # name: how often of 1,000, whose connections, what
    "call, modern": (620, "modern", Mix.modern),
    "call, legacy": (140, "legacy", Mix.legacy),
    "list of 20 tools": (90, "modern", Mix.listed),
    "refused by a rule": (40, "modern", Mix.denied),
    "at a limit": (40, "modern", Mix.limited),
    "malformed": (30, "modern", Mix.malformed),
    "bad token": (25, "modern", Mix.stranger),
    "streamed answer": (10, "modern", Mix.streamed),
    "left in mid-call": (3, "modern", Mix.deserted),
    "subscription": (2, "modern", Mix.listening),
}
