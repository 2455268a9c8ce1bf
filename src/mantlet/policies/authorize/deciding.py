"""The one decision on rules: the first that matches. Pure; what a condition looks at is handed in."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mantlet.policies.authorize.conditions import ConditionError, Facts
from mantlet.policies.authorize.rules import Object, Rule

DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Decision:
    """Yes or no, and which rule said so (`default` when none matched)."""

    allowed: bool
    rule: str
    shadow: str = ""
    """What a shadow rule would have said first, for the record."""
    failed: str = ""
    """Why the rule's condition could not be evaluated: that is a no, whatever the rule says."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A decision that waits for facts: the rules that cover the object, from the first with a condition to the first
    that is sure to decide."""

    rules: tuple[Rule, ...]
    shadow: str
    default_allows: bool
    is_outline: bool = False
    """What is asked has no arguments, whatever the call: may the caller do anything there?"""

    def settle(self, facts: Facts) -> Decision:
        """The decision.

        A condition that fails denies: an allowing rule is not skipped for a later one that allows more. Where `facts`
        are an outline and the condition hangs on what is not known yet, a permission counts and a prohibition does
        not; the call itself is decided when it comes (AUTHZ-03).
        """
        facts.is_outline = facts.is_outline or self.is_outline
        shadow = self.shadow
        for rule in self.rules:
            try:
                holds = rule.condition is None or rule.condition.holds(facts)
            except ConditionError as error:
                if rule.is_shadow:
                    shadow = shadow or f"{rule.name}:error"
                    continue
                return Decision(False, rule.name, shadow, str(error))
            if holds is None:
                holds = rule.allows and not rule.is_shadow
            if not holds:
                continue
            if rule.is_shadow:
                shadow = shadow or _would(rule)
                continue
            return Decision(rule.allows, rule.name, shadow)
        return Decision(self.default_allows, DEFAULT, shadow)


def decide(rules: Sequence[Rule], what: Object, *, default_allows: bool) -> Decision | Pending:
    """The first rule of `rules` (those that concern the caller) that covers `what`; no rule means the default."""
    shadow = ""
    for number, rule in enumerate(rules):
        if rule.covers(what):
            if rule.condition is not None:
                left = (later for later in rules[number:] if later.covers(what))
                return Pending(_until_sure(left), shadow, default_allows)
            if rule.is_shadow:
                shadow = shadow or _would(rule)
                continue
            return Decision(rule.allows, rule.name, shadow)
    return Decision(default_allows, DEFAULT, shadow)


def reaches(rules: Sequence[Rule], server: str, method: str, *, default_allows: bool) -> Decision | Pending:
    """Whether a caller may use `method`, which acts on no object, with `server`.

    Whoever may do anything at all there may shake hands and ask for lists, which are then filtered; unless an earlier
    rule speaks of the method itself, or denies everything.
    """
    speaking = (rule for rule in rules if not rule.is_shadow and rule.decides_reach(server, method))
    for rule in speaking:
        if rule.condition is not None:
            return Pending(_until_sure((rule, *speaking)), "", default_allows, is_outline=True)
        return Decision(rule.allows, rule.name)
    return Decision(default_allows, DEFAULT)


def _until_sure(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    kept: list[Rule] = []
    for rule in rules:
        kept.append(rule)
        if rule.condition is None and not rule.is_shadow:
            break
    return tuple(kept)


def _would(rule: Rule) -> str:
    return f"{rule.name}:{'allow' if rule.allows else 'deny'}"
