"""A call whose `Mcp-Param-*` headers contradict its arguments is refused before any server sees it (MCP-01).

Which arguments are mirrored, only the tool's schema says. It is learnt from the lists that pass here on their way back,
so a tool that nobody has listed yet is checked by its server alone. Decisions never read these headers.

Who has no such headers to send (a door of bare messages, a legacy client) gets them from its arguments, because the
server behind may be one that insists. The same holds here: of a tool that nobody has listed yet, nothing is known.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Mapping
from dataclasses import replace
from typing import Any, Final

from mantlet.core.call import Call, Reply
from mantlet.core.headers import Headers
from mantlet.core.policy import CallHandler
from mantlet.core.stream import Derived
from mantlet.policies.mirrored.annotations import Annotations
from mantlet.wire.mcp.header_values import PARAM_PREFIX, ParamPaths, check_params, param_fields
from mantlet.wire.sse import SseSplitter

MAX_EVENT_BYTES: Final = 4 * 1024 * 1024
_PREFIX: Final = PARAM_PREFIX.encode()


class Mirrored:
    """Costs two dict look-ups for a tool without annotations."""

    def __init__(self, annotations: Annotations | None = None) -> None:
        self._annotations = annotations or Annotations()

    def __call__(self, call: Call, onward: CallHandler, /) -> Awaitable[Reply]:
        """Refuse with `HeaderMismatch`, add what is missing, or pass on and learn from the list that comes back."""
        if call.method == "tools/call":
            if (paths := self._annotations.of(call.server, call.target)) is not None:
                call = _agreeing(call, paths)
            return onward(call)
        if call.method != "tools/list":
            return onward(call)
        return self._learn(call, onward)

    async def _learn(self, call: Call, onward: CallHandler) -> Reply:
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


def _agreeing(call: Call, paths: ParamPaths) -> Call:
    """`call` with headers that say what its arguments say; raises `HeaderMismatch` when its own say otherwise."""
    given = call.params.get("arguments")
    arguments: Mapping[str, Any] = given if type(given) is dict else {}
    headers = call.arrival.headers
    if call.era == "modern" and not call.arrival.is_message:
        check_params(paths, arguments, headers)
        return call
    # An older client has never heard of these fields: what it sends under their names says nothing.
    fields = [field for field in headers if not field[0].startswith(_PREFIX)]
    fields += param_fields(paths, arguments)
    return replace(call, arrival=replace(call.arrival, headers=Headers(fields)))
