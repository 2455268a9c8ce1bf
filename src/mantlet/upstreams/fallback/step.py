"""The step before the servers: what they cannot answer is answered otherwise, where the operator said how.

Such an answer is marked in `_meta` and in the record. Another server is asked by the way that the caller's own call to
it would take, rules and limits and all: a fallback opens nothing that is not open to the caller.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from mantlet.core.call import Call, Reply
from mantlet.core.headers import JSON
from mantlet.core.policy import CallHandler, Policy
from mantlet.core.ports import Consents
from mantlet.core.refusal import Refusal
from mantlet.core.stream import aclose
from mantlet.upstreams.fallback.answers import Answers
from mantlet.upstreams.fallback.config import FallbackRule
from mantlet.upstreams.fallback.plan import Plan, at, is_for
from mantlet.wire.mcp.replies import answer_in
from mantlet.wire.mcp.rewriting import Change, noted, rewritten

MARK: Final = "mantlet/fallback"
"""`_meta` key: `from` is `server`, `cached` or `static`, `server` the one that answered, `reason` why."""

LISTEN: Final = "subscriptions/listen"

Hear = Callable[[Reply, str, Callable[[str], None]], Reply]
"""A reply, its server, and who is told the scopes that its stream says have changed: gives the reply to pass on."""


class _Message(msgspec.Struct):
    result: msgspec.Raw
    method: msgspec.UnsetType | msgspec.Raw = msgspec.UNSET


class _Outcome(msgspec.Struct):
    isError: bool = False  # noqa: N815 - the protocol's word
    resultType: str = "complete"  # noqa: N815


class Fallback:
    """For the servers that have `plans`; all others cost one look-up."""

    def __init__(
        self,
        plans: Mapping[str, Plan],
        answers: Answers,
        *,
        monotonic: Callable[[], float],
        tell: Callable[[str, str], None] = lambda server, source: None,
        hear: Hear | None = None,
        consents: Mapping[str, Consents] = {},
    ) -> None:
        """`tell` hears of each call that was answered so: its server, and `server`, `cached` or `static`. `hear` is for
        the streams in which servers say what has changed; None where somebody else listens, and calls `forget`."""
        self._plans = plans
        self._answers = answers
        self._monotonic = monotonic
        self._tell = tell
        self._hear = hear
        self._consents = consents

    def forget(self, scope: str) -> None:
        """What was kept under `scope` is old (`Answers.forget`)."""
        self._answers.forget(scope)

    def over(self, again: CallHandler) -> Policy[Call]:
        """The step; `again` is how a call to another server goes, from the first decision on."""

        def step(call: Call, onward: CallHandler, /) -> Awaitable[Reply]:
            plan = self._plans.get(call.server)
            if plan is None:
                return onward(call)
            if self._hear is not None and plan.keeps and (call.kind == "stream" or call.method == LISTEN):
                return self._heard(call, onward, self._hear)
            rules = plan.rules_for(call)
            return self._covered(call, rules, onward, again) if rules else onward(call)

        return step

    async def _covered(
        self, call: Call, rules: Sequence[FallbackRule], onward: CallHandler, again: CallHandler
    ) -> Reply:
        end: Reply | Refusal
        era, consent = self._answers.era, ""
        keeps = any(rule.cached for rule in rules)
        if keeps and (consents := self._consents.get(call.server)) is not None:
            consent = await consents.consent(call.caller)  # which the server would want as well
        try:
            end = await onward(call)
        except Refusal as refusal:
            if not is_for(refusal):
                raise
            end = refusal
        if isinstance(end, Reply) and not is_for(end):
            return rewritten(end, self._kept(call, era, consent)) if keeps else end
        reason = end.reason if isinstance(end, Refusal) else f"status_{end.status}"
        for rule in rules:
            if (reply := await self._instead(call, rule, reason, again, consent)) is not None:
                if isinstance(end, Reply):
                    await aclose(end.body)
                return reply
        if isinstance(end, Refusal):
            raise end
        return end

    async def _instead(
        self, call: Call, rule: FallbackRule, reason: str, again: CallHandler, consent: str
    ) -> Reply | None:
        if rule.server is not None:
            return await self._of_server(call, rule.server, reason, again)
        result: Any
        if rule.cached is not None:
            kept = self._answers.find(call, rule.cached, consent)
            if kept is None:
                return None
            result, source = msgspec.Raw(kept), "cached"
        else:
            result, source = rule.result, "static"
            if call.era == "modern":
                result = {"resultType": "complete", **(result or {})}
        body = b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (call.id or b"null", msgspec.json.encode(result))
        return self._marked(call, Reply(200, [JSON], body, origin="node"), {"from": source, "reason": reason})

    async def _of_server(self, call: Call, server: str, reason: str, again: CallHandler) -> Reply | None:
        if self._monotonic() >= call.deadline_s:
            return None
        try:
            # Whole: what the other server would first ask the client for has no meaning to this one.
            data = await answer_in(await again(at(call, server)))
        except Refusal as refusal:
            call.trail.notes["fallback_refused"] = f"{server}: {refusal.reason}"
            return None
        result = _complete(data)
        if result is None:
            call.trail.notes["fallback_refused"] = f"{server}: no result"
            return None
        if call.era == "legacy":
            result = msgspec.Raw(_without_type(result))
        body = b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (call.id or b"null", bytes(result))
        mark = {"from": "server", "server": server, "reason": reason}
        return self._marked(call, Reply(200, [JSON], body), mark)

    def _marked(self, call: Call, reply: Reply, mark: Mapping[str, str]) -> Reply:
        call.trail.notes["fallback"] = ", ".join(mark.values())
        self._tell(call.server, mark["from"])
        return rewritten(reply, noted(MARK, mark))

    async def _heard(self, call: Call, onward: CallHandler, hear: Hear) -> Reply:
        return hear(await onward(call), call.server, self.forget)

    def _kept(self, call: Call, era: int, consent: str) -> Change:
        def keep(data: bytes) -> None:
            if (result := _worth_keeping(data)) is not None:
                self._answers.keep(call, result, era, consent)

        return keep


def _complete(data: bytes) -> msgspec.Raw | None:
    """The result in `data`, raw, if it is a whole one: no error, and no question to the client."""
    try:
        message = msgspec.json.decode(data, type=_Message)
        outcome = msgspec.json.decode(message.result, type=_Outcome)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    is_answer = message.method is msgspec.UNSET and outcome.resultType == "complete"
    return message.result if is_answer else None


def _worth_keeping(data: bytes) -> bytes | None:
    result = _complete(data)
    if result is None or msgspec.json.decode(result, type=_Outcome).isError:
        return None
    return bytes(result)


def _without_type(result: msgspec.Raw) -> bytes:
    members = msgspec.json.decode(result, type=dict[str, msgspec.Raw])
    members.pop("resultType", None)
    return msgspec.json.encode(members)
