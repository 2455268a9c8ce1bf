"""A step with a clock and a chance in the test's hand."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.policies.support import call

from mantlet.core.call import Call, Reply
from mantlet.core.ports import CacheStore
from mantlet.core.stream import aclose
from mantlet.core.tasks import Tasks
from mantlet.policies.cache.answer import dump, load
from mantlet.policies.cache.cache import Cache
from mantlet.policies.cache.config import CacheConfig
from mantlet.policies.cache.memory import Memory
from mantlet.policies.cache.plan import Plan
from mantlet.policies.cache.policy import CachePolicy, Given
from mantlet.policies.cache.turns import Codec


def answer(call: Call, result: Any = None, *, status: int = 200, **envelope: Any) -> Reply:
    """What a server answers to `call`."""
    assert call.id is not None
    message = {
        "jsonrpc": "2.0",
        "id": json.loads(call.id),
        **({} if result is None else {"result": result}),
        **envelope,
    }
    return Reply(status, [(b"content-type", b"application/json")], json.dumps(message).encode())


class Server:
    """What lies behind the step. With `gate`, it answers when that is set."""

    def __init__(self, result: Any = None) -> None:
        self.result: Any = {"content": [], "resultType": "complete"} if result is None else result
        self.reached: list[Call] = []
        self.gate: asyncio.Event | None = None
        self.came = asyncio.Event()
        self.cancelled = 0
        self.reply: Callable[[Call], Reply] | None = None
        self.error: BaseException | None = None

    async def __call__(self, call: Call, /) -> Reply:
        self.reached.append(call)
        self.came.set()
        if self.gate is not None:
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        if self.error is not None:
            raise self.error
        return answer(call, self.result) if self.reply is None else self.reply(call)


class House:
    """The step as `config` makes it, and what is behind it."""

    def __init__(self, config: CacheConfig, store: CacheStore | None, tasks: Tasks) -> None:
        self.now_s, self.chance = 0.0, 0.5
        self.server = Server()
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.counted: list[str] = []
        self.pin, self.revision = "", "r1"
        self.speaks_legacy = True
        self.consents: dict[str, Any] = {}
        self.tasks = tasks
        memory: Memory[Given] = Memory(
            max_bytes=config.max_bytes,
            max_entries=config.max_entries,
            max_entry_bytes=config.max_entry_bytes,
            tenant_share=config.tenant_share,
        )
        self.cache: Cache[Given] = Cache(
            memory,
            Codec(lambda given: given.size, dump, load),  # type: ignore[union-attr, arg-type]
            tasks=tasks,
            monotonic=lambda: self.now_s,
            chance=lambda: self.chance,
            store=store,
            early_refresh=config.early_refresh,
            tell=lambda event, fields: self.told.append((event, fields)),
            dispose=lambda given: tasks.start(aclose(given.body), "close") if isinstance(given, Reply) else None,  # type: ignore[arg-type, return-value]
        )
        self.step = CachePolicy(
            Plan(config),
            self.cache,
            revision=lambda server: self.revision,
            definition_of=lambda server, tool: self.pin,
            speaks_legacy=lambda server: self.speaks_legacy,
            monotonic=lambda: self.now_s,
            changed=self.cache.forget,
            count=self.counted.append,
            consents=self.consents,
            while_stale_s=config.stale_while_revalidate,
            if_error_s=config.stale_if_error,
        )

    async def ask(self, asked: Call | None = None, **of: Any) -> Any:
        """The answer's JSON."""
        reply = await self.step(asked or tool(**of), self.server)
        assert isinstance(reply.body, bytes)
        return json.loads(reply.body)

    @property
    def calls(self) -> int:
        return len(self.server.reached)


def tool(name: str = "search", raw_id: bytes = b"1", params: dict[str, Any] | None = None, **of: Any) -> Call:
    """A call of a tool."""
    return call("tools/call", {"name": name, "arguments": {"q": "x"}, **(params or {})}, raw_id=raw_id, **of)


@asynccontextmanager
async def house(store: CacheStore | None = None, **config: Any) -> AsyncIterator[House]:
    errors: list[BaseException] = []
    tasks = Tasks(errors.append)
    config.setdefault("tools", ["one__search"])
    made = House(CacheConfig(enabled=True, **config), store, tasks)
    yield made
    await tasks.close()
    assert not errors


async def turns(count: int = 5) -> None:
    """Let everything that can run do so."""
    for _ in range(count):
        await asyncio.sleep(0)
