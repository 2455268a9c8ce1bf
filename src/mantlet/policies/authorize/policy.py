"""The decision point: every call of every door passes it, and it says no unless a rule says yes (AUTHZ-01)."""

from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Final, NoReturn, Protocol

from mantlet.core.call import Call, Reply
from mantlet.core.caller import Caller, Rights
from mantlet.core.clock import SYSTEM
from mantlet.core.policy import CallHandler
from mantlet.core.refusal import Denied, InsufficientScope, InvalidParams
from mantlet.policies.authorize.compiling import compile_rules
from mantlet.policies.authorize.conditions import Facts
from mantlet.policies.authorize.config import AuthorizationConfig
from mantlet.policies.authorize.deciding import Decision, Pending, decide, reaches
from mantlet.policies.authorize.index import WORTH_IT, Index
from mantlet.policies.authorize.lists import FilteredLists, Visible, filter_reply, filter_result
from mantlet.policies.authorize.rules import VERBS, Aspect, Object, Rule, aspect_of, needs_naming
from mantlet.wire.mcp.methods import LISTS, TASK_METHODS, reference_of

SUBJECTS_KEPT: Final = 8_192
"""Callers (as rules see them) whose applicable rules are remembered."""
DECISIONS_KEPT: Final = 16_384
INDICES_KEPT: Final = 256
"""Of 1,000 rules each takes some 100 KB."""
NAME_CHARACTERS_KEPT: Final = 256
"""Of a longer name the decision is made anew each time: a caller makes up as many, and as long, as it likes."""
MAX_SCOPES_TRIED: Final = 16
"""Sets of scopes tried to tell a refused caller which would do."""
_WITH_ARGUMENTS: Final = frozenset({"tools/call", "prompts/get"}) | VERBS
"""Of a service, the JSON body."""


class Withheld(Protocol):
    """What else may not be called at the moment, whoever calls: lists do not show it."""

    @property
    def any(self) -> bool:
        """Whether there is anything."""
        ...

    def hides(self, server: str, method: str, name: str) -> bool:
        """Whether this is part of it."""
        ...


class Applicable:
    """The rules that concern a caller: one object for all whom the same rules concern.

    By its identity it keys decisions and filtered lists, so that a caller never seen before finds them made.
    """

    __slots__ = ("has_conditions", "rules")

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self.rules = rules
        self.has_conditions = any(rule.condition is not None for rule in rules)


class Authorize:
    """Decides each call and filters each list with one predicate (AUTHZ-03)."""

    def __init__(
        self,
        config: AuthorizationConfig,
        *,
        may_default_allow: bool = False,
        wall: Callable[[], float] = SYSTEM.wall,
        withheld: Withheld | None = None,
    ) -> None:
        self._default_allows = config.default == "allow" and may_default_allow
        self._rules = compile_rules(config)
        self._wall = wall
        self._withheld = withheld
        self._scopes = tuple(dict.fromkeys(rule.scopes for rule in self._rules if rule.allows and rule.scopes))
        # All that is remembered is bounded, holds verdicts only, and dies with the rules it was made from.
        self._applicable: Callable[[Rights], Applicable] = lru_cache(SUBJECTS_KEPT)(self._find_applicable)
        self._known: dict[tuple[int, ...], Applicable] = {}
        self._lists = FilteredLists()
        self._index: Callable[[Applicable, str, str, Aspect], Index] = lru_cache(INDICES_KEPT)(_index_of)
        self._remembered: Callable[[Applicable, str, str, str], Decision | Pending] = lru_cache(DECISIONS_KEPT)(
            self._find_decision
        )

    def __call__(self, call: Call, onward: CallHandler, /) -> Awaitable[Reply]:
        """Refuse with `Denied`, or pass on and filter what comes back if it is a list."""
        who = self._applicable(call.caller.rights)
        decision = self._verdict(who, call)
        trail = call.trail
        trail.rule = decision.rule
        if decision.shadow:
            trail.notes["shadow"] = decision.shadow
        if decision.failed:
            trail.notes["condition"] = decision.failed
        if not decision.allowed:
            self._refuse(call, decision)
        if call.method in LISTS or call.kind == "stream":
            return self._filtered(who, call, onward)
        return onward(call)

    def explain(self, caller: Caller, server: str, method: str, name: str) -> Decision:
        """What would be decided without knowing more of the call, and by which rule."""
        decision = self._decide(self._applicable(caller.rights), server, method, name)
        if not isinstance(decision, Pending):
            return decision
        return decision.settle(Facts(caller, server, method, name, self._wall(), is_outline=True))

    def allows(self, call: Call, rights: Rights) -> bool:
        """Whether `call`, which passed before, would pass now: rules may have changed while it waits or flows."""
        return self._verdict(self._applicable(rights), call).allowed

    def may_reach(self, caller: Caller, server: str) -> bool:
        """Whether the caller may talk to `server` at all."""
        return self.explain(caller, server, "", "").allowed

    def _decide(self, who: Applicable, server: str, method: str, name: str) -> Decision | Pending:
        if len(name) > NAME_CHARACTERS_KEPT:
            return self._find_decision(who, server, method, name)
        return self._remembered(who, server, method, name)

    async def _filtered(self, who: Applicable, call: Call, onward: CallHandler) -> Reply:
        return filter_reply(await onward(call), lambda result: self._shown(who, call, result))

    def _shown(self, who: Applicable, call: Call, result: bytes) -> bytes:
        visible: Visible = lambda method, name: self._decided(who, call, method, name, is_outline=True).allowed  # noqa: E731
        if self._withheld is not None and self._withheld.any:
            hides, may = self._withheld.hides, visible
            visible = lambda method, name: not hides(call.server, method, name) and may(method, name)  # noqa: E731
            return filter_result(result, visible)
        if who.has_conditions:
            # What another caller sees, or this one at another time or place, may be another list.
            return filter_result(result, visible)
        return self._lists.filter((who, call.server), result, visible)

    def _verdict(self, who: Applicable, call: Call) -> Decision:
        if call.method == "subscriptions/listen":
            return self._subscription(who, call)
        if call.method == "completion/complete":
            return self._completion(who, call)
        decision = self._decided(who, call, call.method, call.target)
        if call.method in TASK_METHODS and decision.allowed:
            # `policies/tasks` has put the tool whose call the task is in the place of its id.
            return self._decided(who, call, "tools/call", call.target, is_outline=True)
        return decision

    def _decided(self, who: Applicable, call: Call, method: str, name: str, *, is_outline: bool = False) -> Decision:
        decision = self._decide(who, call.server, method, name)
        if not isinstance(decision, Pending):
            return decision
        return decision.settle(self._facts(call, method, name, is_outline=is_outline))

    def _facts(self, call: Call, method: str, name: str, *, is_outline: bool = False) -> Facts:
        arguments = None
        if not is_outline and method in _WITH_ARGUMENTS:
            # Of a body that nobody here reads it cannot be said what it does not hold.
            unread = method in VERBS and (call.body or call.arrival.incoming is not None)
            given = call.params.get("arguments", None if unread else {})
            arguments = given if type(given) is dict else None
        return Facts(
            call.caller,
            call.server,
            method,
            name,
            self._wall(),
            call.arrival.peer,
            arguments,
            len(call.body),
            is_outline,
        )

    def _refuse(self, call: Call, decision: Decision) -> NoReturn:
        why = f"rule {decision.rule}" + (f": {decision.failed}" if decision.failed else "")
        if (scopes := self._missing(call)) is not None:
            raise InsufficientScope(scopes, why=why)
        raise Denied(f"No rule allows {call.trail.action.strip() or 'this'} here for this caller.", why=why)

    def _missing(self, call: Call) -> frozenset[str] | None:
        """The scopes with which this very call would pass, if scopes are all that it lacks."""
        who = call.caller.rights
        for scopes in self._scopes[:MAX_SCOPES_TRIED]:
            if not scopes <= who.scopes:
                wider = who._replace(scopes=who.scopes | scopes)
                if self._verdict(self._applicable(wider), call).allowed:
                    return scopes
        return None

    def _subscription(self, who: Applicable, call: Call) -> Decision:
        wanted = call.params.get("notifications", {})
        uris = wanted.get("resourceSubscriptions", []) if type(wanted) is dict else None
        if type(uris) is not list or not all(type(uri) is str for uri in uris):
            # In another shape nobody can say which resources are asked for.
            raise InvalidParams('"notifications.resourceSubscriptions" must be a list of URIs.')
        for uri in uris:
            decision = self._decided(who, call, "resources/subscribe", uri)
            if not decision.allowed:
                return decision
        return self._decided(who, call, call.method, "")

    def _completion(self, who: Applicable, call: Call) -> Decision:
        method, target = reference_of(call.params)
        if not method:
            raise InvalidParams("\"ref\" must be a prompt's name or a resource's URI.")
        return self._decided(who, call, method, target, is_outline=True)

    def _find_applicable(self, who: Rights) -> Applicable:
        numbers = tuple(number for number, rule in enumerate(self._rules) if rule.concerns(who))
        if (known := self._known.get(numbers)) is None:
            if len(self._known) >= SUBJECTS_KEPT:
                self._known.clear()
            known = self._known[numbers] = Applicable(tuple(self._rules[number] for number in numbers))
        return known

    def _find_decision(self, who: Applicable, server: str, method: str, name: str) -> Decision | Pending:
        rules = who.rules
        aspect = aspect_of(method, name)
        if aspect is not None:
            if len(rules) >= WORTH_IT:
                # From the first rule that speaks of it on; what stands before it does not.
                first = self._index(who, server, method, aspect).first(name)
                rules = () if first < 0 else rules[first:]
            return decide(rules, Object(server, method, aspect, name), default_allows=self._default_allows)
        if method and needs_naming(method):
            return decide(rules, Object(server, method, "named", name), default_allows=False)
        return reaches(rules, server, method, default_allows=self._default_allows)


def _index_of(who: Applicable, server: str, method: str, aspect: Aspect) -> Index:
    return Index(who.rules, server, method, aspect)
