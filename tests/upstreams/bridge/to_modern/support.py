"""A legacy client at several processes, and a modern server that does as it is told."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from tests.upstreams.transports.http.support import ALICE, FakeSealer, make_call

from mantlet.core.call import Call, Reply
from mantlet.core.caller import Caller
from mantlet.core.clock import SYSTEM, Clock
from mantlet.core.ports import State, StateKey, Upstream
from mantlet.core.refusal import UpstreamUnavailable
from mantlet.upstreams.bridge.config import BridgeConfig
from mantlet.upstreams.bridge.to_modern import ToModern
from mantlet.wire.event_stream import HEADERS, EventStream

JSON = [(b"content-type", b"application/json")]
ALL = {"elicitation": {"form": {}, "url": {}}, "sampling": {}, "roots": {}}
OFFERS = {
    "tools": {"listChanged": True},
    "prompts": {},
    "resources": {"subscribe": True, "listChanged": True},
}
DISCOVERY = {"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": OFFERS}

Handler = Callable[[Call], Awaitable[Reply]]


class FakeState:
    """`core.ports.State`, shared by all who hold it; keys never die."""

    def __init__(self) -> None:
        self.values: dict[StateKey, bytes] = {}

    async def get(self, key: StateKey, /) -> bytes | None:
        return self.values.get(key)

    async def put(self, key: StateKey, value: bytes, ttl_s: float, /) -> None:
        assert ttl_s > 0
        self.values[key] = value

    async def claim(self, key: StateKey, value: bytes, ttl_s: float, /) -> bytes:
        return self.values.setdefault(key, value)

    async def drop(self, key: StateKey, /) -> None:
        self.values.pop(key, None)


class FakePost:
    """`core.ports.Post` of one of several processes in `houses`."""

    def __init__(self, houses: "dict[str, FakePost]", address: str) -> None:
        self.address = address
        self.boxes: dict[str, Callable[[bytes], None]] = {}
        self.houses = houses
        self.sent: list[bytes] = []
        houses[address] = self

    async def send(self, address: str, box: str, message: bytes, /) -> bool:
        self.sent.append(message)
        there = self.houses.get(address)
        if there is None:
            return False
        asyncio.get_running_loop().call_soon(lambda: there.boxes.get(box, lambda _: None)(message))
        return True

    def open(self, box: str, heard: Callable[[bytes], None], /) -> None:
        self.boxes[box] = heard

    def close(self, box: str, /) -> None:
        self.boxes.pop(box, None)

    def die(self) -> None:
        self.houses.pop(self.address, None)


class Modern:
    """An `Upstream` of 2026-07-28. `on` says what each method is answered with."""

    name = "s"

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.streams: list[EventStream] = []
        self.closed = 0
        self.on: dict[str, Handler] = {"server/discover": self._discover, "subscriptions/listen": self._listen}

    async def send(self, call: Call, /) -> Reply:
        assert call.era == "modern"
        assert call.deadline_s > SYSTEM.monotonic()
        assert json.loads(call.body) == call.message  # what transports read and what goes out are the same
        self.calls.append(call)
        handler = self.on.get(call.method)
        if handler is None:
            return error(call, -32601, "Method not found", status=404)
        return await handler(call)

    async def health(self) -> dict[str, Any]:
        return {}

    def of(self, method: str) -> list[Call]:
        return [call for call in self.calls if call.method == method]

    def stream(self) -> EventStream:
        made = EventStream(on_close=self._left)
        self.streams.append(made)
        return made

    def tell(self, method: str, **params: Any) -> None:
        """Say it on every listen stream."""
        for stream in self.streams:
            if stream.on_close is not None:
                stream.push(note(method, _meta={"io.modelcontextprotocol/subscriptionId": "mantlet"}, **params))

    @property
    def listening(self) -> list[EventStream]:
        return [stream for stream in self.streams if stream.on_close is not None]

    def _left(self) -> None:
        self.closed += 1

    async def _discover(self, call: Call) -> Reply:
        return result(call, DISCOVERY)

    async def _listen(self, call: Call) -> Reply:
        stream = self.stream()
        stream.push(note("notifications/subscriptions/acknowledged", notifications=call.params["notifications"]))
        return Reply(200, list(HEADERS), stream)


def note(method: str, **params: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "method": method, "params": params}).encode()


def result(call: Call, value: Any) -> Reply:
    return Reply(200, JSON, b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (call.id or b"null", json.dumps(value).encode()))


def text(call: Call, said: str) -> Reply:
    return result(call, {"resultType": "complete", "content": [{"type": "text", "text": said}]})


def error(call: Call, code: int, message: str, *, status: int = 400, **more: Any) -> Reply:
    body = {"jsonrpc": "2.0", "id": json.loads(call.id or b"null"), "error": {"code": code, "message": message, **more}}
    return Reply(status, JSON, json.dumps(body).encode())


def asks(call: Call, state: str | None = None, **requests: Any) -> Reply:
    value: dict[str, Any] = {"resultType": "input_required"}
    if requests:
        value["inputRequests"] = requests
    if state is not None:
        value["requestState"] = state
    return result(call, value)


FORM = {"method": "elicitation/create", "params": {"message": "?", "requestedSchema": {"type": "object"}}}
ADA = {"action": "accept", "content": {"name": "Ada"}}


def process(
    inner: Upstream,
    state: State,
    post: FakePost,
    *,
    clock: Clock = SYSTEM,
    errors: list[BaseException] | None = None,
    **config: Any,
) -> ToModern:
    """One process's crossing."""
    return ToModern(
        inner,
        FakeSealer(),
        state,
        post,
        clock,
        secrets.token_bytes,
        BridgeConfig(**config),
        on_error=(errors if errors is not None else []).append,
    )


class Client:
    """A legacy client whose messages come to any of `doors`, in turn."""

    def __init__(self, *doors: ToModern, caller: Caller = ALICE, capabilities: Any = None) -> None:
        self.doors = list(doors)
        self.caller = caller
        self.capabilities = ALL if capabilities is None else capabilities
        self.session = ""
        self.number = 0
        self.turn = 0

    def door(self) -> ToModern:
        self.turn += 1
        return self.doors[self.turn % len(self.doors)]

    async def open(self, version: str = "2025-11-25", **info: Any) -> Any:
        params = {
            "protocolVersion": version,
            "capabilities": self.capabilities,
            "clientInfo": {"name": "c", "version": "1", **info},
        }
        reply = await self.send("initialize", params)
        assert isinstance(reply.body, bytes)
        self.session = (reply.header(b"mcp-session-id") or b"").decode()
        return json.loads(reply.body)

    def call(self, method: str, params: Any = None, **more: Any) -> Call:
        made = make_call(method, params, era="legacy", session=self.session, caller=self.caller, **more)
        made.server = "s"
        return made

    async def send(self, method: str, params: Any = None, *, door: ToModern | None = None, **more: Any) -> Reply:
        self.number += 1
        return await (door or self.door()).send(self.call(method, params, **{"id": self.number, **more}))

    async def ask(self, method: str, params: Any = None, **more: Any) -> Any:
        """The response, when it comes whole."""
        reply = await self.send(method, params, **more)
        assert reply.status == 200
        assert isinstance(reply.body, bytes), "a stream"
        return json.loads(reply.body)

    async def stream(self, last: str = "", *, door: ToModern | None = None) -> Reply:
        headers = [(b"last-event-id", last.encode())] if last else []
        return await (door or self.door()).send(self.call("", kind="stream", headers=headers))

    async def tell(self, method: str, params: Any = None, *, door: ToModern | None = None) -> int:
        return (await (door or self.door()).send(self.call(method, params, kind="notification"))).status

    async def answer(self, identity: Any, value: Any, *, door: ToModern | None = None, key: str = "result") -> int:
        call = self.call("", kind="response")
        call.message = {"jsonrpc": "2.0", "id": identity, key: value}
        call.body = json.dumps(call.message).encode()
        return (await (door or self.door()).send(call)).status

    async def end(self, *, door: ToModern | None = None) -> int:
        return (await (door or self.door()).send(self.call("", kind="end"))).status


class Events:
    """The messages on a reply's stream, one at a time; `ids` are those of their events."""

    def __init__(self, reply: Reply) -> None:
        assert reply.status == 200
        assert isinstance(reply.body, AsyncIterator), reply.body
        self.body = reply.body
        self.waiting: list[Any] = []
        self.ids: list[str] = []

    async def next(self) -> Any:
        async with asyncio.timeout(5):
            while not self.waiting:
                self._take((await anext(self.body)).decode())
        return self.waiting.pop(0)

    async def rest(self) -> list[Any]:
        async with asyncio.timeout(5):
            async for chunk in self.body:
                self._take(chunk.decode())
        said, self.waiting = self.waiting, []
        return said

    async def primed(self) -> str:
        async with asyncio.timeout(5):
            while not self.ids:
                self._take((await anext(self.body)).decode())
        return self.ids[-1]

    async def close(self) -> None:
        await self.body.aclose()  # type: ignore[attr-defined]

    def _take(self, chunk: str) -> None:
        for block in chunk.split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
            if "id" in fields:
                self.ids.append(fields["id"])
            if fields.get("data"):
                self.waiting.append(json.loads(fields["data"]))


async def until(condition: Callable[[], object]) -> None:
    """Let the loop run until it holds."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


class Gone(Modern):
    """A server that nobody can reach."""

    async def send(self, call: Call, /) -> Reply:
        raise UpstreamUnavailable(why="gone")
