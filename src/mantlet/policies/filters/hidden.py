"""Characters that a reader does not see and a model does: zero-width, bidirectional controls, tags (TOOL-03).

Ordinary writing uses some of them, so each is judged by its neighbours: joiners hold emoji together and shape Arabic
and Indic letters, marks order right-to-left text, a flag's region is spelt in tags, a soft hyphen stands in a word.
After Unicode TR36 and TR39, "Trojan Source" (CVE-2021-42574), and the ASCII smuggling of 2024 (tags, and bytes in
variation selectors).
"""

import re
from typing import Final

from mantlet.policies.filters.finding import Finding
from mantlet.policies.filters.rules import Matcher

PATTERN: Final = (
    "[\x00\x01\x03-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # controls but tab, line ends, and what `texts` joins with
    "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164"
    "\u061c\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_SUSPECT: Final = re.compile(f"{PATTERN}+")
may: Final = Matcher(PATTERN).is_in
"""Whether a text has any such character, explained or not."""
_FLAG: Final = re.compile("[\U000e0030-\U000e0039\U000e0061-\U000e007a]{2,6}\U000e007f")
"""What follows a black flag (UTS 51, "emoji tag sequence")."""
_BLACK_FLAG: Final = "\U0001f3f4"
_RIGHT_TO_LEFT: Final = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
_JOINED_SCRIPTS: Final = re.compile("[\u0600-\u08ff\u0900-\u0dff\u0e00-\u109f\u1780-\u18af\ufb50-\ufdff\ufe70-\ufefc]")
_EMOJI: Final = re.compile("[\u00a9\u00ae#*0-9\u203c-\u3299\ufe0f\U0001f000-\U0001faff]")
MAX_SELECTORS: Final = 1
"""Variation selectors in a row. No character takes two; a row of them carries bytes."""

MAX_RUN: Final = 64
"""Characters of one run: no letter, flag or emoji takes so many."""
MAX_RUNS: Final = 2_000
"""Runs that are judged one by one in a text. What comes after is taken for hidden: no page has so many."""


def find(text: str) -> list[Finding]:
    """Runs of hidden characters that ordinary writing does not explain."""
    if not may(text):
        return []
    found: list[Finding] = []
    is_right_to_left = _RIGHT_TO_LEFT.search(text) is not None
    for count, run in enumerate(_SUSPECT.finditer(text)):
        start, end = run.span()
        if count == MAX_RUNS:
            found.append(Finding("hidden.dense", start, len(text)))
            break
        rule = _judge(text, start, end, is_right_to_left=is_right_to_left)
        if rule:
            found.append(Finding(rule, start, end))
    return found


def _judge(text: str, start: int, end: int, *, is_right_to_left: bool) -> str:
    if end - start > MAX_RUN:
        return "hidden.dense"
    run = text[start:end]
    highest = max(run)
    if highest >= "\U000e0000":
        before = text[start - 1 : start]
        if before == _BLACK_FLAG and _FLAG.fullmatch(run):
            return ""
        if end - start == 1 and highest >= "\U000e0100" and before >= "\u2e80":
            return ""  # one variant of one ideograph (UTS 37)
        return "hidden.tag" if min(run) < "\U000e0100" else "hidden.selectors"
    rules = {
        rule for char in set(run) if (rule := _judge_one(char, text, start, end, is_right_to_left=is_right_to_left))
    }
    return min(rules) if rules else ""


def _judge_one(char: str, text: str, start: int, end: int, *, is_right_to_left: bool) -> str:
    before, after = text[start - 1 : start], text[end : end + 1]
    if char <= "\x9f":
        return "hidden.control"
    if "\u202a" <= char <= "\u202e" or "\u2066" <= char <= "\u2069":
        return "hidden.bidi"
    if char in "\u200e\u200f\u061c":
        return "" if is_right_to_left else "hidden.bidi"
    if "\ufe00" <= char <= "\ufe0f":
        selectors = sum("\ufe00" <= each <= "\ufe0f" for each in text[start:end])
        return "" if selectors <= MAX_SELECTORS and before.strip() else "hidden.selectors"
    if char == "\u200d":
        is_emoji = _EMOJI.match(before) or _EMOJI.match(after)
        return "" if end - start <= 2 and (is_emoji or _joined(before, after)) else "hidden.zero_width"
    if char == "\u200c":
        return "" if end - start == 1 and _joined(before, after) else "hidden.zero_width"
    if char == "\u00ad":
        return "" if end - start == 1 and before.isalpha() and after.isalpha() else "hidden.zero_width"
    if char == "\ufeff":
        return "" if start == 0 and end == 1 else "hidden.zero_width"
    if char in "\u2028\u2029":
        return "" if end - start == 1 else "hidden.zero_width"
    return "hidden.zero_width"


def _joined(before: str, after: str) -> bool:
    return bool(_JOINED_SCRIPTS.match(before) or _JOINED_SCRIPTS.match(after))
