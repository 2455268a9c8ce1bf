"""Reading what a server answered, where the endpoint of all servers asked on its own."""

from collections.abc import Mapping
from typing import Any, Final

from mantlet.core.call import Reply
from mantlet.core.refusal import BadUpstream, InvalidJson
from mantlet.wire import jsonrpc
from mantlet.wire.sse import SseSplitter

MAX_EVENT_BYTES: Final = 4 * 1024 * 1024
_BOUNDS: Final = jsonrpc.Bounds(max_depth=64, max_keys=1_000_000)


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


def is_method_not_found(message: Mapping[str, Any]) -> bool:
    """Whether the server said that it has no such method."""
    error = message.get("error")
    return type(error) is dict and error.get("code") == -32601


def _message(body: bytes) -> Mapping[str, Any]:
    message = jsonrpc.decode(body, _BOUNDS)
    if type(message) is not dict:
        raise BadUpstream(why="the answer is not a JSON-RPC message")
    return message
