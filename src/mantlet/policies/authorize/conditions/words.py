"""What an expression speaks of, read before it is ever evaluated, so that a misspelt name is an error at start.

The library says which names an expression uses, but takes any for a variable that may come. A condition is bounded here
too: the library's `map` and `filter` copy their list with every element (10,000 of them take 4 s), a walk inside a walk
multiplies, and a pattern that the caller wrote may be costly to read.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final, Literal

VARIABLES: Final[Mapping[str, frozenset[str] | None]] = {
    "caller": frozenset({"subject", "issuer", "tenant", "kind", "roles", "scopes", "method", "act"}),
    "args": None,
    "server": None,
    "tool": None,
    "method": None,
    "target": None,
    "time": frozenset({"hour", "minute", "weekday", "timestamp"}),
    "address": None,
}
"""Each variable and its members; None where they are not ours to know, or there are none."""

FUNCTIONS: Final = frozenset(
    {
        *("size", "contains", "startsWith", "endsWith", "matches", "inNetwork"),
        *("int", "uint", "double", "string", "bytes", "type", "duration", "timestamp"),
        *("getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear"),
        *("getHours", "getMinutes", "getSeconds", "getMilliseconds"),
    }
)
TYPES: Final = frozenset({"int", "uint", "double", "string", "bytes"})
WALKS: Final = frozenset({"all", "exists", "exists_one", "existsOne"})
MAX_WALKS: Final = 4
"""Over at most `facts.MAX_ITEMS` elements each: 12 us an element with a pattern in it."""
_COPIES: Final = frozenset({"map", "filter"})
_WORDS: Final = frozenset({"true", "false", "null", "in", "has"})

# Texts and comments first: what stands in them is no name. A raw text knows no escapes.
_TOKEN: Final = re.compile(
    r"""(?P<text>[bB]?[rR](?:'''.*?'''|\"\"\".*?\"\"\"|'[^'\n]*'|"[^"\n]*")
                |[bB]?(?:'''(?:\\.|[^\\])*?'''|\"\"\"(?:\\.|[^\\])*?\"\"\"|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"))
      |(?P<comment>//[^\n]*)
      |(?P<number>0[xX][0-9a-fA-F]+[uU]?|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[uU]?)
      |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
      |(?P<mark>\S)""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Uses:
    """Which variables an expression speaks of, and of which of their members (None: of the whole); which functions it
    calls; the names that it gives to elements; and the texts that are patterns or networks, as written."""

    variables: Mapping[str, frozenset[str] | None]
    functions: frozenset[str]
    bound: frozenset[str]
    patterns: tuple[str, ...]
    networks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    at: int
    kind: Literal["text", "number", "name", "mark", "end"]


_END: Final = _Token("", 0, "end")


def read(expression: str) -> Uses:
    """What it speaks of; raises `ValueError` saying what is unknown or not offered, and at which character."""
    return _Reading(list(_tokens(expression))).uses()


class _Reading:
    def __init__(self, tokens: Sequence[_Token]) -> None:
        self._tokens = tokens
        self._bound: set[str] = set()
        self._functions: set[str] = set()
        self._members: dict[str, set[str]] = {}
        self._whole: set[str] = set()
        self._walks = 0
        self._patterns: list[str] = []
        self._networks: list[str] = []

    def uses(self) -> Uses:
        depth, walk_ends = 0, -1
        for number, token in enumerate(self._tokens):
            if token.kind == "mark":
                depth += (token.text in "([{") - (token.text in ")]}")
                walk_ends = walk_ends if depth >= walk_ends else -1
            elif token.kind == "name" and self._at(number + 1).text == "(":
                if self._call(number, is_in_walk=walk_ends >= 0):
                    walk_ends = depth + 1
            elif token.kind == "name" and not self._is_member(number) and token.text not in self._bound | _WORDS:
                self._variable(number)
        known = {name: None if name in self._whole else frozenset(found) for name, found in self._members.items()}
        return Uses(
            known, frozenset(self._functions), frozenset(self._bound), tuple(self._patterns), tuple(self._networks)
        )

    def _call(self, number: int, *, is_in_walk: bool) -> bool:
        """Whether a walk begins here."""
        token = self._at(number)
        name, where = token.text, f"{token.text} at character {token.at}"
        if self._is_member(number) and name in WALKS | _COPIES:
            element = self._at(number + 2).text
            self._walks += 1
            if name in _COPIES:
                raise ValueError(f"{where} is not offered; use all, exists or exists_one")
            if is_in_walk or self._walks > MAX_WALKS:
                raise ValueError(f"{where}: at most {MAX_WALKS} walks, and none inside another, are offered")
            if element in VARIABLES:
                raise ValueError(f"{where} gives its element the name of the variable {element}")
            self._bound.add(element)
            return True
        if name == "matches":
            if not self._is_member(number) or self._at(number + 2).kind != "text" or self._at(number + 3).text != ")":
                raise ValueError(f"{where}: write text.matches('pattern'), with the pattern itself")
            self._patterns.append(self._at(number + 2).text)
        if name == "inNetwork":
            if self._at(number + 3).text != "," or self._at(number + 4).kind != "text":
                raise ValueError(f"{where}: write inNetwork(address, 'network'), with the network itself")
            self._networks.append(self._at(number + 4).text)
        if name not in FUNCTIONS | _WORDS:
            raise _unknown("function", token, FUNCTIONS | WALKS | {"has"})
        self._functions.add(name)
        return False

    def _variable(self, number: int) -> None:
        token = self._at(number)
        name = token.text
        if name in TYPES:
            return
        if name not in VARIABLES:
            raise _unknown("variable", token, VARIABLES)
        members = self._members.setdefault(name, set())
        known, member = VARIABLES[name], self._at(number + 2)
        is_narrow = self._at(number + 1).text == "." and self._at(number + 3).text != "("
        if not is_narrow or (known is None and name != "args"):
            self._whole.add(name)
        elif known is not None and member.text not in known:
            raise _unknown(f"member of {name}", member, known)
        else:
            members.add(member.text)

    def _is_member(self, number: int) -> bool:
        return number > 0 and self._tokens[number - 1].text == "."

    def _at(self, number: int) -> _Token:
        return self._tokens[number] if number < len(self._tokens) else _END


def _unknown(what: str, token: _Token, known: Collection[str]) -> ValueError:
    near = get_close_matches(token.text, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(known))}"
    return ValueError(f"{token.text} at character {token.at} is no {what}: {hint}")


def _tokens(expression: str) -> Iterator[_Token]:
    for match in _TOKEN.finditer(expression):
        kind = match.lastgroup
        if kind != "comment":
            yield _Token(match.group(), match.start() + 1, kind)  # type: ignore[arg-type]  # the groups are the kinds
