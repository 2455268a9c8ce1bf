"""A condition, ready to be asked. What fails while it is evaluated is an answer of its own, never yes (AUTHZ-01)."""

import re
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Any, Final

from mantlet.policies.authorize.conditions import words
from mantlet.policies.authorize.conditions.facts import Facts, TooMuch, Unknown

MAX_EXPRESSION_CHARACTERS: Final = 2_048

_FAILURES: Final = (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)
"""All that the library raises: no such member, no such overload, overflow, a bad pattern."""


class ConditionError(Exception):
    """It gives neither yes nor no. The text names the kind of failure and nothing that the caller sent."""


class Condition:
    """One compiled expression."""

    __slots__ = ("_context", "_knows_networks", "_program", "_uses", "text")

    def __init__(self, text: str, program: Any, context: Any, uses: words.Uses) -> None:
        self.text = text
        self._program = program
        self._context = context
        self._uses = tuple(uses.variables.items())
        self._knows_networks = "inNetwork" in uses.functions

    def holds(self, facts: Facts) -> bool | None:
        """Whether it is so; None where that depends on what `facts`, being an outline, cannot tell.

        Raises `ConditionError` for all else than yes or no.
        """
        context = self._context()
        is_whole = True
        if self._knows_networks:
            context.add_function("inNetwork", in_network)
        try:
            for name, members in self._uses:
                try:
                    context.add_variable(name, facts.value(name, members))
                except Unknown:
                    # Left out, not guessed: what the expression says in spite of it (`false && ...`) holds.
                    is_whole = False
            result = self._program.execute(context)
        except TooMuch:
            raise ConditionError("more arguments than a condition is shown") from None
        except _FAILURES as error:
            if facts.is_outline and not is_whole:
                return None
            raise ConditionError(type(error).__name__) from None
        if type(result) is not bool:
            raise ConditionError("neither true nor false")
        return result


def compile_condition(text: str) -> Condition:
    """Read `text`; raises `ValueError` for what is no expression, or speaks of what there is not."""
    # Here, because it takes 0.4 s, and a node without conditions need not wait for it.
    import cel

    if len(text) > MAX_EXPRESSION_CHARACTERS:
        raise ValueError(f"a condition has at most {MAX_EXPRESSION_CHARACTERS} characters")
    try:
        program = cel.compile(text)
    except ValueError as error:
        raise ValueError(_first_fault(str(error))) from None
    uses = words.read(text)
    # The library's own reading is the last word: a name that ours missed must not pass unknown.
    missed = {*program.variables()} - uses.variables.keys() - uses.bound - words.TYPES
    missed |= {name for name in program.functions() if name.isidentifier() and name[0] != "_"} - uses.functions
    if missed:
        raise ValueError(f"{min(missed)} is neither variable nor function here")
    _check_texts(cel, uses)
    return Condition(text, program, cel.Context, uses)


def _check_texts(cel: Any, uses: words.Uses) -> None:
    """Patterns and networks, read once as they will be read with every call."""
    for pattern in uses.patterns:
        try:
            cel.evaluate(f"''.matches({pattern})")
        except _FAILURES:
            raise ValueError(f"the pattern {pattern} cannot be read") from None
    for network in uses.networks:
        try:
            _network(cel.evaluate(network))
        except ValueError as error:
            raise ValueError(f"inNetwork: {error}") from None


def in_network(address: str, network: str) -> bool:
    """Whether `address` is in `network`; raises `ValueError` for what is neither."""
    return ip_address(address) in _network(network)


@lru_cache(maxsize=1_024)
def _network(text: str) -> Any:
    return ip_network(text)


def _first_fault(message: str) -> str:
    found = re.search(r"ERROR: <input>:(\d+):(\d+): (.*)", message)
    if found is None:
        return "is no expression"
    line, column, said = found.groups()
    return f"line {line}, character {column}: {said[:160]}"
