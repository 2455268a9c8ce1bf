"""A call whose `Mcp-Param-*` headers contradict its arguments is refused before any server sees it (MCP-01).

Which arguments are mirrored, only the tool's schema says. It is learnt from the lists that pass here on their way back,
so a tool that nobody has listed yet is checked by its server alone. Decisions never read these headers.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final

from mantlet.core.call import Call, Reply
from mantlet.core.policy import CallHandler
from mantlet.core.stream import Derived
from mantlet.policies.mirrored.annotations import Annotations
from mantlet.wire.mcp.header_values import check_params
from mantlet.wire.sse import SseSplitter

MAX_EVENT_BYTES: Final = 4 * 1024 * 1024


class Mirrored:
    """Costs two dict look-ups for a tool without annotations."""

    def __init__(self, annotations: Annotations | None = None) -> None:
        self._annotations = annotations or Annotations()

    async def __call__(self, call: Call, onward: CallHandler, /) -> Reply:
        """Refuse with `HeaderMismatch`, pass on, or pass on and learn from the list that comes back."""
        if call.method == "tools/call":
            # The headers are the modern era's: an older client has never heard of them.
            is_mirrored = call.era == "modern" and not call.arrival.is_message
            if is_mirrored and (paths := self._annotations.of(call.server, call.target)) is not None:
                arguments = call.params.get("arguments")
                check_params(paths, arguments if type(arguments) is dict else {}, call.arrival.headers)
            return await onward(call)
        if call.method != "tools/list":
            return await onward(call)
        reply = await onward(call)
        if reply.status != 200:
            return reply
        if isinstance(reply.body, bytes):
            self._annotations.learn(call.server, reply.body)
        else:
            reply.body = Derived(self._learning(call.server, reply.body), reply.body)
        return reply

    async def _learning(self, server: str, chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        splitter = SseSplitter(MAX_EVENT_BYTES)
        async for chunk in chunks:
            for event in splitter.feed(chunk):
                if event.data:
                    self._annotations.learn(server, event.data)
            yield chunk
