"""One list of every server, at once, under one deadline: who is slow or broken is named, never waited for."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from mantlet.core.call import Call, Reply
from mantlet.core.policy import CallHandler
from mantlet.core.refusal import BadUpstream, DeadlineExceeded, InvalidJson, Refusal
from mantlet.policies.aggregate import sub
from mantlet.policies.aggregate.catalogue import items_of
from mantlet.policies.aggregate.sessions import Sessions
from mantlet.wire import jsonrpc
from mantlet.wire.sse import SseSplitter

MAX_PAGES: Final = 100
MAX_ITEMS: Final = 10_000
"""Per server: a list that never ends is cut, and says so."""
MAX_EVENT_BYTES: Final = 4 * 1024 * 1024
_BOUNDS: Final = jsonrpc.Bounds(max_depth=64, max_keys=1_000_000)

Found = dict[str, Sequence[Mapping[str, Any]]]


class Fanout:
    """Asks all servers for a list, each as the caller and down the whole path."""

    def __init__(self, sessions: Sessions, timeout_s: float, monotonic: Callable[[], float]) -> None:
        self._sessions = sessions
        self._timeout_s = timeout_s
        self._monotonic = monotonic

    async def lists(
        self, call: Call, servers: Sequence[str], onward: CallHandler, *, method: str = ""
    ) -> tuple[Found, dict[str, str]]:
        """The items of every server that answered in time, and the reason of every other, in configured order."""
        method = method or call.method
        outcomes = await asyncio.gather(*(self._one(call, server, method, onward) for server in servers))
        found: Found = {}
        errors: dict[str, str] = {}
        for server, outcome in zip(servers, outcomes, strict=True):
            if isinstance(outcome, Refusal):
                errors[server] = outcome.reason
            else:
                found[server] = outcome
        return found, errors

    async def _one(
        self, call: Call, server: str, method: str, onward: CallHandler
    ) -> Sequence[Mapping[str, Any]] | Refusal:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._pages(call, server, method, onward)
        except TimeoutError:
            return DeadlineExceeded()
        except Refusal as refusal:
            return refusal

    async def _pages(self, call: Call, server: str, method: str, onward: CallHandler) -> Sequence[Mapping[str, Any]]:
        session = await self._sessions.at(server, call, onward) if call.era == "legacy" else ""
        deadline_s = self._monotonic() + self._timeout_s
        items: list[Mapping[str, Any]] = []
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            params = sub.list_params(call, cursor)
            asked = sub.request(call, server, method, params, session=session, deadline_s=deadline_s)
            message = await read(await onward(asked))
            result = message.get("result")
            if type(result) is not dict:
                if _is_method_not_found(message):
                    # A server without prompts has an empty list of them, not a broken one.
                    return items
                raise BadUpstream(why=f"{server}: {method} was answered with an error")
            items += items_of(method, result)
            cursor = result.get("nextCursor")
            if type(cursor) is not str or len(items) >= MAX_ITEMS:
                break
        return items[:MAX_ITEMS]


async def read(reply: Reply) -> Mapping[str, Any]:
    """The one JSON-RPC answer in `reply`, whole or streamed. Raises `BadUpstream`."""
    try:
        if isinstance(reply.body, bytes):
            return _message(reply.body)
        splitter = SseSplitter(MAX_EVENT_BYTES)
        try:
            async for chunk in reply.body:
                for event in splitter.feed(chunk):
                    message = _message(event.data) if event.data else {}
                    if "result" in message or "error" in message:
                        return message
        finally:
            close = getattr(reply.body, "aclose", None)
            if close is not None:
                await close()
    except InvalidJson as error:
        raise BadUpstream(why="the answer is not JSON") from error
    raise BadUpstream(why="the stream ended without an answer")


def _message(body: bytes) -> Mapping[str, Any]:
    message = jsonrpc.decode(body, _BOUNDS)
    if type(message) is not dict:
        raise BadUpstream(why="the answer is not a JSON-RPC message")
    return message


def _is_method_not_found(message: Mapping[str, Any]) -> bool:
    error = message.get("error")
    return type(error) is dict and error.get("code") == -32601
