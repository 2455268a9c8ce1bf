"""Between the caller's task ids and the servers' own, for both eras' tasks.

A call that may start a task (the client says so) gets the id in its answer exchanged for one of its caller's; a call
that names a task is led by that id, and refused as for an unknown task where the id was not given to this caller for
this server (AUTHZ-04). What rules decide on is the tool whose call the task is: whoever may not call it any more may
not have its results either. `notifications/tasks` and the filter that asks for them are exchanged the same way.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Mapping
from dataclasses import replace
from typing import Any, Final

from mantlet.core.call import Call, Reply
from mantlet.core.headers import Headers
from mantlet.core.policy import CallHandler
from mantlet.core.refusal import HeaderMismatch, InvalidJson, InvalidParams
from mantlet.core.stream import Derived
from mantlet.policies.tasks.ids import MAX_OWN_CHARACTERS, Task, TaskIds
from mantlet.policies.tasks.rewrite import HINT, Exchange, rewritten
from mantlet.wire import jsonrpc
from mantlet.wire.mcp import inbound
from mantlet.wire.mcp.header_values import decode_value, encode_value
from mantlet.wire.mcp.methods import META_CAPABILITIES, TASK_METHODS
from mantlet.wire.sse import SseSplitter, format_event

EXTENSION: Final = "io.modelcontextprotocol/tasks"
MAX_EVENT_BYTES: Final = 4 * 1024 * 1024
_BOUNDS: Final = jsonrpc.Bounds(max_depth=64, max_keys=1_000_000)
UNKNOWN: Final = "Task not found."


class Tasks:
    """Costs a call without tasks two look-ups."""

    def __init__(self, ids: TaskIds) -> None:
        self._ids = ids

    def __call__(self, call: Call, onward: CallHandler, /) -> Awaitable[Reply]:
        """Exchange the ids on both ways, or refuse with `InvalidParams`, or pass on."""
        if call.method == "tools/call" and not may_start_task(call):
            return onward(call)
        return self._exchanging(call, onward)

    async def _exchanging(self, call: Call, onward: CallHandler) -> Reply:
        method = call.method
        if method == "tools/call":
            return _exchanged(await onward(call), self._giving(call, call.target, {}))
        if method in TASK_METHODS:
            task = self._ids.read(call.target, call.caller)
            if task is None or task.server != call.server:
                raise InvalidParams(UNKNOWN)
            known = {task.own: call.target}
            return _exchanged(await onward(_led(call, task)), self._giving(call, task.tool, known))
        if method == "subscriptions/listen":
            return await self._listen(call, onward)
        if method == "tasks/list" or (call.kind == "stream" and call.era == "legacy"):
            return _exchanged(await onward(call), self._giving(call, "", {}))
        return await onward(call)

    async def _listen(self, call: Call, onward: CallHandler) -> Reply:
        notifications = call.params.get("notifications")
        if type(notifications) is not dict or "taskIds" not in notifications:
            return await onward(call)
        known: dict[str, str] = {}
        for text in notifications["taskIds"] if type(notifications["taskIds"]) is list else ():
            task = self._ids.read(text, call.caller) if type(text) is str else None
            if task is not None and task.server == call.server:
                known[task.own] = text
        # What is not this caller's is asked for no more than what does not exist: the server never hears of it.
        params = {**call.params, "notifications": {**notifications, "taskIds": list(known)}}
        message = {**call.message, "params": params}
        led = replace(call, params=params, message=message, body=jsonrpc.encode(message))
        return _exchanged(await onward(led), lambda own: known.get(own, ""), is_listen=True)

    def _giving(self, call: Call, tool: str, known: Mapping[str, str]) -> Exchange:
        def give(own: str) -> str:
            # One that a client could not use in a header field or a URL is of no use to anyone.
            if len(own) > MAX_OWN_CHARACTERS:
                return ""
            return known.get(own) or self._ids.give(Task(call.server, tool, own), call.caller)

        return give


def may_start_task(call: Call) -> bool:
    """Whether the client says that it can follow a task instead of an answer."""
    if call.era == "legacy":
        return "task" in call.params
    meta = call.params.get("_meta")
    capabilities = meta.get(META_CAPABILITIES) if type(meta) is dict else None
    extensions = capabilities.get("extensions") if type(capabilities) is dict else None
    return type(extensions) is dict and EXTENSION in extensions


def _led(call: Call, task: Task) -> Call:
    """`call` for the server: with the task's own id, and with the tool as what it acts on."""
    params: dict[str, Any] = {**call.params, "taskId": task.own}
    message = {**call.message, "params": params}
    fields = list(call.arrival.headers)
    if call.era == "modern":
        said = call.arrival.headers.get(inbound.NAME)
        if said is not None and decode_value(said) != call.target:
            raise HeaderMismatch('The Mcp-Name header does not equal "taskId" in the body.')
        # A load balancer in front of the server finds the task by it (SEP-2663, "Routing Headers").
        fields = [field for field in fields if field[0] != inbound.NAME]
        fields.append((inbound.NAME, encode_value(task.own)))
    call.trail.object = task.tool
    return replace(
        call,
        arrival=replace(call.arrival, headers=Headers(fields)),
        target=task.tool,
        params=params,
        message=message,
        body=jsonrpc.encode(message),
    )


def _exchanged(reply: Reply, exchange: Exchange, *, is_listen: bool = False) -> Reply:
    if isinstance(reply.body, bytes):
        reply.body = rewritten(reply.body, exchange)
    else:
        reply.body = Derived(_events(reply.body, exchange, is_listen), reply.body)
    return reply


async def _events(chunks: AsyncIterator[bytes], exchange: Exchange, is_listen: bool) -> AsyncGenerator[bytes, None]:
    splitter = SseSplitter(MAX_EVENT_BYTES)
    async for chunk in chunks:
        for event in splitter.feed(chunk):
            if HINT not in event.data and not (is_listen and b'"taskIds"' in event.data):
                yield event.raw
            elif is_listen:
                if (data := _listened(event.data, exchange)) is not None:
                    yield format_event(data, event.id)
            else:
                data = rewritten(event.data, exchange)
                yield event.raw if data is event.data else format_event(data, event.id)


def _listened(data: bytes, exchange: Exchange) -> bytes | None:
    """One message of a subscription; None for news of a task that was not asked for."""
    try:
        message = jsonrpc.decode(data, _BOUNDS)
    except InvalidJson:
        return None
    params = message.get("params") if type(message) is dict else None
    if type(params) is not dict:
        return data
    if type(params.get("taskId")) is str:
        mine = exchange(params["taskId"])
        if not mine:
            return None
        params["taskId"] = mine
    agreed = params.get("notifications")
    if type(agreed) is dict and type(agreed.get("taskIds")) is list:
        agreed["taskIds"] = [mine for own in agreed["taskIds"] if type(own) is str and (mine := exchange(own))]
    return jsonrpc.encode(message)
