"""Servers behind the endpoint of all servers, as a `CallHandler`; and what the endpoint needs besides."""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

from mantlet.core.call import Call, Reply
from mantlet.core.caller import Caller
from mantlet.core.refusal import Refusal, SessionNotFound
from mantlet.policies.aggregate.policy import Aggregate
from mantlet.policies.aggregate.sessions import Sessions

Answer = Callable[[Call], Any]


class Box:
    """A sealer whose seals are readable."""

    def seal(self, plain: bytes, context: bytes, /) -> str:
        return f"{plain.hex()}.{context.hex()}"

    def open(self, sealed: str, context: bytes, /) -> bytes | None:
        plain, _, theirs = sealed.partition(".")
        try:
            return bytes.fromhex(plain) if bytes.fromhex(theirs) == context else None
        except ValueError:
            return None


class MemoryNames:
    """`core.ports.Names` without a disk."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, tuple[str, str]]] = {}

    async def owners(self, kind: str) -> Mapping[str, tuple[str, str]]:
        return dict(self.kept.get(kind, {}))

    async def claim(self, kind: str, names: Mapping[str, tuple[str, str]]) -> Mapping[str, tuple[str, str]]:
        for exposed, owner in names.items():
            self.kept.setdefault(kind, {}).setdefault(exposed, owner)
        return await self.owners(kind)


class World:
    """`servers[name]` answers a call with a result, a `Reply`, or an exception to raise. Legacy sessions are minted."""

    def __init__(self, **servers: Answer) -> None:
        self.servers = servers
        self.reached: list[Call] = []
        self.minted = 0
        self.live: set[str] = set()
        self.gate: asyncio.Event | None = None

    async def __call__(self, call: Call) -> Reply:
        self.reached.append(call)
        headers = [(b"content-type", b"application/json")]
        if call.kind in ("notification", "end"):
            return Reply(202, [])
        if call.method == "initialize":
            if self.gate is not None:
                await self.gate.wait()
            self.minted += 1
            session = f"{call.server}-{self.minted}"
            self.live.add(session)
            headers.append((b"mcp-session-id", session.encode()))
            answer: Any = {"protocolVersion": "2025-11-25", "capabilities": {}}
        elif call.era == "legacy" and call.session not in self.live:
            raise SessionNotFound
        else:
            answer = self.servers[call.server](call)
            if asyncio.iscoroutine(answer):
                answer = await answer
        if isinstance(answer, Reply):
            return answer
        if isinstance(answer, Refusal):
            raise answer
        assert call.id is not None
        body = {"jsonrpc": "2.0", "id": json.loads(call.id), "result": answer}
        return Reply(200, headers, json.dumps(body).encode())

    def asked(self, method: str = "", server: str = "") -> list[Call]:
        return [c for c in self.reached if method in ("", c.method) and server in ("", c.server)]


def endpoint(
    world: World,
    *,
    may_reach: Callable[[Caller, str], bool] = lambda caller, server: True,
    names: MemoryNames | None = None,
    timeout_s: float = 30.0,
    wall: Callable[[], float] = lambda: 1e9,
) -> Aggregate:
    return Aggregate(
        list(world.servers),
        names=names or MemoryNames(),
        sessions=Sessions(Box(), wall),
        may_reach=may_reach,
        list_timeout_s=timeout_s,
        monotonic=lambda: 0.0,
        name="node",
        version="1",
    )


def tools(*names: str, **more: Any) -> Answer:
    def answer(call: Call) -> Any:
        if call.method == "tools/list":
            return {"tools": [{"name": name} for name in names], **more}
        return {"called": call.target, "by": call.caller.subject}

    return answer


def result_of(reply: Reply) -> Any:
    assert isinstance(reply.body, bytes)
    return json.loads(reply.body)["result"]
