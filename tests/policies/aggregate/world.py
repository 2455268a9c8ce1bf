"""Servers behind the endpoint of all servers, as a `CallHandler`; and what the endpoint needs besides."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mantlet.core.call import Call, Reply
from mantlet.core.caller import Caller
from mantlet.core.clock import SYSTEM, Clock
from mantlet.core.ports import Post, State
from mantlet.core.refusal import Refusal, SessionNotFound
from mantlet.core.tasks import Tasks
from mantlet.policies.aggregate.config import VirtualServerConfig
from mantlet.policies.aggregate.opening import Bounds, Ports, open_aggregate
from mantlet.policies.aggregate.policy import Aggregate
from mantlet.policies.tasks.ids import TaskIds
from mantlet.stores.post import LocalPost
from mantlet.stores.state import MemoryState

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
        self.capabilities: dict[str, Any] = {"logging": {}}

    async def __call__(self, call: Call) -> Reply:
        self.reached.append(call)
        headers = [(b"content-type", b"application/json")]
        if call.kind in ("notification", "end", "response"):
            return Reply(202, [])
        if call.method == "initialize":
            if self.gate is not None:
                await self.gate.wait()
            self.minted += 1
            session = f"{call.server}-{self.minted}"
            self.live.add(session)
            headers.append((b"mcp-session-id", session.encode()))
            answer: Any = {"protocolVersion": "2025-11-25", "capabilities": self.capabilities}
        elif call.era == "legacy" and call.session not in self.live:
            raise SessionNotFound
        elif call.kind == "stream" and call.server not in self.servers:
            raise AssertionError(call)
        else:
            answer = self.servers[call.server](call)
            if asyncio.iscoroutine(answer):
                answer = await answer
        if isinstance(answer, Reply):
            return answer
        if isinstance(answer, Refusal):
            raise answer
        assert call.id is not None, call
        body = {"jsonrpc": "2.0", "id": json.loads(call.id), "result": answer}
        return Reply(200, headers, json.dumps(body).encode())

    def asked(self, method: str = "", server: str = "") -> list[Call]:
        return [c for c in self.reached if method in ("", c.method) and server in ("", c.server)]


def _raise(error: BaseException) -> None:
    raise error


@dataclass
class House:
    """What the workers of one node have in common; each `endpoint` of it is one worker's."""

    state: State = field(default_factory=lambda: MemoryState(SYSTEM))
    posts: dict[str, LocalPost] = field(default_factory=dict)
    names: MemoryNames = field(default_factory=MemoryNames)
    wall: Callable[[], float] = lambda: 1e9
    monotonic: Callable[[], float] = lambda: 0.0
    reported: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)

    def worker(
        self,
        world: World,
        *,
        may_reach: Callable[[Caller, str], bool] = lambda caller, server: True,
        timeout_s: float = 30.0,
        virtual: Sequence[VirtualServerConfig] = (),
        **bounds: int,
    ) -> Aggregate:
        post: Post = LocalPost(self.posts)
        ports = Ports(
            names=self.names,
            sealer=Box(),
            state=self.state,
            post=post,
            clock=Clock(self.monotonic, self.wall),
            chance=lambda: 0.5,
            tasks=Tasks(_raise),
            report=lambda event, fields: self.reported.append((event, fields)),
        )
        return open_aggregate(
            list(world.servers),
            ports,
            Bounds(list_timeout_s=timeout_s, **bounds),
            may_reach=may_reach,
            task_server=TaskIds(Box()).server_of,
            virtual=virtual,
            name="node",
            version="1",
        )


def endpoint(
    world: World,
    *,
    may_reach: Callable[[Caller, str], bool] = lambda caller, server: True,
    names: MemoryNames | None = None,
    timeout_s: float = 30.0,
    wall: Callable[[], float] = lambda: 1e9,
    virtual: Sequence[VirtualServerConfig] = (),
    **bounds: int,
) -> Aggregate:
    house = House(names=names or MemoryNames(), wall=wall)
    return house.worker(world, may_reach=may_reach, timeout_s=timeout_s, virtual=virtual, **bounds)


def tools(*names: str, **more: Any) -> Answer:
    def answer(call: Call) -> Any:
        if call.method == "tools/list":
            return {"tools": [{"name": name} for name in names], **more}
        return {"called": call.target, "by": call.caller.subject}

    return answer


def result_of(reply: Reply) -> Any:
    assert isinstance(reply.body, bytes)
    return json.loads(reply.body)["result"]
