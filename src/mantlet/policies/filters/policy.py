"""Content filters, on the way in and on the way back (VAL-04 … VAL-08, TOOL-03, TOOL-04).

What is refused names a rule and a place, never what stands there. What is changed is written anew, looked at again,
held to the tool's schema again, and noted. A filter that fails fails the call: nothing here catches what it raises.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final

from mantlet.core.call import Call, Reply
from mantlet.core.headers import Headers
from mantlet.core.policy import CallHandler
from mantlet.core.record import Trail
from mantlet.core.refusal import BadUpstream, Filtered
from mantlet.core.stream import Derived
from mantlet.policies.filters import prototype
from mantlet.policies.filters.catalogue import NAMES, PROTOTYPE, warm
from mantlet.policies.filters.change import without
from mantlet.policies.filters.config import Budget, FilterRule, Modes
from mantlet.policies.filters.plan import Plan, compile_plan
from mantlet.policies.filters.results import Results
from mantlet.policies.filters.scan import Hit, pointer_of
from mantlet.policies.filters.texts import Place
from mantlet.policies.filters.verdict import Verdict, judge
from mantlet.wire import jsonrpc
from mantlet.wire.mcp.header_values import PARAM_PREFIX, decode_value, encode_value

PLANS_KEPT: Final = 4_096
NOTE: Final = "filters"
"""The note of the record that says what was found and done."""
_PREFIX: Final = PARAM_PREFIX.encode()
_URI_METHODS: Final = frozenset(
    {"resources/read", "resources/subscribe", "resources/unsubscribe", "completion/complete"}
)

Count = Callable[[str, str], None]
"""A finding of a filter, and what was done with it, for the figures."""
Tell = Callable[[Trail, str], None]
"""What was found after the record of the call was written."""


class Filters:
    """With `prototype` alone, which is the default, a call costs three looks for a word in its bytes."""

    def __init__(
        self,
        modes: Modes,
        rules: Sequence[FilterRule] = (),
        budget: Budget = Budget(),
        *,
        count: Count = lambda name, action: None,
        tell: Tell = lambda trail, note: None,
        recheck: Callable[[Call], None] | None = None,
    ) -> None:
        """`recheck` holds a changed call to its tool's schema, and raises what speaks against it."""
        self._count = count
        self._recheck = recheck
        self._max_characters = budget.max_characters
        self._tell = tell
        self._is_needed = bool(rules) or any(_is_on(getattr(modes, name), name) for name in NAMES)
        make = lru_cache(PLANS_KEPT)
        self._inward = make(lambda server, tool: compile_plan(modes, rules, server, tool, in_results=False))
        self._outward = make(lambda server, tool: compile_plan(modes, rules, server, tool, in_results=True))
        self._needs_word = not (rules or self._inward("", "").reads_texts or self._outward("", "").active)

    @property
    def is_needed(self) -> bool:
        """Whether anything can be found anywhere."""
        return self._is_needed

    def warm(self) -> None:
        """Build the patterns of most calls, for a thread to do: else the first call pays, and all others wait."""
        for plan in (self._inward("", ""), self._outward("", "")):
            if plan.reads_texts:
                warm(plan.active)

    def __call__(self, call: Call, onward: CallHandler, /) -> Awaitable[Reply]:
        """Refuse with `Filtered`, change what is to be changed, and pass on; hold what comes back to the same."""
        body = call.body
        if self._needs_word and not prototype.is_hinted(body):
            return onward(call)
        name = call.target if call.method in _NAMED else ""
        plan: Plan = self._inward(call.server, name)
        if plan.active and body and (plan.reads_texts or prototype.is_hinted(body)):
            call = self._inspected(call, plan)
        plan = self._outward(call.server, name)
        if not plan.active or _is_plain(call):
            return onward(call)
        return self._returning(call, plan, onward)

    def _inspected(self, call: Call, plan: Plan) -> Call:
        member, value = _part_of(call)
        verdict = self._judge(call, plan, member, value, call.body)
        if verdict is None:
            return call
        call.trail.notes[NOTE] = verdict.note
        for hit, action in verdict.found:
            self._count(hit.filter, action)
        if verdict.refused is not None:
            raise refusal(verdict.refused)
        return self._changed(call, plan, member, verdict.changed) if verdict.changed else call

    def _judge(self, call: Call, plan: Plan, member: str, value: Any, body: bytes) -> Verdict | None:
        is_uri = _names_resource if call.method in _URI_METHODS else None
        root: Place = (None, member)
        return judge(value, plan, root, body=body, max_characters=self._max_characters, is_uri=is_uri)

    def _changed(self, call: Call, plan: Plan, member: str, hits: list[Hit]) -> Call:
        """`call` without what was found. What cannot be taken out is refused."""
        protected = next((hit for hit in hits if _is_protected(call, hit)), None)
        if protected is not None:
            raise refusal(protected)
        before: Any = _part_of(call)[1]
        after = without(before, hits, depth=1)
        call = _rewritten(call, member, before, after)
        again = self._judge(call, plan, member, after, call.body)
        if again is not None and (left := again.refused or next(iter(again.changed), None)):
            raise refusal(left)  # what taking out put together, or what nobody can take out
        if self._recheck is not None:
            self._recheck(call)
        return call

    async def _returning(self, call: Call, plan: Plan, onward: CallHandler) -> Reply:
        reply = await onward(call)
        results = Results(plan, call, self._max_characters, self._count)
        if isinstance(reply.body, bytes):
            if reply.body:
                reply.body = _whole(reply.status, reply.body, results)
                if results.notes:
                    call.trail.notes[NOTE] = "; ".join(filter(None, (call.trail.notes.get(NOTE), *results.notes)))
        else:
            reply.body = Derived(results.events(reply.body, lambda note: self._tell(call.trail, note)), reply.body)
        return reply


_NAMED: Final = frozenset({"tools/call", "prompts/get"})


def _is_plain(call: Call) -> bool:
    """Whether it is for a plain HTTP service: its answers are of any type, and not for a model to read."""
    return call.kind == "request" and not call.message


def _is_on(mode: str | None, name: str) -> bool:
    return mode not in (None, "off") or (mode is None and name == PROTOTYPE)


def refusal(hit: Hit) -> Filtered:
    """What the caller is told: the rule and the place."""
    pointer = pointer_of(hit)
    where = f" at {pointer}" if pointer else ""
    return Filtered(f"The message is refused by a content filter{where} ({hit.rule}).", rule=hit.rule, pointer=pointer)


def _whole(status: int, body: bytes, results: Results) -> bytes:
    try:
        return results.filtered(body)
    except BadUpstream:
        if 200 <= status < 300:
            raise
        return b""  # an error page: its status says what there is to say, and its text may say anything


def _part_of(call: Call) -> tuple[str, Any]:
    """What of a client's message is looked at, and the member of the message that it is."""
    if call.kind != "response":
        return "params", call.params
    return ("result", call.message["result"]) if "result" in call.message else ("error", call.message.get("error"))


def _is_protected(call: Call, hit: Hit) -> bool:
    """Whether a place decides where the call goes: what is there is not replaced by something else."""
    outer = hit.place
    while outer[0] is not None and outer[0][0] is not None:
        outer = outer[0]
    return call.kind != "response" and outer[1] in ("name", "uri", "ref")


def _rewritten(call: Call, member: str, before: Any, after: Any) -> Call:
    if _is_plain(call):
        # Its body is the one argument.
        return replace(call, params=after, body=jsonrpc.encode(after["arguments"]))
    message = {**call.message, member: after}
    changed = replace(call, message=message, body=jsonrpc.encode(message))
    if member != "params":
        return changed
    return replace(changed, params=after, arrival=replace(call.arrival, headers=_mirrored(call, before, after)))


def _mirrored(call: Call, before: Any, after: Any) -> Headers:
    """Header fields that repeat an argument say what it says now (MCP-01)."""
    headers = call.arrival.headers
    if not any(name.startswith(_PREFIX) for name, _ in headers):
        return headers
    changed = dict(_differing(before.get("arguments"), after.get("arguments")))
    fields = []
    for name, value in headers:
        new = changed.get(decode_value(value) or "") if name.startswith(_PREFIX) else None
        fields.append((name, value if new is None else encode_value(new)))
    return Headers(fields)


def _differing(before: Any, after: Any) -> list[tuple[str, str]]:
    """Texts that were changed, with what they are now."""
    if type(before) is str and type(after) is str:
        return [(before, after)] if before != after else []
    if type(before) is dict and type(after) is dict:
        return [pair for name in before if name in after for pair in _differing(before[name], after[name])]
    return []


def _names_resource(place: Place) -> bool:
    holder = place[0]
    return place[1] == "uri" and holder is not None and (holder in ((None, "params"), ((None, "params"), "ref")))
