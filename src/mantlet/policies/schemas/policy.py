"""A tool gets the arguments that its pinned schema allows, and a client the results that it promises (VAL-03).

`warn` notes in the record what `enforce` refuses. What cannot be decided is refused (VAL-08).
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Final, Literal

from mantlet.core.call import Call, Reply
from mantlet.core.definition import Definition
from mantlet.core.policy import CallHandler
from mantlet.core.refusal import BadUpstream, InvalidArguments, InvalidResult, Quarantined
from mantlet.core.stream import Derived
from mantlet.policies.schemas.compiled import TOO_MUCH, Compiled, Fault
from mantlet.policies.schemas.results import CHECKED, fault_in
from mantlet.policies.schemas.tools import SchemaBook, ToolSchemas
from mantlet.policies.schemas.unusable import Unusable
from mantlet.wire import answer
from mantlet.wire.mcp.replies import message_of
from mantlet.wire.sse import SseSplitter, format_event

MAX_EVENT_BYTES: Final = 4 * 1024 * 1024
_RESULT: Final = b'"result"'

DefinitionOf = Callable[[str, str], Definition | None]
"""The definition that a server's tool is pinned with, or is known with where nothing is pinned."""


class Schemas:
    """Costs a call to a tool without output schema the check of its arguments, 4 us for a kilobyte, and 1 us more."""

    def __init__(self, book: SchemaBook, definition_of: DefinitionOf, *, mode: Literal["enforce", "warn"]) -> None:
        self._book = book
        self._definition_of = definition_of
        self._only_warns = mode == "warn"

    def __call__(self, call: Call, onward: CallHandler, /) -> Awaitable[Reply]:
        """Refuse with `InvalidArguments`, pass on, and hold what comes back to its schema."""
        if call.method not in CHECKED:
            return onward(call)
        definition = self._definition_of(call.server, call.target)
        if definition is None:
            return self._unknown(call, onward)
        try:
            schemas = self._book.of(definition)
        except Unusable as error:
            if not self._only_warns:
                raise Quarantined(f"This tool is withheld: {error}.") from error
            call.trail.notes["schema"] = str(error)
            return onward(call)
        if call.method == "tools/call" and schemas.arguments is not None:
            self._check_arguments(call, schemas.arguments)
        return onward(call) if schemas.result is None else self._promised(call, onward, schemas.result)

    def recheck(self, call: Call) -> None:
        """Hold a call that was changed on its way to its tool's schema again. Raises `InvalidArguments`."""
        definition = self._definition_of(call.server, call.target) if call.method == "tools/call" else None
        schemas = None if definition is None else self._book.of(definition)
        if schemas is not None and schemas.arguments is not None:
            self._check_arguments(call, schemas.arguments)

    def _unknown(self, call: Call, onward: CallHandler) -> Awaitable[Reply]:
        # The step before this one asks the server for what it does not know, so this is a tool that nobody knows.
        if not self._only_warns:
            raise Quarantined("This tool's definition is not known.")
        call.trail.notes["schema"] = "the tool's definition is not known"
        return onward(call)

    def _check_arguments(self, call: Call, schema: Compiled) -> None:
        fault = schema.fault(call.params.get("arguments", {}), len(call.body))
        if fault is None:
            return
        why = _why("arguments", fault)
        if not self._only_warns:
            raise InvalidArguments(_said(fault), pointer=fault.pointer, keyword=fault.keyword, why=why)
        call.trail.notes["schema"] = why

    async def _promised(self, call: Call, onward: CallHandler, schema: Compiled) -> Reply:
        reply = await onward(call)
        if not 200 <= reply.status < 300:
            return reply
        if isinstance(reply.body, bytes):
            if reply.body and (refusal := self._refusal(call, reply.body, schema)) is not None:
                raise refusal
        else:
            reply.body = Derived(self._events(call, reply.body, schema), reply.body)
        return reply

    async def _events(self, call: Call, chunks: AsyncIterator[bytes], schema: Compiled) -> AsyncGenerator[bytes, None]:
        splitter = SseSplitter(MAX_EVENT_BYTES)
        async for chunk in chunks:
            for event in splitter.feed(chunk):
                refusal = self._refusal(call, event.data, schema) if _may_be_result(event.data) else None
                if refusal is None:
                    yield event.raw
                else:
                    yield format_event(answer.rpc_error(refusal, call.trail), event.id)

    def _refusal(self, call: Call, body: bytes, schema: Compiled) -> BadUpstream | None:
        """Why the answer is not passed on; only noted in the record where that is all that is wanted."""
        fault = fault_in(message_of(body), call.method, call.era, schema, len(body))
        if fault is None:
            return None
        call.trail.notes["schema"] = why = _why("result", fault)
        if self._only_warns:
            return None
        detail = "The server's result is not what its output schema promises."
        return InvalidResult(detail, pointer=fault.pointer, keyword=fault.keyword, why=why)


def _may_be_result(data: bytes) -> bool:
    # An escaped spelling of the member is one that some reader understands, so it is looked at too.
    return _RESULT in data or b"\\u" in data


def _said(fault: Fault) -> str:
    if fault.keyword == TOO_MUCH:
        return "The arguments are too large for the tool's schema to be checked in time."
    where = f" at {fault.pointer}" if fault.pointer else ""
    return f"The arguments{where} are not what the tool's schema allows ({fault.keyword})."


def _why(what: str, fault: Fault) -> str:
    return f"{what} {fault.pointer or '/'}: {fault.keyword}"


__all__ = ["DefinitionOf", "SchemaBook", "Schemas", "ToolSchemas"]
