"""What a server says, held to the filters in every shape in which it can say it (TOOL-04).

Results, errors, notifications and questions; whole or as events of a stream. What may not pass is replaced by an answer
that says so: a tool's result by a tool's error, which a model can read, anything else by an error of the protocol.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, Final

from mantlet.core.call import Call
from mantlet.core.refusal import BadUpstream, InvalidJson
from mantlet.policies.filters.change import without
from mantlet.policies.filters.plan import Plan
from mantlet.policies.filters.scan import Hit
from mantlet.policies.filters.verdict import Verdict, judge
from mantlet.wire import answer, jsonrpc
from mantlet.wire.sse import SseSplitter, format_event

MAX_EVENT_BYTES: Final = 4 * 1024 * 1024
MAX_TOLD: Final = 16
"""Events of one stream whose findings are told one by one."""
BOUNDS: Final = jsonrpc.Bounds(max_depth=64, max_keys=1_000_000)
_PARTS: Final = ("result", "error", "params")


class Results:
    """The answers to one call. `notes` is what was found and done, for the record."""

    def __init__(self, plan: Plan, call: Call, max_characters: int, count: Callable[[str, str], None]) -> None:
        self._plan = plan
        self._call = call
        self._max_characters = max_characters
        self._count = count
        self.notes: list[str] = []

    def filtered(self, body: bytes) -> bytes:
        """One message as it may pass; the same object when nothing was found. Raises `BadUpstream` if it has no
        reading, for nobody can tell what is in it."""
        try:
            message = jsonrpc.decode(body, BOUNDS)
        except InvalidJson as error:
            raise BadUpstream("The server's answer cannot be read and is withheld.") from error
        if type(message) is not dict:
            raise BadUpstream("The server's answer is not a JSON-RPC message and is withheld.")
        return self._message(message, body) or b""

    async def events(self, chunks: AsyncIterator[bytes], tell: Callable[[str], None]) -> AsyncGenerator[bytes, None]:
        """The events of a stream as they may pass. What is found is told as it is found."""
        splitter = SseSplitter(MAX_EVENT_BYTES)
        told = 0
        async for chunk in chunks:
            for event in splitter.feed(chunk):
                if not event.data:
                    yield event.raw
                    continue
                data = self.filtered(event.data)
                if self.notes and told < MAX_TOLD:
                    told += 1
                    tell(self.notes.pop())
                self.notes.clear()
                if data is event.data:
                    yield event.raw
                elif data:
                    yield format_event(data, event.id)

    def _message(self, message: dict[str, Any], body: bytes) -> bytes | None:
        changed = False
        for member in _PARTS:
            if member not in message:
                continue
            verdict = self._judged(message[member], member, body)
            if verdict is None:
                continue
            if verdict.refused is None and verdict.changed:
                message[member] = without(message[member], verdict.changed, depth=1)
                changed = True
                again = self._judged(message[member], member, body, is_counted=False)
                verdict = (
                    again if again is not None and (again.refused or again.changed) else verdict._replace(changed=[])
                )
            if hit := verdict.refused or next(iter(verdict.changed), None):
                return self._withheld(message, hit)
        return jsonrpc.encode(message) if changed else body

    def _judged(self, value: Any, member: str, body: bytes, *, is_counted: bool = True) -> Verdict | None:
        verdict = judge(value, self._plan, (None, member), body=body, max_characters=self._max_characters)
        if verdict is not None and is_counted:
            self.notes.append(verdict.note)
            for hit, action in verdict.found:
                self._count(hit.filter, action)
        return verdict

    def _withheld(self, message: dict[str, Any], hit: Hit) -> bytes | None:
        """What stands in the place of a message; None where nothing has to: nobody waits for a notification."""
        said = f"The server's answer is withheld by a content filter ({hit.rule})."
        if "method" in message:
            return None
        identity = message.get("id")
        if "result" in message and self._call.method == "tools/call":
            result: dict[str, Any] = {"content": [{"type": "text", "text": said}], "isError": True}
            if self._call.era == "modern":
                result["resultType"] = "complete"
            return jsonrpc.encode({"jsonrpc": "2.0", "id": identity, "result": result})
        raw_id = None if identity is None else jsonrpc.raw_identifier(identity)
        return jsonrpc.error(raw_id, answer.code_of(BadUpstream()), said, {"reason": "filtered", "rule": hit.rule})
