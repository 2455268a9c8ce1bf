"""Reading a reply whole."""

from typing import Final

import msgspec

from mantlet.core.call import Reply
from mantlet.core.refusal import BadUpstream
from mantlet.core.stream import aclose
from mantlet.wire.mcp.bridge import to_modern_result as results
from mantlet.wire.sse import SseSplitter

MAX_EVENT_BYTES: Final = 8_388_608


async def whole(reply: Reply) -> bytes:
    """The one JSON-RPC answer in `reply`, as it came. Raises `BadUpstream`."""
    if isinstance(reply.body, bytes):
        return reply.body
    splitter = SseSplitter(MAX_EVENT_BYTES)
    try:
        async for chunk in reply.body:
            for event in splitter.feed(chunk):
                if event.data and results.read(event.data).method is msgspec.UNSET:
                    return event.data
    finally:
        await aclose(reply.body)
    raise BadUpstream(why="the stream ended without an answer")
