"""Reading what a server answered, where the endpoint of all servers asked on its own."""

from collections.abc import Mapping
from typing import Any, Final

from mantlet.core.call import Reply
from mantlet.core.refusal import BadUpstream, InvalidJson
from mantlet.core.stream import aclose
from mantlet.wire import jsonrpc
from mantlet.wire.sse import SseSplitter

MAX_EVENT_BYTES: Final = 4 * 1024 * 1024
_BOUNDS: Final = jsonrpc.Bounds(max_depth=64, max_keys=1_000_000)


async def read(reply: Reply) -> Mapping[str, Any]:
    """The one JSON-RPC answer in `reply`, whole or streamed. Raises `BadUpstream`."""
    return message_of(await answer_in(reply))


async def answer_in(reply: Reply) -> bytes:
    """The bytes of the one JSON-RPC answer in `reply`. Raises `BadUpstream` when a stream ends without one."""
    if isinstance(reply.body, bytes):
        return reply.body
    splitter = SseSplitter(MAX_EVENT_BYTES)
    try:
        async for chunk in reply.body:
            for event in splitter.feed(chunk):
                message = message_of(event.data) if event.data else {}
                if "result" in message or "error" in message:
                    return event.data
    finally:
        await aclose(reply.body)
    raise BadUpstream(why="the stream ended without an answer")


def message_of(body: bytes) -> Mapping[str, Any]:
    """One JSON-RPC message of a server. Raises `BadUpstream`."""
    try:
        message = jsonrpc.decode(body, _BOUNDS)
    except InvalidJson as error:
        raise BadUpstream(why="the answer is not JSON") from error
    if type(message) is not dict:
        raise BadUpstream(why="the answer is not a JSON-RPC message")
    return message


def is_method_not_found(message: Mapping[str, Any]) -> bool:
    """Whether the server said that it has no such method."""
    error = message.get("error")
    return type(error) is dict and error.get("code") == -32601
