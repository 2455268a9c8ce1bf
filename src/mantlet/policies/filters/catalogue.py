"""All filters on one page: what each is called, where it looks, and in what form."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from mantlet.policies.filters import (
    credentials,
    header_lines,
    hidden,
    injection,
    null_bytes,
    personal,
    script,
    shell,
    sql,
)
from mantlet.policies.filters.finding import Finding
from mantlet.policies.filters.rules import Matcher, Rules, Work, any_of


@dataclass(frozen=True, slots=True)
class TextFilter:
    """One that reads texts, whatever they are called."""

    name: str
    pattern: str
    may: Callable[[str], bool]
    """Whether a text holds anything worth a closer look."""
    found: Callable[[str, Work, bool], list[Finding]]
    """What a text with its edges holds; with places, or one finding for each rule."""
    is_decoded: bool = False
    """It reads what the text says once encodings are taken off."""
    is_folded: bool = False
    """It takes letters in disguise for what they look like."""


def _by_rules(name: str, rules: Rules, *, is_decoded: bool = False, is_folded: bool = False) -> TextFilter:
    def found(edged: str, work: Work, with_places: bool) -> list[Finding]:
        return rules.found(edged, work, with_places=with_places)

    return TextFilter(name, rules.pattern, rules.may, found, is_decoded, is_folded)


TEXT_FILTERS: Final = (
    _by_rules("script", script.RULES, is_decoded=True),
    _by_rules("sql", sql.RULES, is_decoded=True),
    _by_rules("shell", shell.RULES, is_decoded=True),
    _by_rules("headers", header_lines.RULES),
    _by_rules("null_bytes", null_bytes.RULES),
    _by_rules("secrets", credentials.RULES),
    _by_rules("personal_data", personal.RULES),
    _by_rules("prompt_injection", injection.RULES, is_folded=True),
    TextFilter("hidden", hidden.PATTERN, hidden.may, lambda edged, work, with_places: hidden.find(edged[1:-1])),
)


@lru_cache(64)
def may_any(active: frozenset[str]) -> Callable[[str], bool]:
    """Whether a text holds anything worth a closer look of any `active` filter: most hold nothing, and that is all."""
    groups = [[each.pattern for each in TEXT_FILTERS if each.name in active & group] for group in _TOGETHER]
    looks = [Matcher(any_of(patterns)).is_in for patterns in groups if patterns]
    return looks[0] if len(looks) == 1 else lambda text: any(look(text) for look in looks)


_WORDY: Final = frozenset({"script", "sql"})
_SHELL: Final = frozenset({"shell"})
_TOGETHER: Final = (frozenset(each.name for each in TEXT_FILTERS) - _WORDY - _SHELL, _WORDY, _SHELL)
"""One automaton for all would save 5 us a KB, and take 3.5 s to build instead of 0.6."""


def warm(active: frozenset[str]) -> None:
    """Build what looks at everything, and what looks closer: a second on a thread, which nobody's call should pay."""
    may_any(active)("")
    for each in TEXT_FILTERS:
        if each.name in active:
            each.may("")


PROTOTYPE: Final = "prototype"
TRAVERSAL: Final = "traversal"
SSRF: Final = "ssrf"
NAMES: Final = (*(each.name for each in TEXT_FILTERS), PROTOTYPE, TRAVERSAL, SSRF)

ONLY_REQUESTS: Final = frozenset({"sql", "shell", "headers", "null_bytes", TRAVERSAL, SSRF})
"""What harms the one that is given it as an argument: in a result a path is a path, and a query a query."""
