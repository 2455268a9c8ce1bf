"""Patterns that two engines read alike, and that nobody can make slow."""

import re._parser as parser  # type: ignore[import-not-found]
from typing import Any

import pytest
from tests.policies.filters.test_texts import FINDERS, FOUND

from mantlet.policies.filters import traversal
from mantlet.policies.filters.catalogue import NAMES, TEXT_FILTERS
from mantlet.policies.filters.config import Modes
from mantlet.policies.filters.rules import EDGE, MAX_LOCATED, WINDOW, OverBudget, Rule, Rules, Work
from mantlet.policies.filters.script import RULES as SCRIPT

EVERY = [
    rule
    for module in ("credentials", "header_lines", "injection", "null_bytes", "personal", "script", "shell", "sql")
    for rule in __import__(f"mantlet.policies.filters.{module}", fromlist=["RULES"]).RULES.rules
]


def nested(parsed: Any, inside: int = 1, *, is_for_one: bool = False) -> int:
    """The largest product of counts of repetitions that stand inside one another."""
    worst = inside
    for code, argument in parsed:
        name = str(code)
        if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            _, most, body = argument
            worst = max(worst, nested(body, inside * min(int(most), 10_000), is_for_one=is_for_one))
        elif name == "SUBPATTERN":
            worst = max(worst, nested(argument[-1], inside, is_for_one=is_for_one))
        elif name == "BRANCH":
            worst = max([worst, *(nested(branch, inside, is_for_one=is_for_one) for branch in argument[1])])
        elif name in ("ASSERT", "ASSERT_NOT") and is_for_one:
            worst = max(worst, nested(argument[1], inside, is_for_one=True))
        elif name in ("ASSERT", "ASSERT_NOT", "GROUPREF", "GROUPREF_EXISTS", "ATOMIC_GROUP"):
            raise AssertionError(f"{name} is not what both engines understand")
    return worst


@pytest.mark.parametrize("rule", EVERY, ids=lambda rule: rule.name)
def test_no_pattern_repeats_what_repeats_without_bound(rule: Rule) -> None:
    """VAL-07: no input can make a match take more than linear time in either engine."""
    assert nested(parser.parse(rule.pattern)) <= 10_000


@pytest.mark.parametrize("name", [name for name in dir(traversal) if name.isupper() and name.startswith("_")])
def test_the_patterns_of_paths_neither(name: str) -> None:
    """VAL-07"""
    pattern = getattr(traversal, name)
    if hasattr(pattern, "pattern"):
        assert nested(parser.parse(pattern.pattern), is_for_one=True) <= 10_000


def test_names_of_rules_are_unique_and_begin_with_their_filter() -> None:
    names = [rule.name for rule in EVERY]
    assert len(set(names)) == len(names)
    assert all(name.partition(".")[0] in NAMES for name in names)


def test_every_filter_has_a_mode_and_every_mode_a_filter() -> None:
    assert set(Modes.__struct_fields__) == set(NAMES)


@pytest.mark.parametrize(("name", "text"), FOUND)
def test_both_engines_agree(name: str, text: str) -> None:
    """What the fast engine does not see, the slow one is never asked about."""
    each = next(each for each in TEXT_FILTERS if each.name == name.partition(".")[0])
    if FINDERS[each.name](text) and text.isascii():
        assert each.may(f"{EDGE}{text}{EDGE}")


def test_work_is_bounded() -> None:
    """VAL-07"""
    rule = Rule("x.y", "a[0-9]b", lambda match: False)
    with pytest.raises(OverBudget):
        Rules([rule]).found(f"{EDGE}{'a1b' * MAX_LOCATED}{EDGE}", Work(), with_places=True)


def test_what_is_far_apart_costs_the_windows_in_which_it_stands() -> None:
    rule = Rule("x.y", "a[0-9]b")
    work = Work()
    text = f"{'.' * 500_000}a1b{'.' * 500_000}"
    (finding,) = Rules([rule]).found(f"{EDGE}{text}{EDGE}", work, with_places=True)
    assert text[finding.start : finding.end] == "a1b"
    assert MAX_LOCATED - work.left <= 2 * WINDOW


def test_nothing_is_found_across_two_texts() -> None:
    assert not SCRIPT.may(f"{EDGE}<scr{EDGE}ipt>{EDGE}")
