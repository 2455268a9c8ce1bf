"""Rules that are patterns, read by two engines: one tells quickly whether, the other where.

Python's `re` takes 10 to 25 ns a character and pattern, and can be made to take far more. Rust's `regex`, which comes
with `jsonschema-rs`, takes 0.2 to 2, in linear time whatever it is given (a lazy automaton, no backtracking), but
only says yes or no. So it looks at everything, and `re` only at the windows in which something stands. Patterns are
written in what both understand: no look-around, no back-references, `[^A-Za-z0-9]` for a boundary. Every part of a
text has `EDGE` before and after it, so that there is always something to be a boundary.

A pattern's first group, where it has one, is what is found; the rest is what must stand around it.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from mantlet.policies.filters.finding import Finding

EDGE: Final = "\x02"
"""Before and after every part of a text. No pattern takes it for a letter, a blank or a mark."""
WINDOW: Final = 2_048
OVERLAP: Final = 512
"""Characters of a window that the one before it has seen too: a match is no longer than that, or is found in part."""
MAX_LOCATED: Final = 65_536
"""Characters that the slower engine reads in one message; what would need more is over budget (VAL-07)."""

Confirm = Callable[[re.Match[str]], bool]
"""A check that no pattern can express: a checksum, entropy."""


_CONTROLS: Final = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
"""As the other engine wants them written."""


class OverBudget(Exception):
    """There is more to look at closely than is looked at."""


@dataclass(slots=True)
class Work:
    """What may still be read by the slower engine, for one message."""

    left: int = MAX_LOCATED

    def take(self, characters: int) -> None:
        """Raises `OverBudget`."""
        self.left -= characters
        if self.left < 0:
            raise OverBudget


class Matcher:
    """Whether a pattern stands anywhere in a text. Compiled when it is first asked: a node that asks none has none."""

    __slots__ = ("_is_in", "_pattern")

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern.translate(_CONTROLS)
        self._is_in: Callable[[str], bool] | None = None

    def is_in(self, text: str) -> bool:
        """Whether it does."""
        if self._is_in is None:
            self._is_in = _compiled(self._pattern)
        return self._is_in(text)


def _compiled(pattern: str) -> Callable[[str], bool]:
    import jsonschema_rs

    options = jsonschema_rs.RegexOptions(size_limit=1 << 24, dfa_size_limit=1 << 24)
    validator: Any = jsonschema_rs.Draft202012Validator({"pattern": pattern}, pattern_options=options)
    is_valid: Callable[[str], bool] = validator.is_valid
    return is_valid


class Rule:
    """One pattern. `name` is stable and safe to show."""

    def __init__(
        self,
        name: str,
        pattern: str,
        confirm: Confirm | None = None,
        *,
        is_exact: bool = False,
        goes_on: Callable[[str, int], int] | None = None,
    ) -> None:
        """`is_exact`: capital and small letters differ. `goes_on` tells from a text and the end of a match there how
        far what was found reaches; in linear time, and asked once for each part of the text."""
        self.name = name
        self._goes_on = goes_on
        self.pattern = f"(?:{pattern})" if is_exact else f"(?i)(?:{pattern})"
        self.confirm = confirm
        self.is_in = Matcher(self.pattern).is_in

    @cached_property
    def regex(self) -> re.Pattern[str]:
        """For the slower engine."""
        return re.compile(self.pattern)

    @cached_property
    def _groups(self) -> range:
        return range(1, self.regex.groups + 1)

    def located(self, text: str, work: Work) -> Iterator[Finding]:
        """Where it stands in `text`, which has an `EDGE` at both ends; places do not count the first."""
        over = 0
        """Up to where a finding went on: nothing begins anew before it."""
        for begin in range(0, max(1, len(text) - OVERLAP), WINDOW - OVERLAP):
            if begin + WINDOW <= over:
                continue
            window = text if len(text) <= WINDOW else text[begin : begin + WINDOW]
            if not self.is_in(window):
                continue
            work.take(len(window))
            at = 0
            while (match := self.regex.search(window, at)) is not None:
                start, end = next((span for span in map(match.span, self._groups) if span[0] >= 0), match.span())
                at = max(end, match.start() + 1)
                if begin + start < over:
                    continue
                if self._goes_on is not None:
                    over = self._goes_on(text, begin + end)
                    end = over - begin
                    at = max(at, min(end, len(window)))
                if self.confirm is None or self.confirm(match):
                    yield Finding(self.name, max(0, begin + start - 1), max(0, min(begin + end - 1, len(text) - 2)))


def any_of(patterns: Iterable[str]) -> str:
    """One pattern for all: an automaton reads them in the time that one takes."""
    return "|".join(f"(?:{pattern})" for pattern in patterns)


class Rules:
    """The rules of one filter."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)
        self.pattern = any_of(rule.pattern for rule in rules)
        self.may = Matcher(self.pattern).is_in
        """Whether any stands in a text, before what only a check can tell."""

    def find(self, text: str) -> list[Finding]:
        """All findings in one text, in order. Raises `OverBudget`."""
        edged = f"{EDGE}{text}{EDGE}"
        return self.found(edged, Work(), with_places=True) if self.may(edged) else []

    def found(self, edged: str, work: Work, *, with_places: bool) -> list[Finding]:
        """Findings in a text with its edges. Without places one for each rule, and most cost no closer look."""
        found: list[Finding] = []
        for rule in self.rules:
            if not rule.is_in(edged):
                continue
            if with_places:
                found += rule.located(edged, work)
            elif rule.confirm is None:
                found.append(Finding(rule.name, -1, -1))
            elif (one := next(rule.located(edged, work), None)) is not None:
                found.append(one)
        found.sort(key=lambda finding: finding.start)
        return list(dict.fromkeys(found))
