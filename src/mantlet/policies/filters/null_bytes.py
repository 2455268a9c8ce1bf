"""NUL, which ends a text early for whoever is written in C (CWE-158)."""

from typing import Final

from mantlet.policies.filters.rules import Rule, Rules

RULES: Final = Rules([Rule("null_bytes.nul", r"\x00|%(?:25){0,5}00|%u0000|%c0%80")])
find: Final = RULES.find
