"""Which rule decides, and why each one before it did not (spec 7.3). Pure.

It walks the same rules with the same questions as `deciding`, slowly, and says what it finds; a test holds the two to
one answer. Where a call has arguments that are not known here, a condition that hangs on them is told as such.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from mantlet.core.caller import Rights
from mantlet.policies.authorize.conditions import ConditionError, Facts
from mantlet.policies.authorize.deciding import DEFAULT
from mantlet.policies.authorize.rules import Object, Rule, aspect_of, needs_naming

Outcome = Literal["decides", "does not match", "shadow", "condition fails", "condition unknown"]
_WORD: Final = {True: "allow", False: "deny"}


@dataclass(frozen=True, slots=True)
class Step:
    """One rule, looked at."""

    rule: str
    effect: Literal["allow", "deny"]
    outcome: Outcome
    why: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """The verdict, the rule behind it, and all rules up to it."""

    allowed: bool
    rule: str
    steps: tuple[Step, ...]


def explain(rules: Sequence[Rule], facts: Facts, *, default_allows: bool) -> Explanation:
    """What is decided on the call that `facts` tell of, and how."""
    who, server, method, name = facts.caller.rights, facts.server, facts.method, facts.target
    what = _object(server, method, name)
    if what is None:
        facts.is_outline = True  # what has no object has no arguments
    steps: list[Step] = []
    outcome: Outcome
    for rule in rules:
        why = _not_concerned(rule, who) or (
            _not_covered(rule, what) if what is not None else _not_reaching(rule, server, method)
        )
        outcome, why = ("does not match", why) if why else _asked(rule, facts)
        steps.append(Step(rule.name, "allow" if rule.allows else "deny", outcome, why))
        if outcome == "decides":
            return Explanation(rule.allows, rule.name, tuple(steps))
        if outcome == "condition fails" and not rule.is_shadow:
            return Explanation(False, rule.name, tuple(steps))
    allows = default_allows and (what is None or what.aspect != "named")
    return Explanation(allows, DEFAULT, tuple(steps))


def _object(server: str, method: str, name: str) -> Object | None:
    aspect = aspect_of(method, name)
    if aspect is None and method and needs_naming(method):
        aspect = "named"
    return None if aspect is None else Object(server, method, aspect, name)


def _asked(rule: Rule, facts: Facts) -> tuple[Outcome, str]:
    """What comes of a rule that speaks of the call."""
    holds: bool | None = True
    why = "matches"
    if rule.condition is not None:
        try:
            holds = rule.condition.holds(facts)
        except ConditionError as error:
            return "condition fails", f"when: {error}"
        why = f"when: {rule.condition.text} holds"
    if holds is None:
        if rule.is_shadow or not rule.allows:
            return "condition unknown", "hangs on what is not known here"
        return "decides", "its condition hangs on what is not known here: such a call may be allowed"
    if not holds:
        return "does not match", "its condition does not hold"
    if rule.is_shadow:
        return "shadow", f"would {_WORD[rule.allows]}; a shadow rule is recorded and not enforced"
    return "decides", why


def _not_concerned(rule: Rule, who: Rights) -> str:
    """Why the rule does not speak of this caller, or nothing."""
    if rule.roles is not None and rule.roles.isdisjoint(who.roles):
        return f"the caller has none of the roles {_list(rule.roles)}"
    if rule.scopes is not None and not rule.scopes <= who.scopes:
        return f"the caller lacks the scopes {_list(rule.scopes - who.scopes)}"
    if rule.tenants is not None and who.tenant not in rule.tenants:
        return f"is for the tenants {_list(rule.tenants)}"
    if rule.subjects is not None and who.subject not in rule.subjects:
        return f"is for the subjects {_list(rule.subjects)}"
    if rule.kinds is not None and who.kind not in rule.kinds:
        return f"is for callers of the kinds {_list(rule.kinds)}"
    if rule.delegation is not None and not rule.delegation.covers(who):
        return "is for other chains of actors"
    return ""


def _not_covered(rule: Rule, what: Object) -> str:
    """Why the rule does not speak of this object, or nothing."""
    if rule.covers(what):
        return ""
    if not rule.covers_server(what.server):
        return _elsewhere(what.server)
    if what.aspect == "named":
        return f"does not name the method {what.method}"
    if rule.aspects and what.aspect not in rule.aspects:
        return f"names {_list(rule.aspects)}, not {what.aspect}"
    if rule.aspects and rule.methods is not None:
        return f"is for other {what.aspect} or methods"
    return f"is for other {what.aspect if rule.aspects else 'methods'}"


def _not_reaching(rule: Rule, server: str, method: str) -> str:
    if rule.is_shadow:
        return "a shadow rule says nothing of methods without an object"
    if not rule.decides_reach(server, method):
        if not rule.covers_server(server):
            return _elsewhere(server)
        return "forbids some things there, not this" if not rule.allows else "allows nothing there"
    return ""


def _elsewhere(server: str) -> str:
    return f"is not for the server {server}" if server else "is for certain servers, and none is named"


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "(none)"
