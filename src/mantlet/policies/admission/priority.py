"""Which calls go first while calls wait."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Final

from mantlet.core.call import Call
from mantlet.policies.admission.config import PriorityMatch, PriorityRule

HIGH: Final = 0
NORMAL: Final = 1
LOW: Final = 2
_OF: Final = {"high": HIGH, "normal": NORMAL, "low": LOW}


def priority_of(rules: Sequence[PriorityRule], call: Call) -> int:
    """As the first rule that matches says; asked only when `call` has to wait."""
    for rule in rules:
        if _matches(rule.match, call):
            return _OF[rule.priority]
    return NORMAL


def _matches(match: PriorityMatch, call: Call) -> bool:
    return (
        (not match.roles or not call.caller.roles.isdisjoint(match.roles))
        and (not match.scopes or not call.caller.scopes.isdisjoint(match.scopes))
        and (not match.methods or _is_one_of(call.method, match.methods))
        and (not match.tools or (call.method == "tools/call" and _is_one_of(call.target, match.tools)))
        and (not match.servers or _is_one_of(call.server, match.servers))
    )


def _is_one_of(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
