"""NUL, which ends a text early for whoever is written in C (CWE-158)."""

from typing import Final

from mantlet.policies.filters.rules import Rule, Rules

_PERCENT: Final = r"%(?:25){0,5}(?:0|%(?:25){0,3}30){2}"
"""Encoded once or more, its digits, too."""

RULES: Final = Rules(
    [
        Rule(
            "null_bytes.nul",
            rf"\x00|{_PERCENT}|%u0000|%c0%80|%e0%80%80|%f0%80%80%80|%f8(?:%80){{4}}|%f[ce](?:%80){{5,6}}"
            rf"|&#(?:0{{1,7}}|x0{{1,6}});",
        ),
        # A backslash and a nought are C, JSON and Python, too: they count in a value without a blank.
        Rule("null_bytes.escaped", r"\x02[^\s\x02]*\\(?:x(?:00)+|x%30%30|u0000|0{1,4})(?:[^0-9][^\s\x02]*)?\x02"),
    ]
)
find: Final = RULES.find
