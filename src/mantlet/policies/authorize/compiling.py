"""From the configuration to rules that can decide; what says nothing, both or too much is an error that names it."""

import fnmatch
import re
from typing import Final

from mantlet.policies.authorize.conditions import Condition, compile_condition
from mantlet.policies.authorize.config import AuthorizationConfig, RuleConfig, Selector
from mantlet.policies.authorize.rules import Aspect, Delegation, Match, Rule

MAX_RULES: Final = 10_000


def compile_rules(config: AuthorizationConfig) -> tuple[Rule, ...]:
    """Rules ready to decide; raises `ValueError` naming the rule that is wrong, and where."""
    if len(config.rules) > MAX_RULES:
        raise ValueError(f"{len(config.rules)} rules are too many: at most {MAX_RULES}")
    names = [rule.name for rule in config.rules]
    if len(set(names)) < len(names):
        # The record and `explain` name the rule that decided: two of one name could not be told apart.
        raise ValueError(f"rule {next(name for name in names if names.count(name) > 1)!r}: two rules have this name")
    return tuple(_compile(rule) for rule in config.rules)


def _compile(rule: RuleConfig) -> Rule:
    if (rule.allow is None) == (rule.deny is None):
        raise ValueError(f"rule {rule.name!r}: give exactly one of allow and deny")
    selector = rule.allow if rule.allow is not None else rule.deny
    assert selector is not None
    given = _given(selector)
    for scope in selector.scopes or ():
        if "*" in scope:
            raise ValueError(
                f"rule {rule.name!r}: the scope {scope!r} is a pattern; scopes are names, and none implies another"
            )
    return Rule(
        name=rule.name,
        allows=rule.allow is not None,
        is_shadow=rule.shadow,
        roles=_names(selector.roles),
        scopes=_names(selector.scopes),
        tenants=_names(selector.tenants),
        subjects=_names(selector.subjects),
        kinds=_names(selector.kinds),
        delegation=_delegation(rule, selector),
        servers=patterns(selector.servers),
        aspects={aspect: match for aspect, named in given.items() if (match := patterns(named)) is not None},
        names={aspect: tuple(named) for aspect, named in given.items() if named is not None},
        methods=patterns(selector.methods),
        condition=_condition(rule, selector),
    )


def _condition(rule: RuleConfig, selector: Selector) -> Condition | None:
    if selector.when is None:
        return None
    try:
        return compile_condition(selector.when)
    except ValueError as error:
        raise ValueError(f"rule {rule.name!r}: when: {error}") from None


def _delegation(rule: RuleConfig, selector: Selector) -> Delegation | None:
    told = (selector.actors, selector.on_behalf_of, selector.min_depth, selector.max_depth)
    if all(each is None for each in told):
        return None
    if selector.max_depth is not None and (selector.min_depth or 0) > selector.max_depth:
        raise ValueError(f"rule {rule.name!r}: min_depth is more than max_depth, so the rule is about nobody")
    return Delegation(
        actors=patterns(selector.actors),
        on_behalf_of=patterns(selector.on_behalf_of),
        min_depth=selector.min_depth or 0,
        max_depth=selector.max_depth,
        takes_any=rule.deny is not None,
    )


def _given(selector: Selector) -> dict[Aspect, list[str] | None]:
    return {
        "tools": selector.tools,
        "prompts": selector.prompts,
        "resources": selector.resources,
        "agents": selector.agents,
        "paths": selector.paths,
    }


def _names(names: list[str] | None) -> frozenset[str] | None:
    return None if names is None else frozenset(names)


def patterns(named: list[str] | None) -> Match | None:
    """What tells whether a text is one of `named`, shell-style patterns; None for None."""
    if named is None:
        return None
    if "*" in named:
        return _anything
    if not any(map(is_pattern, named)):
        return frozenset(named).__contains__
    # One expression for all: `fnmatch.translate` anchors and escapes, and never backtracks across patterns.
    return re.compile("|".join(fnmatch.translate(pattern) for pattern in named)).match


def is_pattern(name: str) -> bool:
    """Whether `name` stands for others than itself."""
    return not set(name).isdisjoint("*?[")


def _anything(name: str) -> bool:
    return True
