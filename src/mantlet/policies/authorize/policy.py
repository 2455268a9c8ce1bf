"""The decision point: every call of every door passes it, and it says no unless a rule says yes (AUTHZ-01)."""

from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Final

from mantlet.core.call import Call, Reply
from mantlet.core.caller import Caller, Rights
from mantlet.core.policy import CallHandler
from mantlet.core.refusal import Denied, InvalidParams
from mantlet.policies.authorize.config import AuthorizationConfig
from mantlet.policies.authorize.lists import FilteredLists, filter_reply
from mantlet.policies.authorize.rules import (
    Decision,
    Object,
    Rule,
    aspect_of,
    compile_rules,
    decide,
    needs_naming,
    reaches,
)
from mantlet.wire.mcp.methods import LISTS, TASK_METHODS, reference_of

SUBJECTS_KEPT: Final = 1_024
"""Callers (as rules see them) whose applicable rules are remembered."""
DECISIONS_KEPT: Final = 16_384


class Applicable:
    """The rules that concern a caller: one object for all whom the same rules concern.

    By its identity it keys decisions and filtered lists, so that a caller never seen before finds them made.
    """

    __slots__ = ("rules",)

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self.rules = rules


class Authorize:
    """Decides each call and filters each list with one predicate (AUTHZ-03)."""

    def __init__(self, config: AuthorizationConfig, *, may_default_allow: bool = False) -> None:
        self._default_allows = config.default == "allow" and may_default_allow
        self._rules = compile_rules(config)
        # All that is remembered is bounded, holds verdicts only, and dies with the rules it was made from.
        self._applicable: Callable[[Rights], Applicable] = lru_cache(SUBJECTS_KEPT)(self._find_applicable)
        self._known: dict[tuple[int, ...], Applicable] = {}
        self._lists = FilteredLists()
        self._decide: Callable[[Applicable, str, str, str], Decision] = lru_cache(DECISIONS_KEPT)(self._find_decision)

    def __call__(self, call: Call, onward: CallHandler, /) -> Awaitable[Reply]:
        """Refuse with `Denied`, or pass on and filter what comes back if it is a list."""
        who = self._applicable(call.caller.rights)
        decision = self._verdict(who, call)
        trail = call.trail
        trail.rule = decision.rule
        if decision.shadow:
            trail.notes["shadow"] = decision.shadow
        if not decision.allowed:
            raise Denied(f"No rule allows {trail.action or 'this'} here for this caller.", why=f"rule {decision.rule}")
        if call.method in LISTS or call.kind == "stream":
            return self._filtered(who, call, onward)
        return onward(call)

    def explain(self, caller: Caller, server: str, method: str, name: str) -> Decision:
        """What would be decided, and by which rule."""
        return self._decide(self._applicable(caller.rights), server, method, name)

    def may_reach(self, caller: Caller, server: str) -> bool:
        """Whether the caller may talk to `server` at all."""
        return self._decide(self._applicable(caller.rights), server, "", "").allowed

    async def _filtered(self, who: Applicable, call: Call, onward: CallHandler) -> Reply:
        return filter_reply(await onward(call), lambda result: self._shown(who, call.server, result))

    def _shown(self, who: Applicable, server: str, result: bytes) -> bytes:
        return self._lists.filter(
            (who, server), result, lambda method, name: self._decide(who, server, method, name).allowed
        )

    def _verdict(self, who: Applicable, call: Call) -> Decision:
        if call.method == "subscriptions/listen":
            return self._subscription(who, call)
        if call.method == "completion/complete":
            return self._completion(who, call)
        decision = self._decide(who, call.server, call.method, call.target)
        if call.method in TASK_METHODS and decision.allowed:
            # `policies/tasks` has put the tool whose call the task is in the place of its id.
            return self._decide(who, call.server, "tools/call", call.target)
        return decision

    def _subscription(self, who: Applicable, call: Call) -> Decision:
        wanted = call.params.get("notifications", {})
        uris = wanted.get("resourceSubscriptions", []) if type(wanted) is dict else None
        if type(uris) is not list or not all(type(uri) is str for uri in uris):
            # In another shape nobody can say which resources are asked for.
            raise InvalidParams('"notifications.resourceSubscriptions" must be a list of URIs.')
        for uri in uris:
            decision = self._decide(who, call.server, "resources/subscribe", uri)
            if not decision.allowed:
                return decision
        return self._decide(who, call.server, call.method, "")

    def _completion(self, who: Applicable, call: Call) -> Decision:
        method, target = reference_of(call.params)
        if not method:
            raise InvalidParams("\"ref\" must be a prompt's name or a resource's URI.")
        return self._decide(who, call.server, method, target)

    def _find_applicable(self, who: Rights) -> Applicable:
        numbers = tuple(number for number, rule in enumerate(self._rules) if rule.concerns(who))
        if (known := self._known.get(numbers)) is None:
            if len(self._known) >= SUBJECTS_KEPT:
                self._known.clear()
            known = self._known[numbers] = Applicable(tuple(self._rules[number] for number in numbers))
        return known

    def _find_decision(self, who: Applicable, server: str, method: str, name: str) -> Decision:
        rules = who.rules
        aspect = aspect_of(method, name)
        if aspect is not None:
            return decide(rules, Object(server, method, aspect, name), default_allows=self._default_allows)
        if method and needs_naming(method):
            return decide(rules, Object(server, method, "named", name), default_allows=False)
        return reaches(rules, server, method, default_allows=self._default_allows)
