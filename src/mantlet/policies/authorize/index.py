"""Which rule speaks first of a name, without asking every rule: for many rules, and names never seen before.

`Rule.covers` is what is right; this only finds sooner what it would find. Of 1,000 rules that concern a caller it asks
those whose names or beginnings of patterns fit: some 5 us instead of 400.
"""

import re
from collections.abc import Sequence
from typing import Final

from mantlet.policies.authorize.rules import SEPARATOR, Aspect, Object, Rule

WORTH_IT: Final = 16
"""With fewer rules, asking each is as fast."""
_WILD: Final = re.compile(r"[*?\[]")
_NONE: Final = 1 << 30


class Index:
    """The rules of one caller, for one method at one server. Positions are those in `rules`."""

    __slots__ = ("_always", "_aspect", "_beginnings", "_exact", "_lengths", "_method", "_rules", "_server")

    def __init__(self, rules: Sequence[Rule], server: str, method: str, aspect: Aspect) -> None:
        self._rules = rules
        self._server, self._method, self._aspect = server, method, aspect
        self._always = _NONE
        self._exact: dict[str, int] = {}
        self._beginnings: dict[str, list[int]] = {}
        for position, rule in enumerate(rules):
            names = self._names(rule)
            if names is None:
                self._always = position
                break  # whatever stands behind it is never first
            for name in names:
                self._note(name, position)
        self._lengths = sorted({len(beginning) for beginning in self._beginnings})

    def first(self, name: str) -> int:
        """The position of the first rule that covers `name`; -1 when there is none."""
        found = self._always
        what = Object(self._server, self._method, self._aspect, name)
        for text in (name, f"{self._server}{SEPARATOR}{name}") if self._aspect == "tools" else (name,):
            found = min(found, self._exact.get(text, _NONE))
            for length in self._lengths:
                if length > len(text):
                    break
                for position in self._beginnings.get(text[:length], ()):
                    if position >= found:
                        break
                    if self._rules[position].covers(what):
                        found = position
                        break
        return -1 if found == _NONE else found

    def _names(self, rule: Rule) -> tuple[str, ...] | None:
        """The names and patterns that `rule` has for this method; None when it covers them all."""
        if not rule.covers_server(self._server):
            return ()
        is_named = rule.methods is not None and bool(rule.methods(self._method))
        by_name = rule.names.get(self._aspect)
        if self._aspect == "paths" and by_name is not None:
            return by_name if is_named or rule.methods is None else ()
        if is_named or (not rule.aspects and rule.methods is None):
            return None
        return by_name or ()

    def _note(self, name: str, position: int) -> None:
        wild = _WILD.search(name)
        if wild is None:
            self._exact.setdefault(name, position)
            return
        positions = self._beginnings.setdefault(name[: wild.start()], [])
        if positions[-1:] != [position]:
            positions.append(position)
