"""Which filters look at a call, and what each does where. Compiled once for a server's tool."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import translate
from typing import Final, Literal

from mantlet.policies.filters.catalogue import NAMES, ONLY_REQUESTS, PROTOTYPE
from mantlet.policies.filters.config import FilterRule, Modes

Action = Literal["off", "log", "block", "change"]
_ACTIONS: Final[dict[str | None, Action]] = {
    None: "off",
    "off": "off",
    "log": "log",
    "block": "block",
    "sanitize": "change",
    "redact": "change",
}


@dataclass(frozen=True, slots=True)
class _Special:
    argument: re.Pattern[str] | None
    actions: dict[str, Action]
    ignored: frozenset[str]


@dataclass(frozen=True, slots=True)
class Plan:
    """For one direction of one server's tool."""

    active: frozenset[str]
    """Filters that do something anywhere; none: nothing needs to be read."""
    actions: dict[str, Action]
    specials: tuple[_Special, ...]
    changing: frozenset[str]
    """Filters that take out what they find anywhere: they have to tell where it begins and ends."""
    reads_texts: bool
    """Whether it looks at more than names of members."""

    def action(self, name: str, rule: str, argument: str) -> Action:
        """What is done with a finding of the filter `name` in `argument` (empty: in none)."""
        action = self.actions.get(name, "off")
        for special in self.specials:
            if special.argument is None or special.argument.fullmatch(argument):
                action = special.actions.get(name, action)
                if rule in special.ignored:
                    action = "off"
        return action

    def strictest(self, name: str) -> Action:
        """What the filter does at its strictest: over budget it cannot tell where it would have found something."""
        actions = [self.actions.get(name, "off"), *(special.actions.get(name, "off") for special in self.specials)]
        return "block" if "block" in actions or "change" in actions else "log" if "log" in actions else "off"


def compile_plan(modes: Modes, rules: Sequence[FilterRule], server: str, tool: str, *, in_results: bool) -> Plan:
    """The plan for calls of `tool` (empty: any other method) at `server`."""
    actions = _actions(modes)
    if modes.prototype is None and not in_results:
        actions[PROTOTYPE] = "block"
    specials: list[_Special] = []
    for rule in rules:
        if not (_matches(rule.server, server) and _matches(rule.tool, tool)):
            continue
        is_for_argument = rule.argument != "*"
        if is_for_argument and in_results:
            continue
        if not is_for_argument and not rule.ignore and not specials:
            actions |= _actions(rule)
        else:
            pattern = re.compile(translate(rule.argument), re.DOTALL) if is_for_argument else None
            specials.append(_Special(pattern, _actions(rule), frozenset(rule.ignore)))
    if in_results:
        actions = {name: action for name, action in actions.items() if name not in ONLY_REQUESTS}
    named = [actions, *(special.actions for special in specials)]
    active = frozenset(name for each in named for name, action in each.items() if action != "off")
    if in_results:
        active -= ONLY_REQUESTS
    changing = frozenset(name for each in named for name, action in each.items() if action == "change")
    return Plan(active, actions, tuple(specials), changing, len(active) > (PROTOTYPE in active))


def _actions(modes: Modes) -> dict[str, Action]:
    return {name: _ACTIONS[mode] for name in NAMES if (mode := getattr(modes, name)) is not None}


def _matches(pattern: str, name: str) -> bool:
    return pattern == "*" or re.fullmatch(translate(pattern), name) is not None
